// A call whose caller has gone away need not be answered.
import type { FastifyReply } from 'fastify'
import { GlynError } from '../core/errors.ts'

/** Aborted when the connection closes before the answer was written. */
export function createCallSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  const { raw } = reply
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort(new GlynError('UNAVAILABLE', 'the caller went away'))
  })
  return gone.signal
}
