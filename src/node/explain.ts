// Answers `explain`: asks every member for its own view of a partition, and makes one picture of what they say.
// It works without a leader and without a majority; that is when it is needed most.
import type { ClusterState } from '../cluster/cluster-state.ts'
import { placeableNodes, replicaIdOfNode } from '../cluster/cluster-state.ts'
import type { Clock } from '../core/clock.ts'
import type { AggregateKey } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { rankNodes } from '../core/placement.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { PendingStatus } from '../partition/aggregate-host.ts'
import type { QuarantinedAggregate } from '../partition/quarantine.ts'
import type { RoleRecord } from '../partition/role-history.ts'
import type { QueryStatus } from '../query/query.ts'
import type { RaftStatus } from '../raft/raft.ts'
import type { Contacts } from './contacts.ts'
import { durationInWords } from './duration-in-words.ts'
import type { Explanation, LeadershipChange, ReplicaExplanation } from './explanation.ts'

const viewMethod = 'node.partition-view'
const viewTimeoutMs = 1500
/** Members that are asked; a cluster has fewer. */
const askedMax = 64

/** What one node says of a partition. */
export interface PartitionView {
  readonly peerId: string
  /** Null: it holds no replica. */
  readonly status: RaftStatus | null
  readonly history: readonly RoleRecord[]
  readonly pending: PendingStatus
  readonly queries: readonly Pick<QueryStatus, 'name' | 'state' | 'positions'>[]
  /** Missing from nodes of an older version. */
  readonly quarantined?: QuarantinedAggregate | null
}

export interface ExplainerInit {
  readonly self: string
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  readonly state: () => ClusterState
  readonly contacts: Contacts
  readonly viewOf: (partition: number, aggregate: AggregateKey | undefined) => PartitionView
  readonly problemsOf: (partition: number) => readonly string[]
}

export interface Explainer {
  explain(aggregate: AggregateKey, partition: number): Promise<Explanation>
}

export function createExplainer(init: ExplainerInit): Explainer {
  const { self, rpc, log } = init

  rpc.serve(viewMethod, (from, body) => {
    const node = init.state().nodes.get(from)
    if (node === undefined || node.state === 'removed')
      throw new GlynError('MEMBER_REMOVED', `${from} is not a member of this cluster`)
    const { partition, aggregate } = decode<{
      readonly partition: number
      readonly aggregate?: AggregateKey
    }>(body)
    return encode(init.viewOf(partition, aggregate))
  })

  async function ask(
    peerId: string,
    partition: number,
    aggregate: AggregateKey,
  ): Promise<PartitionView | undefined> {
    if (peerId === self) return init.viewOf(partition, aggregate)
    try {
      const answer = await rpc.request(peerId, viewMethod, encode({ partition, aggregate }), {
        timeoutMs: viewTimeoutMs,
      })
      return decode<PartitionView>(answer)
    } catch (error) {
      // Who does not answer is part of the picture.
      log.debug({ peer: peerId, partition, error: String(error) }, 'explain: a member did not answer')
      return undefined
    }
  }

  return {
    async explain(aggregate, partition) {
      const state = init.state()
      const members = [...state.nodes.values()].filter(node => node.state !== 'removed')
      const asked = members
        .map(({ peerId }) => peerId)
        .filter(peerId => init.contacts.of(peerId).isConnected)
        .slice(0, askedMax)
      const answers = await Promise.all(asked.map(peerId => ask(peerId, partition, aggregate)))
      return explanationOf({
        aggregate,
        partition,
        state,
        views: answers.filter(view => view !== undefined),
        contacts: init.contacts,
        nowMs: init.clock.wallTime(),
        problems: init.problemsOf(partition),
      })
    },
  }
}

interface PictureInit {
  readonly aggregate: AggregateKey
  readonly partition: number
  readonly state: ClusterState
  readonly views: readonly PartitionView[]
  readonly contacts: Contacts
  readonly nowMs: number
  readonly problems: readonly string[]
}

