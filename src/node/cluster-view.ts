// What the change log looks at: the parts of a node, in plain data.
import type { ClusterState } from '../cluster/cluster-state.ts'
import { controllerPartition } from '../core/partition-of.ts'
import type { Placement } from '../core/placement.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { Mesh } from '../mesh/mesh.ts'
import type { RaftEngine } from '../partition/raft-engine.ts'
import type { LeaderTable } from '../registry/leader-table.ts'
import type { ClusterView } from './change-log.ts'
import { type MissingReplicas, missingInShort } from './missing-replicas.ts'

export function clusterView(parts: {
  readonly mesh: Pick<Mesh, 'peerId' | 'isConnected'>
  readonly engine: Pick<RaftEngine, 'leaderOf' | 'status'>
  readonly table: LeaderTable
  readonly state: ClusterState
  /** Of data. */
  readonly partitions: readonly number[]
  readonly missingOf: (partition: number) => MissingReplicas | null
  readonly lastWordsOf: (peerId: string) => string | null
}): ClusterView {
  const { mesh, engine, table, state } = parts
  const leaderless = new Map<number, string>()
  const led = new Set<number>()
  const moving = new Set<number>()
  const behind = new Map<number, string[]>()
  for (const partition of [controllerPartition, ...parts.partitions]) {
    const missing = parts.missingOf(partition)
    if (table.leaderOf(partition).leader === null || missing?.hasMajority === false)
      leaderless.set(partition, missing === null ? '' : missingInShort(missing))
    if (engine.leaderOf(partition)?.leader !== mesh.peerId) continue
    const status = engine.status(partition)
    if (status === undefined || !status.canServe) continue
    led.add(partition)
    const wanted = state.wanted.get(partition)
    if (wanted !== undefined && !hasSame(wanted, status.configuration)) moving.add(partition)
    const slow = status.progress.filter(({ active, caughtUp }) => active && !caughtUp)
    if (slow.length === 0) continue
    behind.set(
      partition,
      slow.map(({ id }) => state.nodes.get(peerIdOf(id))?.name ?? peerIdOf(id).slice(-6)),
    )
  }
  const others = [...state.nodes.values()].filter(({ peerId }) => peerId !== mesh.peerId)
  const members = new Map(
    others.map(({ peerId, name, role, state: memberState }) => [
      peerId,
      {
        name,
        role,
        state: memberState,
        isConnected: mesh.isConnected(peerId),
        lastWords: parts.lastWordsOf(peerId),
      },
    ]),
  )
  return { isListed: state.nodes.has(mesh.peerId), members, leaderless, led, moving, behind }
}

const hasSame = (a: Placement, b: Placement): boolean =>
  sorted(a.voters) === sorted(b.voters) && sorted(a.learners) === sorted(b.learners)

const sorted = (ids: readonly string[]): string => ids.toSorted().join()
