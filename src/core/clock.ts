// Time and chance as arguments. Nothing in the cluster code reads a clock or a dice of its own.

/** Stops what was scheduled. Calling it again, or after it ran, does nothing. */
export type Cancel = () => void

export interface Clock {
  /** Monotonic milliseconds. For every timer and deadline. */
  now(): number
  /** Milliseconds since 1970 UTC. Only ever data, never an order or a timer. */
  wallTime(): number
  /** Runs `action` once after `delayMs`. */
  after(delayMs: number, action: () => void): Cancel
  /** Runs `action` once, after the I/O that is already waiting has been taken in (`setImmediate`). */
  soon(action: () => void): Cancel
}

/** A number in [0, 1). */
export type Random = () => number
