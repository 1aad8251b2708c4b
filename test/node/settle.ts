// When a test cluster is at rest: every node wants what the placement of exactly these nodes is, and has it.
import type { ClusterState } from '../../src/cluster/cluster-state.ts'
import { controllerPlacement, placementChanges } from '../../src/cluster/wanted-placement.ts'
import { controllerPartition } from '../../src/core/partition-of.ts'
import type { Placement } from '../../src/core/placement.ts'
import { eventually, type MemoryCluster, type MemoryNode } from './memory-cluster.ts'

/** Waits until nothing moves any more by itself. */
export async function settle(cluster: MemoryCluster): Promise<void> {
  await eventually(
    () => whatMoves(cluster) === null,
    () => `${cluster.nodes.length} nodes settle; ${whatMoves(cluster)}`,
  )
}

/**
 * What is not yet as it will be, or null. A node that has just joined counts before anything was planned for it: the
 * plan has to be that of all the nodes of the test, as every one of them sees it. Nodes that were removed do not count.
 */
export function whatMoves(cluster: MemoryCluster): string | null {
  const members = cluster.nodes.filter(node =>
    cluster.nodes.some(other => other.parts.state().nodes.get(node.peerId)?.state !== 'removed'),
  )
  for (const node of members) {
    const problem = whatIsNotPlanned(node, members)
    if (problem !== null) return `${node.peerId} ${problem}`
  }
  const [first] = members
  if (first === undefined) return 'there is no node'
  for (const partition of [controllerPartition, ...first.parts.dataPartitions()]) {
    const problem = whatIsOutOfPlace(members, partition, wantedOf(first.parts.state(), partition))
    if (problem !== null) return `partition ${partition}: ${problem}`
  }
  return null
}

function whatIsNotPlanned(node: MemoryNode, members: readonly MemoryNode[]): string | null {
  const state = node.parts.state()
  if (state.settings === undefined) return 'does not know the settings'
  for (const { peerId, role, store, parts } of members) {
    const known = state.nodes.get(peerId)
    if (known === undefined) return `does not know ${peerId}`
    if (known.role !== role || known.storageId !== store.storageId) return `knows another ${peerId}`
    if (known.state !== parts.state().nodes.get(peerId)?.state) return `has no news of ${peerId}`
  }
  for (const { peerId, state: lives } of state.nodes.values()) {
    if (lives !== 'removed' && !members.some(member => member.peerId === peerId))
      return `counts on ${peerId}, which is gone`
  }
  const unplanned = Object.keys(placementChanges(state))
  return unplanned.length === 0 ? null : `has no plan yet for the partitions ${unplanned.join(', ')}`
}

function whatIsOutOfPlace(
  members: readonly MemoryNode[],
  partition: number,
  wanted: Placement,
): string | null {
  for (const { parts } of members) {
    const { id } = parts.engine
    if (![...wanted.voters, ...wanted.learners].includes(id)) continue
    const status = parts.engine.status(partition)
    if (status === undefined) return `${id} has no replica`
    if (!isSame(status.configuration, wanted)) return `${id} knows other replicas`
    if (status.leader !== wanted.voters[0]) return `${id} follows ${status.leader}, not ${wanted.voters[0]}`
    if (status.leader === id && !status.canServe) return `${id} does not serve yet`
    if (partition !== controllerPartition && !parts.isLocal(partition))
      return `${id} does not count its replica`
  }
  return null
}

const wantedOf = (state: ClusterState, partition: number): Placement =>
  (partition === controllerPartition ? controllerPlacement(state) : state.wanted.get(partition)) ?? {
    voters: [],
    learners: [],
  }

const isSame = (a: Placement, b: Placement): boolean =>
  sorted(a.voters) === sorted(b.voters) && sorted(a.learners) === sorted(b.learners)

const sorted = (ids: readonly string[]): string => [...ids].sort().join()
