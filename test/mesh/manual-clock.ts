// A clock that moves when a test says so.
import type { Clock } from '../../src/core/clock.ts'

export interface ManualClock extends Clock {
  /** Runs everything due within the next milliseconds, in order, with the promises in between. */
  advance(ms: number): Promise<void>
}

interface Timer {
  readonly dueMs: number
  readonly action: () => void
}

export function createManualClock(): ManualClock {
  let nowMs = 0
  const timers = new Set<Timer>()

  const schedule = (delayMs: number, action: () => void) => {
    const timer = { dueMs: nowMs + Math.max(0, delayMs), action }
    timers.add(timer)
    return () => void timers.delete(timer)
  }
  const next = (untilMs: number): Timer | undefined => {
    let best: Timer | undefined
    for (const timer of timers)
      if (timer.dueMs <= untilMs && (!best || timer.dueMs < best.dueMs)) best = timer
    return best
  }
  const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

  return {
    now: () => nowMs,
    wallTime: () => 1_700_000_000_000 + nowMs,
    after: schedule,
    soon: action => schedule(0, action),
    advance: async ms => {
      const untilMs = nowMs + ms
      await settle()
      for (let timer = next(untilMs); timer !== undefined; timer = next(untilMs)) {
        timers.delete(timer)
        nowMs = timer.dueMs
        timer.action()
        await settle()
      }
      nowMs = untilMs
    },
  }
}
