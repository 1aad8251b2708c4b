// The clock of the machine, and waits with a deadline.
import type { Clock } from '../../src/core/clock.ts'

export const realClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
  soon: action => {
    const immediate = setImmediate(action)
    return () => clearImmediate(immediate)
  },
}

/** Resolves when the condition holds; fails, naming it, after the deadline. */
export async function until(what: string, holds: () => boolean, timeoutMs = 60_000): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
