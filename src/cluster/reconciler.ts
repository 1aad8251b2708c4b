// Brings the groups that this node leads to the replicas that the controller wants, one committed step at a time.
import type { Cancel, Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { controllerPartition } from '../core/partition-of.ts'
import type { Placement } from '../core/placement.ts'
import { peerIdOf, type ReplicaId } from '../core/replica-id.ts'
import type { ConfigurationChange, Raft } from '../raft/raft.ts'
import { type ClusterState, replicaIdOfNode } from './cluster-state.ts'
import type { ControllerLog } from './controller-log.ts'
import { createNewcomers } from './newcomers.ts'
import { nextChange } from './next-change.ts'
import { controllerPlacement, placementChanges } from './wanted-placement.ts'

const roundMs = 100
/** Groups whose new learners may catch up at the same time, so that a move does not crowd out commands. */
const catchingUpMax = 8
/** Leaderships handed over in one round. */
const transfersPerRoundMax = 4
/**
 * While leadership is handed over nothing can be proposed. Who did not take it (a disk that stands still, a link that is
 * broken one way) is asked again after this long, and each time after twice as long.
 */
const transferRetryMsMin = 2000
const transferRetryMsMax = 60_000
/** Who led this long took it: what came before is forgotten. */
const takenMs = 5000
const submitTimeoutMs = 5000
/** Entries that one replica may be behind another and still be as good an heir: they are on their way. */
const onItsWayMax = 100

export interface ReconcilerInit {
  readonly clock: Clock
  readonly log: Log
  readonly controller: ControllerLog
  readonly partitions: () => readonly number[]
  readonly group: (partition: number) => Raft | undefined
  readonly touch: (partition: number) => void
  readonly isConnected: (peerId: string) => boolean
  /** For so long after the first contact a node is given no leadership. */
  readonly settlingMs: number
  /** This peer said that it is about to stop: nothing goes to it any more, also if it is preferred. */
  readonly isStopping: (peerId: string) => boolean
  /** Tells the others that this node is about to stop; resolves when they know, or soon. */
  readonly sayGoodbye: () => Promise<void>
  readonly self: ReplicaId
  /** Asked before voters change, by peer id. When it says no, it is asked again. */
  readonly mayChange?: (
    partition: number,
    voters: { readonly now: readonly string[]; readonly next: readonly string[] },
  ) => boolean
}

export interface Reconciler {
  start(): void
  /**
   * From now on, lead nothing: hand every leadership to a reachable voter, the one that is preferred if it can take it.
   * Resolves with how many were to be handed over, and how many of them are left at the deadline.
   */
  handOver(options: { readonly timeoutMs: number }): Promise<{ readonly led: number; readonly left: number }>
  stop(): void
}

interface Offer {
  readonly to: ReplicaId
  readonly againAt: number
  readonly delayMs: number
  /** Since when the other is seen to lead; null while it does not. */
  readonly ledSince: number | null
}

export function createReconciler(init: ReconcilerInit): Reconciler {
  const { clock, log, controller } = init
  const newcomers = createNewcomers(init)
  let cancel: Cancel = () => {}
  let isHandingOver = false
  let isPlacing = false
  /** By partition: the last offer of leadership that came to nothing yet. Terms pass meanwhile; the offer stays. */
  const offers = new Map<number, Offer>()

  const isReachable = (id: ReplicaId): boolean => {
    const peerId = peerIdOf(id)
    return id === init.self || (init.isConnected(peerId) && !init.isStopping(peerId))
  }

  function round(): void {
    const state = controller.state()
    newcomers.watch(state.nodes.keys())
    if (controller.isLeader()) maybePlace(state)
    let catchingUp = 0
    let transfers = 0
    for (const partition of init.partitions()) {
      const raft = init.group(partition)
      if (raft === undefined) continue
      const status = raft.status()
      watchOffer(partition, status.leader)
      if (status.role !== 'leader' || !status.canServe || status.transferTarget !== null) continue
      const wanted = wantedOf(state, partition)
      if (wanted === undefined) continue
      const isCatchingUp = (id: ReplicaId): boolean => wanted.voters.includes(id) && isReachable(id)
      if (status.configuration.learners.some(isCatchingUp)) catchingUp += 1
      const next = nextChange(status, wanted, isReachable)
      if (next.type === 'transfer') {
        if (transfers >= transfersPerRoundMax || !mayOffer(partition, next.to)) continue
        if (newcomers.has(peerIdOf(next.to))) continue
        if (raft.transferLeadership(next.to)) {
          transfers += 1
          rememberOffer(partition, next.to)
          log.debug({ partition, to: peerIdOf(next.to) }, 'cluster: leadership goes to its preferred place')
        }
      } else if (next.type === 'change') {
        if (next.change.type === 'add-learner' && catchingUp >= catchingUpMax) continue
        if (
          next.change.type !== 'add-learner' &&
          init.mayChange?.(partition, votersAfter(status.configuration.voters, next.change)) === false
        )
          continue
        const result = raft.changeConfiguration(next.change)
        if (result.type === 'appended') {
          const { type, id } = next.change
          log.debug({ partition, change: type, replica: peerIdOf(id) }, 'cluster: a replica moves')
        }
      }
      init.touch(partition)
    }
  }

  function mayOffer(partition: number, to: ReplicaId): boolean {
    const last = offers.get(partition)
    return last === undefined || last.to !== to || clock.now() >= last.againAt
  }

  function rememberOffer(partition: number, to: ReplicaId): void {
    const last = offers.get(partition)
    const delayMs = last?.to === to ? Math.min(2 * last.delayMs, transferRetryMsMax) : transferRetryMsMin
    offers.set(partition, { to, againAt: clock.now() + delayMs, delayMs, ledSince: null })
  }

  /** One that leads for a while has taken it; one that went away comes back as another. */
  function watchOffer(partition: number, leader: ReplicaId | null): void {
    const offer = offers.get(partition)
    if (offer === undefined) return
    const ledSince = leader === offer.to ? (offer.ledSince ?? clock.now()) : null
    const isTaken = ledSince !== null && clock.now() - ledSince >= takenMs
    if (isTaken || !isReachable(offer.to)) offers.delete(partition)
    else if (ledSince !== offer.ledSince) offers.set(partition, { ...offer, ledSince })
  }

  function maybePlace(state: ClusterState): void {
    const wanted = placementChanges(state)
    const changed = Object.keys(wanted).length
    if (changed === 0 || isPlacing) return
    isPlacing = true
    log.info({ partitions: changed, nodes: state.nodes.size }, 'controller: new placement')
    controller
      .submit({ type: 'place', wanted }, { timeoutMs: submitTimeoutMs })
      .catch((error: unknown) =>
        log.warn({ error: String(error) }, 'controller: the placement was not recorded; trying again'),
      )
      .finally(() => {
        isPlacing = false
      })
  }

  /** By partition: who was asked to take over already, oldest first. */
  const asked = new Map<number, readonly ReplicaId[]>()

  function handOverRound(): number {
    const state = controller.state()
    let left = 0
    for (const partition of init.partitions()) {
      const raft = init.group(partition)
      const status = raft?.status()
      if (raft === undefined || status?.role !== 'leader') continue
      const others = status.progress.filter(({ id, voter }) => id !== init.self && voter && isReachable(id))
      if (others.length === 0) continue
      left += 1
      // After a pause of this process nobody has answered yet: that comes with the next heartbeats.
      const active = others.filter(other => other.active)
      const heir = heirOf(active, {
        preference: wantedOf(state, partition)?.voters ?? [],
        asked: asked.get(partition),
        isNew: id => newcomers.has(peerIdOf(id)),
      })
      if (heir === undefined || status.transferTarget !== null) continue
      if (!raft.transferLeadership(heir.id)) continue
      asked.set(partition, [...(asked.get(partition) ?? []), heir.id])
      init.touch(partition)
    }
    return left
  }

  function scheduleRound(): void {
    cancel = clock.after(roundMs, () => {
      if (isHandingOver) return
      round()
      scheduleRound()
    })
  }

  return {
    start: scheduleRound,
    async handOver({ timeoutMs }) {
      isHandingOver = true
      cancel()
      const deadline = clock.now() + timeoutMs
      // Otherwise the partitions that prefer this node would come straight back to it.
      await init.sayGoodbye()
      const led = handOverRound()
      let left = led
      while (left > 0 && clock.now() < deadline) {
        await new Promise<void>(resolve => clock.after(20, resolve))
        left = handOverRound()
      }
      return { led, left }
    },
    stop() {
      isHandingOver = true
      cancel()
    },
  }
}

interface Heir {
  readonly id: ReplicaId
  readonly match: number
}

/**
 * One that is asked for the first time, has as much of the log as the others, give or take what is on its way, did not
 * start just now, and is the preferred one: another would only hand the leadership on, and callers would wait twice.
 */
function heirOf(
  candidates: readonly Heir[],
  {
    preference,
    asked = [],
    isNew,
  }: {
    readonly preference: readonly ReplicaId[]
    readonly asked: readonly ReplicaId[] | undefined
    readonly isNew: (id: ReplicaId) => boolean
  },
): Heir | undefined {
  const best = Math.max(...candidates.map(({ match }) => match))
  const timesAsked = ({ id }: Heir): number => asked.filter(other => other === id).length
  const isBehind = ({ match }: Heir): boolean => best - match > onItsWayMax
  const place = ({ id }: Heir): number =>
    preference.includes(id) ? preference.indexOf(id) : preference.length
  return candidates.toSorted(
    (a, b) =>
      timesAsked(a) - timesAsked(b) ||
      Number(isBehind(a)) - Number(isBehind(b)) ||
      Number(isNew(a.id)) - Number(isNew(b.id)) ||
      place(a) - place(b) ||
      b.match - a.match,
  )[0]
}

/** Peer ids of the voters, before and after. */
function votersAfter(
  voters: readonly ReplicaId[],
  { type, id }: ConfigurationChange,
): { readonly now: readonly string[]; readonly next: readonly string[] } {
  const others = voters.filter(voter => voter !== id)
  const next = type === 'promote' ? [...others, id] : type === 'add-learner' ? voters : others
  return { now: voters.map(peerIdOf), next: next.map(peerIdOf) }
}

function wantedOf(state: ClusterState, partition: number): Placement | undefined {
  if (partition === controllerPartition) {
    return state.nodes.size === 0 ? undefined : controllerPlacement(state)
  }
  const wanted = state.wanted.get(partition)
  if (wanted === undefined) return undefined
  // A node that was removed since is not waited for.
  const present = new Set(
    [...state.nodes.values()].filter(node => node.state !== 'removed').map(replicaIdOfNode),
  )
  return {
    voters: wanted.voters.filter(id => present.has(id)),
    learners: wanted.learners.filter(id => present.has(id)),
  }
}
