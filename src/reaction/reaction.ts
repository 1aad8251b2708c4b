// What runs over the events of the partitions that this node leads, and what it needs from the node.
import type { Clock } from '../core/clock.ts'
import type { AggregateKey, CommandEnvelope } from '../core/command.ts'
import type { Log } from '../core/log.ts'
import type { Outcome } from '../core/outcome.ts'
import type { StoredEvent } from '../core/record.ts'

/** One reader of every partition that this node leads, with a place of its own in each. */
export interface Reaction {
  /** Names its place in checkpoints. */
  readonly key: string
  readonly startFrom: 'now' | 'beginning'
  /** Lanes that go on at the same time, in one partition. */
  readonly lanesMax: number
  /** Rows of one lane are performed in order; null: not wanted. Throws nothing. */
  laneOf(row: StoredEvent): string | null
  /** At once, where the work is only to remember something. Rejects, and is called again as `afterFailure` says. */
  perform(row: StoredEvent, context: PerformContext): Promise<void> | undefined
  afterFailure(error: unknown, attempt: number): 'retry' | 'skip' | 'stop'
}

export interface PerformContext {
  readonly partition: number
  /** Aborted when this node leads the partition no more. */
  readonly signal: AbortSignal
  /** 1, 2, 3 … */
  readonly attempt: number
}

type Rows = readonly StoredEvent[] | Promise<readonly StoredEvent[]>

/** The log, wherever it rests: at once from the disk of this node, or as a promise. */
export interface ReactionLog {
  readPartition(
    partition: number,
    range: { readonly afterIndex: number; readonly throughIndex: number; readonly limit: number },
  ): Rows
  readAggregate(
    aggregate: AggregateKey,
    range: {
      readonly partition: number
      readonly fromSequence: number
      readonly throughIndex: number
      readonly limit: number
    },
  ): Rows
}

/** The node, as reactions see it. */
export interface ReactionEnvironment {
  readonly store: ReactionLog
  readonly clock: Clock
  readonly log: Log
  /** On a partition that this node leads; throws NOT_LEADER elsewhere. */
  execute(partition: number, command: CommandEnvelope): Promise<Outcome>
  load(
    partition: number,
    aggregate: AggregateKey,
  ): Promise<{ readonly state: unknown; readonly sequence: number }>
  /** Part of the ids of checkpoints, where clusters come and go over one history. */
  readonly checkpointScope?: () => string
  /** Few, so that a simulator sees parts begin. */
  readonly checkpointsPerPartMax?: number
  /** To the leader of the aggregate's partition, wherever it is. */
  send(
    command: CommandEnvelope,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<Outcome>
}

/** What failed last. */
export interface LastError {
  readonly message: string
  readonly stack: string | null
  readonly time: string
}

export const backoffMsMin = 100
export const backoffMsMax = 30_000

/** 1, 2, 4, … times the minimum. */
export const backoffMs = (attempt: number): number =>
  Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(attempt - 1, 20))

/** Resolves after the delay, or at once when the signal is aborted. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) {
      resolve()
      return
    }
    const finish = (): void => {
      cancel()
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const cancel = clock.after(delayMs, finish)
    signal.addEventListener('abort', finish)
  })
}
