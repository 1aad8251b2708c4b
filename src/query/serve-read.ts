// Answers a runner that cannot read the log by itself: from the source, within a deadline.
import type { Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { EventSource } from './query.ts'
import type { FromRunner, ToRunner } from './runner-messages.ts'

export type ReadRequest = Extract<FromRunner, { type: 'read' }>

export interface ServeReadInit {
  readonly source: EventSource
  readonly clock: Clock
  readonly readMsMax: number
  /** The runner that asked is gone. */
  readonly ended: AbortSignal
}

/** Null when the runner is gone. Never throws: a failure is an answer too. */
export async function serveRead(init: ServeReadInit, request: ReadRequest): Promise<ToRunner | null> {
  const { id, partition, afterIndex, limit } = request
  const { source, clock, readMsMax, ended } = init
  const ending = new AbortController()
  const { signal } = ending
  const cancel = clock.after(readMsMax, () =>
    ending.abort(new GlynError('TIMEOUT', `no answer within ${readMsMax} ms`)),
  )
  // Not AbortSignal.any: Node keeps such a signal, with all that listens to it, until it is aborted.
  const onEnded = (): void => ending.abort(ended.reason)
  ended.addEventListener('abort', onEnded)
  const aborted = new Promise<never>((_, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
  )
  aborted.catch(() => undefined)
  if (ended.aborted) onEnded()
  try {
    const reading = source.read(partition, { afterIndex, limit }, { signal })
    const { events, throughIndex } = await Promise.race([reading, aborted])
    return { type: 'events', id, events, throughIndex }
  } catch (error) {
    if (ended.aborted) return null
    const message = error instanceof Error ? error.message : String(error)
    return { type: 'read-failed', id, error: { message, stack: null } }
  } finally {
    cancel()
    ended.removeEventListener('abort', onEnded)
  }
}
