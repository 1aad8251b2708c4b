// Routes that look behind the state: snapshots, statistics, and snapshots made again.
import type { FastifyInstance } from 'fastify'
import { GlynError, toErrorBody } from '../core/errors.ts'
import { createCallSignal } from './call-signal.ts'
import { ndjson } from './media-types.ts'
import { parsePositive } from './parse-number.ts'
import type { ServerContext } from './server-context.ts'

interface OfAggregate {
  Params: { readonly type: string; readonly id: string }
  Querystring: { readonly timeoutMs?: string }
}

/**
 * `POST /v1/snapshots/rebuild` with `{"type","id"?}` answers with `{"event":"rebuilding","done","total","current"}` as it
 * goes on, and `{"event":"rebuilt",…summary}` or `{"error"}` last. A caller that goes away ends it after the aggregate
 * that is at work.
 */
export function addInspectionRoutes(app: FastifyInstance, context: ServerContext): void {
  app.get('/v1/stats', () => context.node().systemStats())

  app.get<OfAggregate>('/v1/aggregates/:type/:id/stats', async (request, reply) => {
    const { type, id } = request.params
    const timeoutMs = parsePositive('timeoutMs', request.query.timeoutMs)
    const signal = createCallSignal(reply)
    const stats = await context
      .node()
      .aggregateStats(type, id, { ...(timeoutMs === undefined ? {} : { timeoutMs }), signal })
    if (stats.sequence > 0) return stats
    throw new GlynError('ENTITY_NOT_FOUND', `${type} ${JSON.stringify(id)} has no events`)
  })

  app.get<OfAggregate>('/v1/aggregates/:type/:id/snapshot', async (request, reply) => {
    const { type, id } = request.params
    const timeoutMs = parsePositive('timeoutMs', request.query.timeoutMs)
    const signal = createCallSignal(reply)
    const snapshot = await context
      .node()
      .latestSnapshot(type, id, { ...(timeoutMs === undefined ? {} : { timeoutMs }), signal })
    if (snapshot !== null) return snapshot
    throw new GlynError('ENTITY_NOT_FOUND', `${type} ${JSON.stringify(id)} has no snapshot`)
  })

  app.post('/v1/snapshots/rebuild', async (request, reply) => {
    const { type, id } = parseRebuild(request.body)
    const node = context.node()
    const signal = AbortSignal.any([createCallSignal(reply), context.closing])
    const { raw } = reply
    const write = (line: object): void => {
      if (!reply.sent) {
        reply.hijack()
        raw.writeHead(200, { 'content-type': ndjson, 'cache-control': 'no-store', connection: 'close' })
      }
      // What a slow reader has not read yet is out of date.
      if (!raw.writableNeedDrain || !('event' in line && line.event === 'rebuilding'))
        raw.write(`${JSON.stringify(line)}\n`)
    }
    try {
      const summary = await node.rebuildSnapshots(type, {
        ...(id === undefined ? {} : { id }),
        signal,
        onProgress: progress => write({ event: 'rebuilding', ...progress }),
      })
      write({ event: 'rebuilt', ...summary })
    } catch (error) {
      if (!reply.sent) throw error
      write({ error: toErrorBody(error) })
    }
    raw.end()
  })
}

function parseRebuild(body: unknown): { readonly type: string; readonly id: string | undefined } {
  const { type, id, ...rest } = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined)
    throw new GlynError('INVALID_ARGUMENT', `the body has ${JSON.stringify(unknown)}; allowed: type, id`)
  if (typeof type !== 'string')
    throw new GlynError(
      'INVALID_ARGUMENT',
      'type is missing in the body; allowed: {"type":"bank_account","id"?:"acc-1"}',
    )
  if (id !== undefined && typeof id !== 'string')
    throw new GlynError('INVALID_ARGUMENT', `id is ${JSON.stringify(id)}; allowed: the id of an aggregate`)
  return { type, id }
}
