// What `status` says: gathered from the parts, in plain data.
import type { ClusterState } from '../cluster/cluster-state.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { QuarantineStatus } from '../partition/quarantine.ts'
import type { QueryStatus } from '../query/query.ts'
import type { RaftStatus } from '../raft/raft.ts'
import type { ReactionStatus } from '../reaction/reactions.ts'
import type { LeaderTable } from '../registry/leader-table.ts'
import type { Contacts } from './contacts.ts'
import type { MissingReplicas } from './missing-replicas.ts'
import type { MemberStatus, NodeStatus, PartitionStatus } from './node-api.ts'

export interface StatusSources {
  readonly self: string
  /** Wall time. */
  readonly nowMs: number
  readonly state: ClusterState
  readonly table: LeaderTable
  readonly statusOf: (partition: number) => RaftStatus | undefined
  readonly contacts: Contacts
  /** Why a member stopped, as it said itself; null when it said nothing. */
  readonly lastWordsOf: (peerId: string) => string | null
  /** Voters that cannot be reached from here; null for none. */
  readonly missingOf: (partition: number) => MissingReplicas | null
  /** Of the data directory; null in memory, and where the system does not tell. */
  readonly disk: { readonly path: string; readonly freeBytes: number; readonly totalBytes: number } | null
  /** Why this node is about to stop. */
  readonly failure: Error | undefined
  /** That no member has been reached for some time, and what to do. */
  readonly noContact: string | null
  readonly heads: ReadonlyMap<number, number>
  readonly queries: readonly QueryStatus[]
  readonly reactions: readonly ReactionStatus[]
  /** Aggregates that this node met and could not load. */
  readonly quarantined: QuarantineStatus
  /** Kinds of events that rest here and that nothing which is loaded can read, a line each. */
  readonly historyProblems: readonly string[]
  /** Files of the config directory that were not loaded, a line each. */
  readonly pluginProblems: readonly string[]
}

export function memberStatuses(sources: StatusSources): MemberStatus[] {
  return [...sources.state.nodes.values()].map(({ peerId, name, state, role, addresses }) => {
    const { isConnected, sinceMs } = sources.contacts.of(peerId)
    const unreachableSince = isConnected ? null : new Date(sinceMs).toISOString()
    const lastWords = isConnected ? null : sources.lastWordsOf(peerId)
    return { peerId, name, state, role, addresses, reachable: isConnected, unreachableSince, lastWords }
  })
}

export function partitionStatuses(sources: StatusSources): PartitionStatus[] {
  const count = sources.state.settings?.partitions ?? 0
  return Array.from({ length: count + 1 }, (_, id) => partitionStatus(sources, id))
}

function partitionStatus(sources: StatusSources, id: number): PartitionStatus {
  const { leader, term } = sources.table.leaderOf(id)
  const here = sources.statusOf(id)
  const wanted = sources.state.wanted.get(id)
  const isMember =
    here !== undefined && [...here.configuration.voters, ...here.configuration.learners].includes(here.id)
  const members = isMember ? here.configuration : (wanted ?? { voters: [], learners: [] })
  return {
    id,
    leader,
    term,
    voters: members.voters.map(peerIdOf),
    learners: members.learners.map(peerIdOf),
    commitIndex: isMember ? here.commitIndex : (sources.heads.get(id) ?? 0),
  }
}

export function nodeStatus(
  sources: StatusSources,
  node: NodeStatus['node'],
  problems: readonly string[],
): NodeStatus {
  const settings = sources.state.settings
  return {
    node,
    cluster: {
      id: settings?.clusterId ?? '',
      topic: settings?.topic ?? '',
      scope: settings?.scope ?? '',
      partitions: settings?.partitions ?? 0,
      replicas: settings?.replicas ?? 0,
    },
    members: memberStatuses(sources),
    partitions: partitionStatuses(sources),
    queries: sources.queries,
    reactions: sources.reactions,
    quarantined: sources.quarantined,
    problems,
  }
}
