// The port of consensus: a state machine without I/O, clock or promise, in the manner of etcd's RawNode.
// Contract: call `tick`, `step`, `propose`, … ; then, while `hasReady()`, take `ready()` and carry out its effects:
//   1. send `messages` at once,
//   2. make `persist` durable (one outstanding at a time), then call `persisted()`, then send `persist.messages`,
//   3. act on `committed`, `reads` and `role`.
// Same state and same inputs give the same outputs.
import type { Random } from '../core/clock.ts'
import type { ReplicaId } from '../core/replica-id.ts'
import type { Configuration, ConfigurationEntry } from './configuration.ts'
import type { Entry, HashEntry } from './entry.ts'
import type { RaftMessage } from './message.ts'

/** What a replica is at the moment. */
export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader'

export interface HardState {
  readonly term: number
  /** Whom this replica voted for in `term`. */
  readonly vote: ReplicaId | null
  /** A lower bound of what is committed. Written along with other work, never alone for its own sake. */
  readonly commit: number
}

/** The durable part of the log, read synchronously. Never asked for entries whose write is not durable. */
export interface LogReader {
  /** Entries from..to inclusive, stopping before `bytesMax` is exceeded, but at least one. */
  entries(from: number, to: number, bytesMax: number): readonly Entry[]
  /** Undefined when there is no such entry. */
  term(index: number): number | undefined
  hash(index: number): Uint8Array | undefined
}

export interface RaftOptions {
  /** Election timeouts are drawn from [electionTicks, 2 × electionTicks). */
  readonly electionTicks: number
  readonly heartbeatTicks: number
  /** Bounds of one append message. */
  readonly appendBytesMax: number
  /** Bounds of what is under way to one follower. */
  readonly inflightAppendsMax: number
  readonly inflightBytesMax: number
  /** Past this many bytes of uncommitted entries a proposal is refused with `overloaded`. */
  readonly uncommittedBytesMax: number
}

export interface RaftInit {
  readonly id: ReplicaId
  readonly hardState: HardState
  /** Index, of the last durable entry; 0 for an empty log. */
  readonly lastIndex: number
  /** Every configuration in the durable log, oldest first. */
  readonly configurations: readonly ConfigurationEntry[]
  readonly log: LogReader
  readonly hashEntry: HashEntry
  readonly random: Random
  readonly options: RaftOptions
}

export interface Persist {
  /** Null: unchanged. */
  readonly hardState: HardState | null
  /** Remove every entry with index >= this, in the same transaction, before the append. Null: nothing to remove. */
  readonly truncateFrom: number | null
  readonly entries: readonly Entry[]
  /** To be sent only after the write is durable. */
  readonly messages: readonly RaftMessage[]
}

export interface ConfirmedRead {
  readonly context: number
  /** Serve the read from a state that includes this index. Null: leadership was lost, the read must be retried. */
  readonly index: number | null
}

export interface RoleChange {
  readonly role: Role
  readonly term: number
  readonly leader: ReplicaId | null
  /** Leader only: has committed an entry of its own term, so that its state is complete and may serve. */
  readonly canServe: boolean
  /** Why, in words, for the log: `election timeout`, `higher term 7 from …`, `lost its majority`, … */
  readonly reason: string
}

export interface Ready {
  readonly messages: readonly RaftMessage[]
  /** Null when there is nothing to write or a write is outstanding. */
  readonly persist: Persist | null
  /**
   * Entries `from..to` are newly committed *and* durable here. Each index is handed out once; those up to the commit
   * index of `RaftInit.hardState` count as handed out before.
   */
  readonly committed: { readonly from: number; readonly to: number } | null
  readonly reads: readonly ConfirmedRead[]
  readonly role: RoleChange | null
}

export type ProposeResult =
  | { readonly type: 'appended'; readonly index: number; readonly term: number }
  | { readonly type: 'refused'; readonly reason: 'not-leader' | 'transferring' | 'overloaded' }

/** One step: exactly one replica changes its place. */
export type ConfigurationChange =
  | { readonly type: 'add-learner'; readonly id: ReplicaId }
  | { readonly type: 'promote'; readonly id: ReplicaId }
  | { readonly type: 'demote'; readonly id: ReplicaId }
  | { readonly type: 'remove'; readonly id: ReplicaId }

export type ChangeResult =
  | { readonly type: 'appended'; readonly index: number; readonly term: number }
  | {
      readonly type: 'refused'
      readonly reason:
        | 'not-leader'
        | 'transferring'
        | 'change-pending' // the last one is not committed yet
        | 'no-commit-in-term' // the leader has not committed an entry of its own term yet
        | 'not-caught-up' // promote: the learner lags
        | 'no-such-member'
        | 'already-so'
        | 'last-voter'
    }

export interface FollowerProgress {
  readonly id: ReplicaId
  readonly voter: boolean
  readonly match: number
  readonly state: 'probe' | 'replicate'
  /** Heard from within the last election timeout. */
  readonly active: boolean
  readonly caughtUp: boolean
}

export interface RaftStatus {
  readonly id: ReplicaId
  readonly role: Role
  readonly term: number
  readonly leader: ReplicaId | null
  readonly canServe: boolean
  readonly commitIndex: number
  /** Last index in memory or on disk; may be ahead of `durableIndex`. */
  readonly lastIndex: number
  readonly durableIndex: number
  readonly configuration: Configuration
  readonly configurationIndex: number
  readonly transferTarget: ReplicaId | null
  /** Leader only, otherwise empty. */
  readonly progress: readonly FollowerProgress[]
}

export interface Raft {
  /** Time passed. Called at a fixed rate by the driver, after the inbound messages have been stepped. */
  tick(): void
  /**
   * After the driver's event loop stood still: the driver says how many ticks it lost instead of replaying them.
   * A leader treats itself as possibly deposed; a follower grants the leader one fresh timeout (rule R14).
   */
  stalled(): void
  step(message: RaftMessage): void
  /** Leader: appends a `command` entry. Its durability and commit come later, through `ready()`. */
  propose(payload: Uint8Array): ProposeResult
  /** Leader: appends a `config` entry, if the rules of single-server change allow it now. */
  changeConfiguration(change: ConfigurationChange): ChangeResult
  /** Leader: asks for a linearizable read. The answer comes as a {@link ConfirmedRead} with this context. False: not leader, or 10,000 reads wait already. */
  readIndex(context: number): boolean
  /** Leader: hands leadership to a caught-up voter; given up after an election timeout. False: not possible now. */
  transferLeadership(to: ReplicaId): boolean
  /** Starts an election now, if this replica is a voter and knows of no leader of its term that it heard lately. */
  campaign(): void
  hasReady(): boolean
  ready(): Ready
  /** The last `ready().persist` is durable. */
  persisted(): void
  /** Entries from..to inclusive (durable or not), at least one, stopping before `bytesMax` is exceeded. */
  entries(from: number, to: number, bytesMax: number): readonly Entry[]
  status(): RaftStatus
}