/** Pure. */
export function explanationOf(init: PictureInit): Explanation {
  const { aggregate, partition, state, views } = init
  const nameOf = (peerId: string): string => state.nodes.get(peerId)?.name ?? peerId.slice(-6)
  const leaderView = views
    .filter(({ status }) => status?.role === 'leader')
    .sort((a, b) => (b.status?.term ?? 0) - (a.status?.term ?? 0))[0]
  const known = leaderView ?? mostAdvanced(views)
  const wanted = state.wanted.get(partition)
  const preferred = wanted?.voters[0] === undefined ? null : peerIdOf(wanted.voters[0])
  const lastIndex = known?.status?.lastIndex ?? 0
  const commitIndex = known?.status?.commitIndex ?? 0
  const replicas = replicasOf(init, { known, leaderView, nameOf })
  const leader = leaderView?.peerId ?? null
  const ranked = rankNodes(partition, placeableNodes(state).map(replicaIdOfNode)).map(peerIdOf)
  const chosen = new Set([...(wanted?.voters ?? []), ...(wanted?.learners ?? [])].map(peerIdOf))
  const ranking = ranked.map((peerId, place) => ({
    rank: place + 1,
    peerId,
    name: nameOf(peerId),
    isChosen: chosen.has(peerId),
  }))
  return {
    aggregate,
    partition,
    partitions: state.settings?.partitions ?? 0,
    leader:
      leader === null ? null : { peerId: leader, name: nameOf(leader), isPreferred: leader === preferred },
    term: known?.status?.term ?? 0,
    commitIndex,
    lastIndex,
    replicas,
    ranking,
    why: [...whyThere(init, ranking), ...whyLeader(init, { leader, preferred, replicas, nameOf })],
    changes: changesOf(init, nameOf),
    pending: {
      commands: leaderView?.pending.count ?? 0,
      oldest: leaderView?.pending.oldest ?? [],
      reads: leaderView?.pending.reads ?? 0,
    },
    queries: views.flatMap(view =>
      view.queries.map(({ name, state: queryState, positions }) => {
        const position = positions[String(partition)] ?? 0
        return {
          peerId: view.peerId,
          node: nameOf(view.peerId),
          name,
          state: queryState,
          position,
          behind: Math.max(0, commitIndex - position),
        }
      }),
    ),
    quarantined: leaderView?.quarantined ?? views.find(view => view.quarantined)?.quarantined ?? null,
    problems: init.problems,
  }
}

function mostAdvanced(views: readonly PartitionView[]): PartitionView | undefined {
  return views
    .filter(({ status }) => status !== null && status.configuration.voters.length > 0)
    .sort(
      (a, b) =>
        (b.status?.term ?? 0) - (a.status?.term ?? 0) ||
        (b.status?.lastIndex ?? 0) - (a.status?.lastIndex ?? 0),
    )[0]
}

function replicasOf(
  { partition, state, views, contacts }: PictureInit,
  from: {
    readonly known: PartitionView | undefined
    readonly leaderView: PartitionView | undefined
    readonly nameOf: (peerId: string) => string
  },
): ReplicaExplanation[] {
  const { voters, learners } = from.known?.status?.configuration ?? { voters: [], learners: [] }
  const wanted = state.wanted.get(partition)
  const wantedIds = [...(wanted?.voters ?? []), ...(wanted?.learners ?? [])]
  const joining = wantedIds.filter(id => !voters.includes(id) && !learners.includes(id))
  const lastIndex = from.leaderView?.status?.lastIndex
  const seats = [
    ...voters.map(id => ({ id, seat: 'voter' as const })),
    ...learners.map(id => ({ id, seat: 'learner' as const })),
    ...joining.map(id => ({ id, seat: 'joining' as const })),
  ]
  return seats.map(({ id, seat }) => {
    const peerId = peerIdOf(id)
    const isLeader = from.leaderView?.peerId === peerId
    const own = views.find(view => view.peerId === peerId)?.status
    const progress = from.leaderView?.status?.progress.find(follower => follower.id === id)
    const matchIndex = isLeader ? (own?.durableIndex ?? null) : (progress?.match ?? own?.durableIndex ?? null)
    const contact = contacts.of(peerId)
    return {
      peerId,
      name: from.nameOf(peerId),
      seat,
      isLeader,
      isWanted: wantedIds.includes(id),
      isReachable: contact.isConnected,
      unreachableSince: contact.isConnected ? null : new Date(contact.sinceMs).toISOString(),
      matchIndex,
      behind: lastIndex === undefined || matchIndex === null ? null : Math.max(0, lastIndex - matchIndex),
      isActive: isLeader || (progress?.active ?? false),
    }
  })
}

