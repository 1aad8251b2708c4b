// Leaving the cluster over HTTP: the progress as lines of JSON, until the node is gone.
import type { FastifyInstance } from 'fastify'
import { toErrorBody } from '../core/errors.ts'
import { createCallSignal } from './call-signal.ts'
import { ndjson } from './media-types.ts'
import type { ServerContext } from './server-context.ts'

/**
 * `POST /v1/leave` answers with `{"event":"leaving","replicas","leads","total","waitsFor"}` several times a second, and
 * `{"event":"left","peerId"}` or `{"error"}` last. A caller that goes away changes nothing: the node goes on leaving.
 * `DELETE /v1/leave` calls it off.
 */
export function addLeaveRoutes(app: FastifyInstance, context: ServerContext): void {
  app.post('/v1/leave', async (_request, reply) => {
    const node = context.node()
    const signal = AbortSignal.any([createCallSignal(reply), context.closing])
    const { raw } = reply
    const write = (line: object): void => {
      if (!reply.sent) {
        reply.hijack()
        raw.writeHead(200, { 'content-type': ndjson, 'cache-control': 'no-store', connection: 'close' })
      }
      // What a slow reader has not read yet says the same.
      if (!raw.writableNeedDrain || !('event' in line && line.event === 'leaving'))
        raw.write(`${JSON.stringify(line)}\n`)
    }
    try {
      await node.leave({ signal, onProgress: progress => write({ event: 'leaving', ...progress }) })
      write({ event: 'left', peerId: node.peerId })
    } catch (error) {
      if (!reply.sent) throw error
      write({ error: toErrorBody(error) })
    }
    raw.end()
  })

  app.delete('/v1/leave', async () => {
    await context.node().cancelLeave()
    return { staying: context.node().peerId }
  })
}
