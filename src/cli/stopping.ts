// Work that a signal interrupts, and that says how it goes on.
import { GlynError } from '../core/errors.ts'
import type { Io } from './io.ts'

/** Runs the work with a signal that SIGINT and SIGTERM abort, with UNAVAILABLE and the advice as its reason. */
export async function untilStopped<Result>(
  io: Io,
  advice: string,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const stop = new AbortController()
  const forget = io.onStopSignal(signal =>
    stop.abort(new GlynError('UNAVAILABLE', `stopped by ${signal}; ${advice}`)),
  )
  try {
    return await work(stop.signal)
  } finally {
    forget()
  }
}
