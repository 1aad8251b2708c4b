// The real clock and the real dice: the only place of the cluster code where they are taken in hand.
import type { Clock } from '../core/clock.ts'

/** Timers do not keep the process alive by themselves: the node's open sockets do. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
  soon(action) {
    const immediate = setImmediate(action)
    return () => clearImmediate(immediate)
  },
}
