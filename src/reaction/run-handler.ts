// One call of a handler on this thread, with its deadline.
import type { Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import type { NormalHandler } from './define-handler.ts'

export interface HandlerCall {
  readonly event: EventEnvelope
  readonly idempotencyKey: string
  readonly attempt: number
}

/** Rejects with what the handler threw, or with TIMEOUT: then its signal is aborted, and what it still does is not waited for. */
export function runHandler(
  handler: NormalHandler,
  { event, idempotencyKey, attempt }: HandlerCall,
  { signal, clock }: { readonly signal: AbortSignal; readonly clock: Clock },
): Promise<void> {
  const ending = new AbortController()
  return new Promise<void>((resolve, reject) => {
    // Its signal is not one of AbortSignal.any: Node keeps such a signal, with all that listens to it, until it is aborted.
    const onAbort = (): void => {
      ending.abort(signal.reason)
      finish(() => reject(signal.reason))
    }
    const finish = (act: () => void): void => {
      cancel()
      signal.removeEventListener('abort', onAbort)
      act()
    }
    const cancel = clock.after(handler.timeoutMs, () => {
      const late = new GlynError(
        'TIMEOUT',
        `handler ${handler.name} did not finish within ${handler.timeoutMs} ms`,
      )
      ending.abort(late)
      finish(() => reject(late))
    })
    signal.addEventListener('abort', onAbort)
    const context = { idempotencyKey, attempt, signal: ending.signal }
    // What it throws at once and what it rejects with are the same to us.
    new Promise<void>(begin => begin(handler.handle(event, context))).then(
      () => finish(resolve),
      (error: unknown) => finish(() => reject(error)),
    )
  })
}
