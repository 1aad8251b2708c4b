// A backup over HTTP: the bytes of the file, as they are read from the logs of all partitions.
import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import { createCallSignal } from './call-signal.ts'
import { octets } from './media-types.ts'
import type { ServerContext } from './server-context.ts'

/** `GET /v1/backup`. A failure on the way is the last frame of the answer, so that it is no backup. */
export function addBackupRoute(app: FastifyInstance, context: ServerContext): void {
  app.get('/v1/backup', async (_request, reply) => {
    const signal = AbortSignal.any([context.closing, createCallSignal(reply)])
    const bytes = context.node().backup({ signal })[Symbol.asyncIterator]()
    // The first bytes decide about the status.
    let next = await bytes.next()
    reply.hijack()
    const { raw } = reply
    raw.writeHead(200, { 'content-type': octets, 'cache-control': 'no-store', connection: 'close' })
    try {
      for (; next.done !== true; next = await bytes.next())
        if (!raw.write(next.value)) await once(raw, 'drain', { signal })
    } catch (error) {
      if (!signal.aborted) context.log.warn({ err: error }, 'a backup ended early')
    } finally {
      await bytes.return?.()
      raw.end()
    }
  })
}
