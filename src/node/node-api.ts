// What a running node offers to the library, the HTTP API and the CLI. Implemented by `createNode`.
import type { LeaveProgress } from '../cluster/leaving.ts'
import type { AggregateKey, Command, Metadata } from '../core/command.ts'
import type { EventEnvelope } from '../core/event.ts'
import type { EventFilter } from '../core/event-filter.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Position } from '../core/position.ts'
import type { NewQueryMessage } from '../core/query-message.ts'
import type { ForgetOptions, SubjectReport } from '../erasure/forgetting.ts'
import type { QuarantineStatus } from '../partition/quarantine.ts'
import type { QueryStatus } from '../query/query.ts'
import type { ReactionStatus } from '../reaction/reactions.ts'
import type { Append, AppendResult } from '../store/shared-store.ts'
import type { Explanation } from './explanation.ts'
import type { InspectionApi, SystemStats } from './inspection.ts'
import type { QueriesApi } from './queries-api.ts'

export type { LeaveProgress } from '../cluster/leaving.ts'
export type { ForgetOptions, MemberMemory, SubjectReport } from '../erasure/forgetting.ts'

/** How a command is sent. */
export interface ExecuteOptions {
  /** A retry with the same id returns the first outcome. A UUIDv7 when left out. */
  readonly commandId?: string
  readonly metadata?: Metadata
  /** How long to try, over all retries and redirects. Default 10 000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** How long to try, and how to give up. */
export interface ReadOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** Events that were decided elsewhere, of one aggregate: appended together or not at all. The node names the partition. */
export type GivenAppend = Omit<Append, 'partition'>

/** As a store answers, with the partition that `index` is of. */
export type GivenAppendResult =
  | (Extract<AppendResult, { type: 'appended' }> & { readonly partition: number })
  | Exclude<AppendResult, { type: 'appended' }>

/** An aggregate as its leader has it. */
export interface LoadedAggregate<State = unknown> {
  readonly aggregate: AggregateKey
  /** 0 for an aggregate without events: `state` is the empty state then. */
  readonly sequence: number
  readonly state: State
  readonly position: Position
}

/** One member of the cluster, as the node sees it that was asked. */
export interface MemberStatus {
  readonly peerId: string
  readonly name: string
  readonly state: 'active' | 'draining' | 'removed'
  readonly role: 'full' | 'query'
  readonly addresses: readonly string[]
  readonly reachable: boolean
  /** ISO 8601, as this node sees it; null when it is reachable. */
  readonly unreachableSince: string | null
  /** Why it stopped, as it said itself: `it was stopped`, or what failed. Null when it is reachable or said nothing. */
  readonly lastWords: string | null
}

/** One partition: who leads it and who holds it. */
export interface PartitionStatus {
  readonly id: number
  /** Peer id, or null when this node knows of none. */
  readonly leader: string | null
  readonly term: number
  /** Peer ids. */
  readonly voters: readonly string[]
  readonly learners: readonly string[]
  /** On a shared store: the last index of the partition there, as far as this node knows. */
  readonly commitIndex: number
}

/** The node that was asked, its cluster, its queries, and what is wrong. */
export interface NodeStatus {
  readonly node: {
    readonly peerId: string
    readonly name: string
    readonly version: string
    readonly addresses: readonly string[]
    readonly dataDirectory: string | null
    readonly uptimeSeconds: number
    /** `failed`: its store failed; it hands over what it leads, and stops. */
    readonly state: 'starting' | 'joining' | 'ready' | 'stopping' | 'failed'
  }
  /** Where events rest: on the nodes, or in a store that all of them share. Without secrets. */
  readonly store: { readonly type: 'local' | 'shared'; readonly location: string }
  readonly cluster: {
    readonly id: string
    readonly topic: string
    readonly scope: string
    readonly partitions: number
    readonly replicas: number
  }
  readonly members: readonly MemberStatus[]
  /** Controller group first (id 0), then the data partitions. */
  readonly partitions: readonly PartitionStatus[]
  readonly queries: readonly QueryStatus[]
  /** Handlers and processes, as far as this node runs them: for the partitions that it leads. */
  readonly reactions: readonly ReactionStatus[]
  /** Aggregates whose history does not fit their file, as far as this node met them since it runs. */
  readonly quarantined: QuarantineStatus
  /** What is degraded and what to do, in words. Empty when all is well. */
  readonly problems: readonly string[]
}

/** Which node holds which partition, and what has to move. */
export interface PlacementStatus {
  readonly partitions: readonly {
    readonly id: number
    readonly leader: string | null
    /** Peer ids of the wanted replicas, the preferred leader first. */
    readonly wanted: readonly string[]
    readonly voters: readonly string[]
    readonly learners: readonly string[]
  }[]
  readonly nodes: readonly {
    readonly peerId: string
    readonly name: string
    readonly leads: number
    readonly votes: number
    readonly learns: number
    /** Partitions that prefer it as their leader, and that want it as a replica. */
    readonly wantedLeads: number
    readonly wantedReplicas: number
  }[]
  /** What has to happen until every partition has the replicas that are wanted. */
  readonly moves: readonly {
    readonly partition: number
    readonly peerId: string
    readonly name: string
    readonly from: 'voter' | 'learner' | 'none'
    readonly to: 'voter' | 'learner' | 'none'
  }[]
  /** Every replica and every leadership is where it belongs. */
  readonly asWanted: boolean
}

/** What a node has loaded. */
export interface LoadedDefinitions {
  /** By aggregate type: the command names that its schemas list, or null when it has no list. */
  readonly aggregates: ReadonlyMap<string, readonly string[] | null>
  readonly queries: readonly string[]
}

/** Events as an async iterable, once through: `for await (const event of node.subscribe(…))`. */
export interface Subscription<Envelope extends EventEnvelope = EventEnvelope>
  extends AsyncIterable<Envelope> {
  /**
   * Where to go on: a token of all that was handed out so far, whole commands only. Saved after the work on an event, it
   * makes that work happen at least once; the events of a command that was cut in the middle come again.
   */
  token(): string
}

/** A message that was sent. */
export interface PublishedMessage {
  /** Of the message: a UUIDv7. */
  readonly id: string
  /** The neighbours that it was handed to; they pass it on. 0 on a node that is alone, whose own queries have it. */
  readonly peers: number
}

/** The queries of one node, as it said itself. */
export interface NodeSubscribers {
  readonly peerId: string
  /** Of the node. */
  readonly name: string
  /** `unknown`: it did not answer in time, see `error`; it may run queries all the same. */
  readonly state: 'known' | 'unknown'
  readonly queries: readonly Pick<
    QueryStatus,
    'name' | 'version' | 'state' | 'lag' | 'lastError' | 'messages'
  >[]
  readonly error: string | null
}

/** What a running node does, by name; `GlynNode` adds definitions and their types. */
export interface NodeApi extends InspectionApi {
  readonly peerId: string
  readonly clusterId: string
  /** Where others reach this node: multiaddrs with `/p2p/<peer id>`. */
  addresses(): readonly string[]
  /** What this node has loaded. */
  definitions(): LoadedDefinitions
  /** Throws GlynError. A rejection by the domain is an outcome. */
  execute(type: string, id: string, command: Command, options?: ExecuteOptions): Promise<Outcome>
  /**
   * Appends events as they are: nothing is decided, types need not be loaded, but what loaded code cannot `apply` is refused
   * (AGGREGATE_FAILED). One result for each, in order; those of one aggregate are made in their order. A command id counts
   * once per aggregate, for ever, as for commands. Durable and published as commands are. Each append is atomic by itself:
   * when the call throws, some may be written. The same call again, with the same ids, finds out: those are `duplicate`.
   * Throws INVALID_ARGUMENT before anything is written, MESSAGE_TOO_LARGE, OVERLOADED, UNAVAILABLE.
   */
  append(appends: readonly GivenAppend[], options?: ReadOptions): Promise<readonly GivenAppendResult[]>
  /** Linearizable: includes every command acknowledged before the call. */
  loadAggregate(type: string, id: string, options?: ReadOptions): Promise<LoadedAggregate>
  /** Linearizable; by sequence. */
  loadEvents(
    type: string,
    id: string,
    options?: ReadOptions & { readonly fromSequence?: number; readonly limit?: number },
  ): Promise<readonly EventEnvelope[]>
  /**
   * Asks a query of this node. With `after`, a token of a command, the answer includes what that command did: it waits until
   * the query has seen it, and throws QUERY_LAGGING when the time is up before.
   */
  query(
    name: string,
    question: string,
    parameters: Readonly<Record<string, unknown>>,
    options?: ReadOptions & { readonly after?: string },
  ): Promise<unknown>
  /** What there is to do with queries beside asking them. */
  readonly queries: QueriesApi
  /**
   * Committed events of all partitions, each partition in order, from `from` on: `start`, `now` (the moment of the call)
   * or a token; one that is ahead of the log waits for it. The events of one entry follow each other. With `until: 'now'`
   * it ends after what was committed at the call, as far as this node knew, with a token when that is reached, else only by `signal`, `break` or, with SHUTTING_DOWN, when the node
   * closes. Nothing is read ahead of a slow reader but one page. Throws INVALID_ARGUMENT for a token of another cluster.
   */
  subscribe(options: {
    readonly from: 'start' | 'now' | (string & {})
    readonly until?: 'now' | (string & {})
    readonly filter?: EventFilter
    readonly signal?: AbortSignal
  }): Subscription
  /**
   * Tells every query with an `onMessage`, on every node that can be reached, something that is no event: it is not stored,
   * has no order and comes at most once. Resolves when it is sent. Throws INVALID_ARGUMENT, MESSAGE_TOO_LARGE (above
   * 64 KiB of data), OVERLOADED, SHUTTING_DOWN.
   */
  publish(message: NewQueryMessage): Promise<PublishedMessage>
  /** Which nodes run which queries: asks every member, each for `timeoutMs` (default 2000) at most. Sorted by node name. */
  subscribers(options?: { readonly timeoutMs?: number }): Promise<readonly NodeSubscribers[]>
  /**
   * A token of all partitions, which includes everything that was acknowledged before the call, on whatever node. Throws
   * UNAVAILABLE when a partition has no leader for ten seconds.
   */
  heads(options?: { readonly signal?: AbortSignal }): Promise<string>
  /**
   * A backup of all partitions while the node runs: the bytes of one file, which `glyn-node restore` takes. Everything that
   * was acknowledged before the call is in it, and nothing that is not committed; each partition up to where it was when the
   * backup began. Throws UNAVAILABLE when a partition has no leader, or none of its replicas can be read.
   */
  backup(options?: { readonly signal?: AbortSignal }): AsyncIterable<Uint8Array>
  /** This node, its cluster as it sees it, its queries, and what is wrong. */
  status(): Promise<NodeStatus>
  /** Counts of this node: of its disk, and of what was asked of it since it runs. */
  systemStats(): Promise<SystemStats>
  /** Which node holds which partition, and what has to move. */
  placement(): Promise<PlacementStatus>
  /**
   * Where an aggregate lives, why there, how far its replicas and queries are, and the last changes of leadership. It
   * asks every member that can be reached, and needs neither a leader nor a majority. The aggregate need not exist.
   */
  explain(type: string, id: string): Promise<Explanation>
  /**
   * Destroys the keys of a subject on every node, for ever: the data of its events cannot be read any more, and nothing is
   * stored for it again (SUBJECT_FORGOTTEN). Waits for members that do not confirm; the report says who has. Those that
   * could not be reached forget when they are back. May be called again. Throws ENTITY_NOT_FOUND for a subject without keys,
   * unless it is forced, and what the store of keys throws.
   */
  forget(subject: string, options?: ForgetOptions): Promise<SubjectReport>
  /** Who has forgotten a subject. Changes nothing. Asks every member, for 2000 ms at most when left out. */
  forgetStatus(subject: string, options?: ReadOptions): Promise<SubjectReport>
  /**
   * Removes a member for ever, at once: for one that is dead. Throws ENTITY_NOT_FOUND, INVALID_ARGUMENT when the others
   * could not go on without it, and UNAVAILABLE when that is only so until replicas have moved, or the controller has no
   * majority.
   */
  removeMember(peerId: string): Promise<void>
  /**
   * This node leaves for ever: its replicas and leaderships move to others while commands go on; then it is removed and
   * closes. Resolves when it is closed. Throws INVALID_ARGUMENT for the last node that holds replicas. When the signal
   * is aborted, or this process ends, the node goes on leaving, also after a restart.
   */
  leave(options?: {
    readonly signal?: AbortSignal
    readonly onProgress?: (progress: LeaveProgress) => void
  }): Promise<void>
  /** Stays after all; what moved away comes back. */
  cancelLeave(): Promise<void>
  /** Hands leaderships over, finishes what was accepted, closes. Idempotent. */
  close(): Promise<void>
}
