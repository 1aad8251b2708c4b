// The port of a local inner store: one node's replicas, replicated by us. Adapters: memory/, sqlite/.
import type { AggregateKey } from '../core/command.ts'
import type { StoredEvent } from '../core/record.ts'
import type { ConfigurationEntry } from '../raft/configuration.ts'
import type { Entry } from '../raft/entry.ts'
import type { HardState, LogReader } from '../raft/raft.ts'

/** What one partition has to write in one turn. */
export interface PartitionWrite {
  readonly partition: number
  /** Null: unchanged. */
  readonly hardState: HardState | null
  /** Entries with index >= this are removed before the append. Refused below the stored commit index. */
  readonly truncateFrom: number | null
  /** Contiguous, starting at the stored last index + 1 after the truncation. */
  readonly entries: readonly Entry[]
}

export interface Snapshot {
  readonly aggregate: AggregateKey
  /** The state holds the events 1..sequence. */
  readonly sequence: number
  /** The index of the entry of that last event. */
  readonly index: number
  readonly partition: number
  /** JSON text. */
  readonly state: string
  /** Names the code that made it (a hash of the aggregate's file, say); a snapshot of other code is ignored. */
  readonly definition: string
  readonly timeMs: number
}

/** One durable transaction: everything or nothing, with one fsync. */
export interface StoreBatch {
  readonly partitions: readonly PartitionWrite[]
  readonly snapshots: readonly Snapshot[]
  /** Settings of the node; null removes one. */
  readonly settings: Readonly<Record<string, string | null>>
}

/** What the store knows of a partition when it is opened. */
export interface RecoveredPartition {
  readonly partition: number
  readonly hardState: HardState
  readonly lastIndex: number
  readonly configurations: readonly ConfigurationEntry[]
}

export interface StoreStatistics {
  readonly events: number
  readonly entries: number
  readonly bytes: number
  /** Durable transactions since the store was opened; fewer than the calls of `write` where those were grouped. */
  readonly commits: number
}

/** Events of one type and version, of the aggregates of one type. */
export interface EventKind {
  readonly aggregateType: string
  readonly eventType: string
  readonly version: number
  readonly events: number
  /** Aggregates whose first event is one of these. */
  readonly aggregates: number
  /** The entry of the first of them, in the lowest partition that has any. */
  readonly first: { readonly partition: number; readonly index: number }
}

/**
 * Reads are synchronous and see at least every batch whose promise has resolved. Methods that take `throughIndex`
 * never show anything above it: the caller passes the commit index.
 */
export interface LocalStore {
  /** A UUID made with the database. A node that lost its disk, or restored a backup, has another one. */
  readonly storageId: string
  /** Where people find it: a path, or `memory`. */
  readonly location: string
  recover(): readonly RecoveredPartition[]
  /**
   * Resolves when the batch is durable. Batches become durable in the order of the calls; those that gather while a
   * commit is under way share the next one, and its failure. A failure is final: every later write fails with the same
   * error, and the node must stop acknowledging. It is a GlynError (STORE_FULL, STORE_READ_ONLY, STORE_CORRUPT,
   * EVENT_STORE_ERROR), or an InvariantError for a batch that breaks the rules of `check-write.ts`. Not final is
   * OVERLOADED: too much waits for the disk, and nothing of the batch was taken.
   */
  write(batch: StoreBatch): Promise<void>
  /** The durable log of one partition, for consensus. */
  log(partition: number): LogReader
  /** Events of one aggregate, by sequence, from `fromSequence`, at most `limit`. */
  readAggregate(
    aggregate: AggregateKey,
    range: {
      readonly partition: number
      readonly fromSequence: number
      readonly throughIndex: number
      readonly limit: number
    },
  ): readonly StoredEvent[]
  /** The events that a command id led to, in order; empty when it is unknown. */
  readCommand(
    aggregate: AggregateKey,
    command: { readonly partition: number; readonly commandId: string; readonly throughIndex: number },
  ): readonly StoredEvent[]
  /** Events of one partition by (index, offset), with `afterIndex` < index <= `throughIndex`; whole entries, at least one if there is any, at most about `limit` events. */
  readPartition(
    partition: number,
    range: { readonly afterIndex: number; readonly throughIndex: number; readonly limit: number },
  ): readonly StoredEvent[]
  latestSnapshot(aggregate: AggregateKey): Snapshot | undefined
  settings(): ReadonlyMap<string, string>
  statistics(): StoreStatistics
  /**
   * Which kinds of events rest here, by aggregate type, event type and version. Kept while entries are written: what it
   * costs does not grow with the history. Uncommitted entries count too.
   */
  eventKinds(): readonly EventKind[]
  /** Snapshots of these aggregates, by type and id, after `after`; for checking and making them again. */
  snapshots(filter: {
    readonly type?: string
    readonly after?: AggregateKey
    readonly limit: number
  }): readonly Snapshot[]
  /**
   * Aggregates that have at least one event, by type and id; for listing. What counts as committed is what
   * `commitIndexOf` says; without it the stored commit index, which lags.
   */
  aggregates(filter: {
    readonly type?: string
    /** Those that come later. */
    readonly after?: AggregateKey
    readonly limit: number
    readonly commitIndexOf?: (partition: number) => number
  }): readonly (AggregateKey & { readonly sequence: number })[]
  /** Waits for the batches under way. Idempotent. */
  close(): Promise<void>
}
