// Signals that abort after a time, on the clock of the node, and waits that end with them.
import type { Clock } from '../core/clock.ts'

/** Runs the action with a signal that aborts after `timeoutMs`, or with the outer one. */
export async function withDeadline<T>(
  clock: Clock,
  timeoutMs: number,
  action: (signal: AbortSignal) => Promise<T>,
  outer?: AbortSignal,
): Promise<T> {
  const controller = new AbortController()
  const abort = (): void => controller.abort(new Error('the deadline passed'))
  const cancel = clock.after(timeoutMs, abort)
  outer?.addEventListener('abort', abort, { once: true })
  if (outer?.aborted) abort()
  try {
    return await action(controller.signal)
  } finally {
    cancel()
    outer?.removeEventListener('abort', abort)
  }
}