function whyThere({ state, partition }: PictureInit, ranking: Explanation['ranking']): string[] {
  const chosen = ranking.filter(({ isChosen }) => isChosen)
  const [first] = chosen
  if (first === undefined) return ['The controller has not placed this partition yet.']
  const replicas = state.settings?.replicas ?? chosen.length
  const why = [
    `Partition ${partition} ranks the nodes by a hash of its number and theirs (rendezvous hashing): ` +
      `${ranking.map(({ rank, name }) => `${rank} ${name}`).join(', ')}.`,
    chosen.length < replicas
      ? `Wanted replicas: ${replicas}. Nodes that can hold one: ${ranking.length}. So there are fewer: ${chosen.length}.`
      : `The first ${chosen.length} hold a replica: ${chosen.map(({ name }) => name).join(', ')}.`,
    `${first.name} comes first, and is the preferred leader.`,
  ]
  if (chosen.length % 2 === 0)
    why.push(
      'An even number of voters survives no more failures than one less, so the last of them only listens.',
    )
  return why
}

function whyLeader(
  { contacts, nowMs }: PictureInit,
  facts: {
    readonly leader: string | null
    readonly preferred: string | null
    readonly replicas: readonly ReplicaExplanation[]
    readonly nameOf: (peerId: string) => string
  },
): string[] {
  const { leader, preferred, replicas, nameOf } = facts
  if (preferred === null || leader === preferred) return []
  const name = nameOf(preferred)
  const contact = contacts.of(preferred)
  if (!contact.isConnected)
    return [
      `${name} does not lead, because it cannot be reached, for ${durationInWords(nowMs - contact.sinceMs)}.`,
    ]
  if (leader === null) return ['Nobody leads now.']
  const replica = replicas.find(({ peerId }) => peerId === preferred)
  if (replica === undefined || replica.seat !== 'voter')
    return [`${name} does not lead yet: it is no voter yet, and catches up.`]
  if ((replica.behind ?? 0) > 0)
    return [
      `${name} does not lead yet: it is ${replica.behind} entries behind. ${nameOf(leader)} hands over to it when it has caught up.`,
    ]
  return [`${nameOf(leader)} hands over to ${name} soon.`]
}

/** Who led, and why no longer; and who stood in vain. Newest first. */
function changesOf({ views, state }: PictureInit, nameOf: (peerId: string) => string): LeadershipChange[] {
  const changes = views.flatMap(({ peerId, history }) =>
    history.flatMap((record, place) => {
      const type = typeOf(record, { before: history[place - 1], after: history[place + 1] })
      if (type === null) return []
      const { timeMs, role, term, reason } = record
      const time = new Date(timeMs).toISOString()
      return [{ time, peerId, name: nameOf(peerId), type, role, term, reason: withNames(reason, state) }]
    }),
  )
  return changes.sort((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : b.term - a.term))
}

const withNames = (reason: string, { nodes }: ClusterState): string =>
  [...nodes.values()].reduce((text, { peerId, name }) => text.replaceAll(peerId, name), reason)

function typeOf(
  now: RoleRecord,
  around: { readonly before: RoleRecord | undefined; readonly after: RoleRecord | undefined },
): LeadershipChange['type'] | null {
  if (now.role === 'leader') return 'elected'
  if (around.before?.role === 'leader') return 'stepped-down'
  const isWon = around.after?.role === 'leader' && around.after.term === now.term
  return now.role === 'candidate' && !isWon ? 'stood' : null
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const decode = <T>(body: Uint8Array): T => JSON.parse(new TextDecoder().decode(body)) as T
