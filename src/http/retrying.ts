// Tries again what may be tried again, until the time is over.
import { setTimeout as sleep } from 'node:timers/promises'
import { isGlynError } from '../core/errors.ts'

const pauseMsMin = 50
const pauseMsMax = 1000

/** Before the `attempt`-th retry, from 1: doubles up to a second, and spread so that many callers do not come at once. */
export function pauseMsBefore(attempt: number, random: () => number = Math.random): number {
  const longest = Math.min(pauseMsMax, pauseMsMin * 2 ** (attempt - 1))
  return longest * (0.5 + 0.5 * random())
}

/**
 * Calls `attempt` with the time that is left, again after every retryable error, until it succeeds or the deadline
 * passes; then throws the last error. Throws the reason of the signal when that is aborted in between.
 */
export async function retrying<Result>(
  attempt: (leftMs: number) => Promise<Result>,
  options: {
    readonly timeoutMs: number
    readonly onRetry?: (error: Error) => void
    readonly signal?: AbortSignal | undefined
    /** There is no sense in another attempt. */
    readonly isOver?: () => boolean
  },
): Promise<Result> {
  const { signal } = options
  const deadline = performance.now() + options.timeoutMs
  for (let count = 1; ; count += 1) {
    try {
      return await attempt(Math.max(1, Math.ceil(deadline - performance.now())))
    } catch (error) {
      signal?.throwIfAborted()
      const pauseMs = pauseMsBefore(count)
      if (!isGlynError(error) || !error.retryable || performance.now() + pauseMs >= deadline) throw error
      if (options.isOver?.() === true) throw error
      options.onRetry?.(error)
      // When it is aborted, the reason is thrown below and not the error of the timer.
      await sleep(pauseMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined)
      signal?.throwIfAborted()
    }
  }
}
