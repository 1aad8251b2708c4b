// Queries: read models that people drop in as files. The public forms, and the port the host reads history through.

import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Database } from 'better-sqlite3'
import type { DomainEvent, EnvelopeOf } from '../core/event.ts'
import type { QueryMessage } from '../core/query-message.ts'
import type { StoredEvent } from '../core/record.ts'

/**
 * The original's form: called with the neighbouring events of one aggregate at a time, in partition order, and awaited.
 * It has no read model, only a checkpoint, which is written after each call that takes more than some milliseconds, and
 * every few milliseconds where calls are quick: what the function does elsewhere happens at least once (again for the calls
 * since the checkpoint, when the process ends before the next one). Exactly-once holds for what a full query writes to its
 * `db`.
 */
export type QueryFunction<Event extends DomainEvent = DomainEvent> = {
  // A method: one that is for certain events can be given where one for any events is asked for.
  /** Awaited; the next events come afterwards. */
  call(aggregateId: string, events: readonly EnvelopeOf<Event>[]): void | Promise<void>
}['call']

/**
 * The full form of a query: it owns a read model. `Answers` are its questions, with the parameters and the answers that
 * `node.query(balance, 'get', …)` knows then.
 */
export interface QueryDefinition<
  Event extends DomainEvent = DomainEvent,
  Answers extends AnyAnswers = AnyAnswers,
> {
  /** Lower-case letters, digits and `-` `_`; also the name of its database file. */
  readonly name: string
  /** The author's version of the read model. 1 when left out. */
  readonly version?: number
  readonly filter?: { readonly aggregateTypes?: readonly string[]; readonly eventTypes?: readonly string[] }
  /** Creates tables. Runs at every start, before any event. */
  init?(db: Database): void
  /**
   * The neighbouring events of one aggregate, in partition order, in the same transaction as the checkpoint: both are
   * kept, or neither. Synchronous, because the transaction is open. One that throws is called again with the same events;
   * one that holds its thread for longer than `batchMsMax` (10 s) is ended with its thread, and called again.
   */
  handle(aggregateId: string, events: readonly EnvelopeOf<Event>[], context: { readonly db: Database }): void
  /**
   * A message that somebody published: see `NodeApi.publish`. In a transaction of its own, between those of events. At
   * most once: one that throws is rolled back and not given again, and messages are dropped when the query is not running
   * or is behind its bound. Whatever must not be lost is an event. Synchronous, as `handle`.
   */
  onMessage?(message: QueryMessage, context: { readonly db: Database }): void
  /**
   * By question. They only read. What they return is the answer, as JSON; undefined is null. Without a schema,
   * parameters come as they were given: texts, or any JSON.
   */
  readonly answer?: Answers
  /**
   * When `handle` fails: `retry` (default) with backoff, for ever. `park`: after `attempts` with backoff, the events of the
   * entry (of one command) are put aside in the read model as a dead letter, in the transaction of the checkpoint that
   * passes over them. `stop`: the query stops. A full disk or a damaged file is no failure of `handle`, and retried.
   */
  readonly onError?: 'retry' | 'park' | 'stop'
  /** With `park`: how often the handler is called with an entry before it is parked. 5 when left out. */
  readonly attempts?: number
  /**
   * With `park`: later events of an aggregate of which something is parked are held back behind it, in order (`hold`, the
   * default), or handled (`handle`). Other aggregates go on either way.
   */
  readonly afterParked?: 'hold' | 'handle'
}

/** Parameters that nobody has typed: texts from a command line, or any JSON. */
export type QueryParameters = Readonly<Record<string, unknown>>

/** Answers a question. What it returns is made JSON. */
export type Answer<Parameters, Result = unknown> = {
  // A method: one with typed parameters can be given where one for any parameters is asked for.
  /** Synchronous or not; it only reads. */
  call(db: Database, parameters: Parameters): Result
}['call']

/** By question; parameters without a type are `QueryParameters`. */
export interface QueryAnswers {
  readonly [question: string]: Answer<QueryParameters> | AnswerWithSchema<StandardSchemaV1>
}

/** By question, whatever the parameters are. */
export interface AnyAnswers {
  readonly [question: string]:
    | ((db: Database, parameters: never) => unknown)
    | AnswerWithSchema<StandardSchemaV1>
}

