// Why a node must not be removed now. A removed identity is refused for ever, so a group that could not decide without
// it would never decide again. Pure.
import { controllerPartition } from '../core/partition-of.ts'
import { peerIdOf, type ReplicaId } from '../core/replica-id.ts'
import { majorityOf } from '../raft/quorum.ts'
import { type ClusterState, placeableNodes, replicaIdOfNode } from './cluster-state.ts'
import type { SeatTable } from './seats.ts'
import { controllerPlacement, placementChanges } from './wanted-placement.ts'

/** Partitions that a message names one by one. */
const namedMax = 5

export interface Obstacle {
  readonly text: string
  /** Replicas are on their way: it may be gone when they have arrived. */
  readonly isPassing: boolean
}

/** Null: it may be removed. */
export function removalObstacle(init: {
  readonly state: ClusterState
  readonly peerId: string
  readonly seats: SeatTable
  readonly isReachable: (peerId: string) => boolean
}): Obstacle | null {
  const { state, peerId, seats, isReachable } = init
  const node = state.nodes.get(peerId)
  if (node === undefined || node.state === 'removed') return null
  const last = lastNodeObstacle(state, peerId)
  if (last !== null) return last
  // A node that is down takes no vote away. One that works does, and then the others must be able to go on by themselves.
  const isWorking = isReachable(peerId)
  const stays = (id: ReplicaId): boolean => {
    const other = peerIdOf(id)
    return (
      other !== peerId && state.nodes.get(other)?.state !== 'removed' && (!isWorking || isReachable(other))
    )
  }
  const isBereft = (voters: readonly ReplicaId[]): boolean =>
    voters.some(id => peerIdOf(id) === peerId) && voters.filter(stays).length < majorityOf(voters.length)
  const isPresent = (id: ReplicaId): boolean => state.nodes.get(peerIdOf(id))?.state !== 'removed'
  const self = replicaIdOfNode(node)
  // What was just removed may not be planned without yet: what will be wanted counts, and what the leaders heard last.
  const planned = placementChanges(state)
  const targetsOf = (partition: number): readonly (readonly ReplicaId[])[] =>
    partition === controllerPartition
      ? [controllerPlacement(state).voters]
      : [planned[String(partition)], state.wanted.get(partition)].flatMap(wanted =>
          wanted === undefined ? [] : [wanted.voters.filter(isPresent)],
        )
  // A leader takes its next steps before it hears of the removal: they must not end with this node and too few others.
  const isBereftOnTheWay = (voters: readonly ReplicaId[], target: readonly ReplicaId[]): boolean => {
    if (!isWorking || isSameSet(voters, target) || ![...voters, ...target].includes(self)) return false
    const reached = target.filter(id => voters.includes(id) || isReachable(peerIdOf(id)))
    const steps = target.includes(self) ? [voters, reached] : [reached]
    return steps.some(step => isBereft([...new Set([...step, self])]))
  }
  const bereft: number[] = []
  const silent: number[] = []
  let isPassing = true
  for (let partition = controllerPartition; partition <= (state.settings?.partitions ?? 0); partition += 1) {
    const known = (seats.get(partition) ?? []).map(({ configuration }) => configuration.voters)
    if (known.length === 0) silent.push(partition)
    const targets = targetsOf(partition)
    const isNeeded = known.some(
      voters => isBereft(voters) || targets.some(target => isBereftOnTheWay(voters, target)),
    )
    if (!isNeeded) continue
    bereft.push(partition)
    isPassing &&=
      targets.length === 0 || known.some(voters => targets.some(target => !isSameSet(voters, target)))
  }
  if (bereft.length > 0) {
    const what = `without it no majority of the voters is left of partition ${named(bereft)}`
    const text = isPassing
      ? `node ${peerId} is needed until replicas have moved: ${what} (glyn-node placement)`
      : `node ${peerId} is needed: ${what}, for ever. Start the nodes that are down, or add nodes and wait until the ` +
        'replicas have moved (glyn-node placement)'
    return { text, isPassing }
  }
  if (silent.length === 0) return null
  const text = `whether node ${peerId} is needed is not known: no leader and no other replica answers for partition ${named(silent)}`
  return { text, isPassing: true }
}

/** Why a node must not leave, or null. What it holds moves away first, so that only somebody has to take it. */
export function lastNodeObstacle(state: ClusterState, peerId: string): Obstacle | null {
  const node = state.nodes.get(peerId)
  if (node?.role !== 'full' || node.state === 'removed') return null
  if (placeableNodes(state).some(other => other.peerId !== peerId)) return null
  const text = `node ${peerId} is the last one that holds replicas: there would be no cluster left`
  return { text, isPassing: false }
}

const isSameSet = (a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean =>
  a.length === b.length && a.every(id => b.includes(id))

function named(partitions: readonly number[]): string {
  const some = partitions
    .slice(0, namedMax)
    .map(partition => (partition === controllerPartition ? '0, the controller' : partition))
  const more = partitions.length > namedMax ? ` and ${partitions.length - namedMax} more` : ''
  return `${some.join(', ')}${more}`
}
