// The port of a shared inner store: one history that every node reaches and that its own engine replicates. Adapters: memory/, postgres/.
import type { AggregateKey } from '../core/command.ts'
import type { RecordedEvent, StoredEvent } from '../core/record.ts'

/** The events of one command, for one aggregate: appended together or not at all. */
export interface Append {
  /** The partition that the hash of the aggregate names. */
  readonly partition: number
  readonly aggregate: AggregateKey
  /** The sequence of the aggregate's last event before these; 0 when it has none. */
  readonly expectedSequence: number
  readonly commandId: string
  /** Milliseconds since 1970 UTC. */
  readonly timeMs: number
  /** A flat JSON object of strings as text; `{}` when there is none. Read back as the same text. */
  readonly metadata: string
  /** Never empty. `data` is JSON text and is read back as the same text. */
  readonly events: readonly RecordedEvent[]
}

/** What came of an append. */
export type AppendResult =
  /** Durable, at (partition, index). */
  | { readonly type: 'appended'; readonly index: number }
  /** The aggregate is at `sequence`, which is not the one expected. Nothing of this append is written. */
  | { readonly type: 'conflict'; readonly sequence: number }
  /** This command id is in the aggregate's history already, with these events. Nothing is written. Comes before `conflict`. */
  | { readonly type: 'duplicate'; readonly events: readonly StoredEvent[] }

/** What goes with an append beside its events. */
export interface AppendOptions {
  /** All appends or none: when one conflicts, or is a duplicate, throws TRANSACTION_ROLLED_BACK that says which and why. */
  readonly isAtomic?: boolean
  /** Rejects with its reason. An append that is given up may have been written all the same. */
  readonly signal?: AbortSignal
}

/** A state at a sequence, as a shared store keeps it. */
export interface SharedSnapshot {
  readonly aggregate: AggregateKey
  /** The state holds the events 1..sequence. */
  readonly sequence: number
  /** JSON text. */
  readonly state: string
  /** Names the code that made it; a snapshot of other code is ignored. */
  readonly definition: string
  readonly timeMs: number
}

/** What a shared store holds. */
export interface SharedStatistics {
  readonly events: number
  readonly aggregates: number
}

/** What the store was first used with. Everybody who uses it later must agree. */
export interface StoreBinding {
  readonly scope: string
  readonly partitions: number
}

/**
 * Every call is safe beside any other, from any number of processes. Each partition is one totally ordered log: indexes grow
 * in the order in which appends become visible, without gaps, so a reader that has read through an index never finds
 * something new below it. Failures are GlynErrors: UNAVAILABLE (retryable: cannot be reached; an append may have been
 * written), EVENT_STORE_ERROR, STORE_FORMAT, STORE_FULL, STORE_READ_ONLY, TRANSACTION_FAILED, TRANSACTION_ROLLED_BACK;
 * INVALID_CONFIGURATION for a way to it that cannot work (a wrong password, an unknown database),
 * INVALID_ARGUMENT for what no store keeps as it is (see `check-append.ts`), SHUTTING_DOWN after `close`. Each node has a
 * store object of its own, which it opens and closes.
 */
export interface SharedStore {
  /** Where people find it, without secrets: `postgres://db.example:5432/bank`, or `memory`. */
  readonly location: string
  /** Connects and brings the schema up to date. Idempotent. Throws CLUSTER_MISMATCH when the store is bound to something else. */
  open(binding: StoreBinding): Promise<void>
  /**
   * The id of the cluster whose history this is; null while none has claimed it. With `claim`, 1 to 256 bytes: a store that
   * has no cluster is that cluster's from now on, for ever. The answer is the one that it belongs to then: of many that claim it at once
   * one wins, and all are told its id. Linearizable, and durable before it resolves. What an unclaimed store holds stays.
   */
  cluster(claim?: string): Promise<string | null>
  /**
   * One result for each append, in order. Appends of one call for the same aggregate are made in their order, each on top
   * of the one before. Each is atomic by itself unless `isAtomic`. Resolves when what was appended is durable.
   */
  append(appends: readonly Append[], options?: AppendOptions): Promise<readonly AppendResult[]>
  /** Events of one aggregate, by sequence, from `fromSequence` on, at most `limit`. */
  readStream(
    aggregate: AggregateKey,
    range: { readonly fromSequence: number; readonly limit: number },
  ): Promise<readonly StoredEvent[]>
  /** The sequence of the last event of each of these aggregates, in order; 0 for none. Linearizable. */
  sequences(aggregates: readonly AggregateKey[]): Promise<readonly number[]>
  /** The events that a command id led to, in order; empty when it is unknown. */
  readCommand(aggregate: AggregateKey, commandId: string): Promise<readonly StoredEvent[]>
  /** Events of one partition by (index, offset) after `afterIndex`: whole entries, at least one if there is any, at most about `limit` events. */
  readLog(
    partition: number,
    range: { readonly afterIndex: number; readonly limit: number },
  ): Promise<readonly StoredEvent[]>
  /** The last index of every partition that has one. */
  heads(): Promise<ReadonlyMap<number, number>>
  /** The one with the highest sequence, if there is any. */
  latestSnapshot(aggregate: AggregateKey): Promise<SharedSnapshot | undefined>
  /** Keeps the one with the highest sequence of each aggregate, and of equals the last. A cache: may be lost. */
  writeSnapshots(snapshots: readonly SharedSnapshot[]): Promise<void>
  /** Aggregates with at least one event, by type and id in the order of their UTF-8 bytes, after `after`; for listing. */
  aggregates(filter: {
    readonly type?: string
    readonly after?: AggregateKey
    readonly limit: number
  }): Promise<readonly (AggregateKey & { readonly sequence: number })[]>
  /** Of all partitions. */
  statistics(): Promise<SharedStatistics>
  /** Waits for what is under way. Idempotent. The history stays. */
  close(): Promise<void>
}