/** An answer whose parameters are checked: what does not fit the schema is refused with INVALID_ARGUMENT. */
export interface AnswerWithSchema<Schema extends StandardSchemaV1, Result = unknown> {
  /** Any Standard Schema (zod, valibot, arktype …). The answer gets what it returns. */
  readonly parameters: Schema
  /** Synchronous or not; it only reads. */
  answer(db: Database, parameters: StandardSchemaV1.InferOutput<Schema>): Result
}

/**
 * `loading`: its file is imported, its read model opened. `catching-up`, `running`: all is well. `retrying`: something
 * failed and is tried again soon, see `lastError`; partitions that did not fail go on. `failed`: it does not load; tried
 * again later. `paused`: somebody wanted it so; it answers. `stopped`: for good, as its `onError` says, or because the node is stopping.
 */
export type QueryState = 'loading' | 'running' | 'catching-up' | 'retrying' | 'paused' | 'stopped' | 'failed'

/** In entries, over all partitions. */
export interface BuildProgress {
  readonly done: number
  readonly total: number
}

/** The next version of a query, while it is built beside the one that answers. */
export interface QueryBuild {
  readonly version: number
  /** SHA-256 of its code, hex; null until it is loaded. */
  readonly contentHash: string | null
  readonly state: QueryState
  readonly ratePerSecond: number
  readonly progress: BuildProgress
  /** Why it does not get further: the old version stays until it does, or until its file changes again. */
  readonly lastError: QueryStatus['lastError']
}

/** Of `onMessage`, since the node runs. */
export interface MessageCounts {
  readonly handled: number
  readonly failed: number
  /** Not given to it: it was not running, or behind its bound. */
  readonly dropped: number
}

/** How a query is, and how far, on the node that was asked. */
export interface QueryStatus {
  readonly name: string
  readonly version: number
  readonly state: QueryState
  /** Entries committed that this query has not seen yet, over all partitions. */
  readonly lag: number
  /** The age of the oldest event that it has not seen yet, about; 0 when there is none. */
  readonly lagSeconds: number
  /** Events handled per second, over the last few seconds. */
  readonly ratePerSecond: number
  /** Entries (of one command each) put aside because the handler failed at them. */
  readonly parked: number
  /** Entries held back behind those, because they are of the same aggregate. */
  readonly held: number
  /** While it catches up for the first time since it was started; null otherwise. */
  readonly progress: BuildProgress | null
  readonly building: QueryBuild | null
  readonly positions: Readonly<Record<string, number>>
  readonly file: string | null
  readonly lastError: {
    readonly message: string
    readonly stack: string | null
    readonly time: string
  } | null
  /** Left out for a query without `onMessage`. */
  readonly messages?: MessageCounts
}

/** Where queries get their events. Implemented by the node on top of its feed. */
export interface EventSource {
  /** The highest index known to be committed, by partition. */
  heads(): ReadonlyMap<number, number>
  /** Calls the listener after heads moved, at most once per turn. Returns how to stop. */
  onAdvance(listener: () => void): () => void
  /**
   * Committed events with index > `afterIndex`, in order, whole entries, about `limit` at most. `throughIndex` says
   * how far the answer reaches: entries without events (no-ops, memberships) are passed over, so it may be ahead of
   * the last event, and it is > `afterIndex` unless nothing is committed beyond. Waits for a remote replica if need be.
   */
  read(
    partition: number,
    range: { readonly afterIndex: number; readonly limit: number },
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly events: readonly StoredEvent[]; readonly throughIndex: number }>
  /** A SQLite log that workers may read by themselves, read-only, each on its own thread; null in memory. */
  readonly localLog: LocalLog | null
}

export interface LocalLog {
  readonly path: string
  /** URL of a module that exports `openLogReader: (path: string) => LogFileReader`. */
  readonly readerModule: string
  /**
   * How far the log of a partition can be read here: durable and known to be committed on this node, so maybe less than
   * `heads()`. 0 for a partition that does not rest here.
   */
  readableThrough(partition: number): number
}

/** What `readerModule` opens. */
export interface LogFileReader {
  /** Events by (index, offset) with `afterIndex` < index <= `throughIndex`; whole entries, about `limit` events at most, one entry at least if there is any. */
  readPartition(
    partition: number,
    range: { readonly afterIndex: number; readonly throughIndex: number; readonly limit: number },
  ): readonly StoredEvent[]
  close(): void
}
