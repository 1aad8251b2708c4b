// What a query's code does wrong while its thread is open, and what follows: it throws, does not return, takes its thread
// with it, or stands still. Partitions are tried again or an entry is parked, the thread is started again or stopped.
import type { Cancel, Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { AskQueue } from './ask-queue.ts'
import type { LastError } from './last-error.ts'
import { createPartitionRetries, type PartitionRetries } from './partition-retries.ts'
import type { QueryHolds } from './query-holds.ts'
import type { QueryIdentity } from './query-identity.ts'
import type { QueryLimits } from './query-limits.ts'
import type { QueryProgress } from './query-progress.ts'
import type { QueryThread } from './query-thread.ts'
import type { BatchUnderWay, ErrorText, FromRunner } from './runner-messages.ts'
import { createWatchdog, type Watchdog } from './watchdog.ts'

export interface QueryFailuresInit {
  readonly identity: QueryIdentity
  readonly progress: QueryProgress
  readonly lastError: LastError
  readonly holds: Pick<QueryHolds, 'isHeld'>
  readonly asks: Pick<AskQueue, 'workOf'>
  readonly thread: Pick<QueryThread, 'phase' | 'post' | 'restart' | 'stopAfter'>
  readonly clock: Clock
  readonly log: Log
  readonly limits: QueryLimits
  onChange(): void
}

type Policy = Pick<Extract<FromRunner, { type: 'loaded' }>, 'onError' | 'attempts'>
type Resting = ReturnType<PartitionRetries['partitions']>

export interface QueryFailures {
  /** As the query says, when it is loaded. */
  setPolicy(policy: Policy): void
  /** Its code gets the thread: it has its time to return. */
  begin(work: Extract<FromRunner, { type: 'begin' }>): void
  end(work: number): void
  failed(failure: Extract<FromRunner, { type: 'failed' }>): void
  /** The thread ended unasked. */
  crashed(error: ErrorText): void
  progressed(partition: number, index: number): void
  /** There may be something to see. */
  watch(): void
  /** Partitions that failed, until they are tried again. */
  resting(): Resting
  /** As {@link PartitionRetries.suspects}. */
  suspects(): ReturnType<PartitionRetries['suspects']>
  /** The thread is open; until now, the query was believed to stand at `before`. */
  resume(before: ReadonlyMap<number, number>): void
  /** The thread is gone, with what it had begun. How often what failed is kept. */
  pause(): void
}

export function createQueryFailures(init: QueryFailuresInit): QueryFailures {
  return new Failures(init)
}

class Failures implements QueryFailures {
  readonly #init: QueryFailuresInit
  #policy: Policy = { onError: 'retry', attempts: 1 }
  readonly #retries: PartitionRetries
  readonly #watchdog: Watchdog
  /** Work that the plugin has begun and not ended. */
  readonly #begun = new Map<number, { readonly cancel: Cancel; readonly batch: BatchUnderWay | null }>()

  constructor(init: QueryFailuresInit) {
    this.#init = init
    const { clock, progress, thread } = init
    const { backoffMsMin, backoffMsMax, stallMsMax } = init.limits
    this.#retries = createPartitionRetries({
      clock,
      backoffMsMin,
      backoffMsMax,
      attemptsMax: () => (this.#policy.onError === 'park' ? this.#policy.attempts : Number.POSITIVE_INFINITY),
      retry: partition => thread.post({ type: 'retry', partition }),
      park: (partition, { message, stack, time, attempts }) =>
        thread.post({
          type: 'park',
          partition,
          afterIndex: progress.indexOf(partition),
          failure: { message, stack, time, attempts },
        }),
    })
    this.#watchdog = createWatchdog({
      clock,
      stallMsMax,
      isActive: () => thread.phase === 'open' && !init.holds.isHeld(),
      isBehind: () => progress.lag() > 0,
      isBusy: () => this.#begun.size > 0 || this.#isWaitingToRetry(),
      onStill: () => {
        const text = `it stood still for ${stallMsMax} ms, ${progress.lag()} entries behind, while the log moved`
        this.crashed({ message: text, stack: null })
      },
    })
  }

  setPolicy({ onError, attempts }: Policy): void {
    this.#policy = { onError, attempts }
  }

  begin({ work, ask, batch, isMessage = false }: Extract<FromRunner, { type: 'begin' }>): void {
    const { asks, clock, limits } = this.#init
    const cancel = clock.after(limits.batchMsMax, () => {
      const handler = isMessage ? 'its onMessage' : 'its handler'
      const what = ask === null ? handler : asks.workOf(ask)
      this.crashed({ message: `${what} did not return within ${limits.batchMsMax} ms`, stack: null })
    })
    this.#begun.set(work, { cancel, batch })
  }

  end(work: number): void {
    this.#begun.get(work)?.cancel()
    this.#begun.delete(work)
  }

  failed({ partition, by, error }: Extract<FromRunner, { type: 'failed' }>): void {
    const { identity, lastError, thread, log } = this.#init
    const { time } = lastError.remember(error)
    if (by === 'handler' && this.#policy.onError === 'stop') {
      thread.stopAfter(error)
      return
    }
    const { attempt, delayMs, isGivenUp } = this.#retries.add(partition, {
      ...error,
      time,
      isAlone: by === 'handler',
      throughIndex: null,
    })
    this.#init.onChange()
    // What is parked is logged when it is.
    if (isGivenUp) return
    const text = `${identity.label()}: ${error.message}; tried again in ${delayMs} ms`
    log.warn({ ...identity.fields(), partition, attempt, stack: error.stack }, text)
  }

  crashed(error: ErrorText): void {
    const { lastError, thread } = this.#init
    const { time } = lastError.remember(error)
    const batch = [...this.#begun.values()].find(work => work.batch !== null)?.batch ?? null
    if (batch !== null && this.#policy.onError === 'stop') {
      thread.stopAfter(error)
      return
    }
    if (batch !== null) {
      const { isAlone, throughIndex } = batch
      this.#retries.add(batch.partition, { ...error, time, isAlone, throughIndex })
    }
    thread.restart(error, batch?.partition ?? null)
  }

  progressed(partition: number, index: number): void {
    this.#watchdog.moved()
    this.#retries.forget(partition, index)
  }

  watch(): void {
    this.#watchdog.watch()
  }

  resting(): Resting {
    return this.#retries.partitions()
  }

  suspects(): ReturnType<PartitionRetries['suspects']> {
    return this.#retries.suspects()
  }

  resume(before: ReadonlyMap<number, number>): void {
    for (const partition of this.resting()) {
      // The thread may have ended between a commit and the message about it.
      const isElsewhere = this.#init.progress.indexOf(partition) !== (before.get(partition) ?? 0)
      if (isElsewhere) this.#retries.moved(partition)
    }
    this.#retries.resume()
  }

  pause(): void {
    this.#watchdog.stop()
    this.#retries.pause()
    for (const { cancel } of this.#begun.values()) cancel()
    this.#begun.clear()
  }

  /** Every partition that has something to see failed, and rests. */
  #isWaitingToRetry(): boolean {
    const resting = this.resting()
    return this.#init.progress.partitionsBehind().every(partition => resting.includes(partition))
  }
}
