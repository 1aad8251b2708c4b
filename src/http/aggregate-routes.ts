// Routes of one aggregate: execute a command, read the state, read the history.
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { GlynError } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import type { NodeApi } from '../node/node-api.ts'
import { createCallSignal } from './call-signal.ts'
import { parseCommandRequest } from './command-request.ts'
import { ndjson } from './media-types.ts'
import { parsePositive } from './parse-number.ts'
import type { ServerContext } from './server-context.ts'
import { statusOfRejection } from './status-of-error.ts'

/** Events read from the node at once while a history is written out. */
const pageEvents = 500

interface AggregateParameters {
  Params: { readonly type: string; readonly id: string }
  Querystring: { readonly from?: string; readonly limit?: string; readonly timeoutMs?: string }
}

export function addAggregateRoutes(app: FastifyInstance, context: ServerContext): void {
  app.post<AggregateParameters>('/v1/aggregates/:type/:id/commands', async (request, reply) => {
    const { type, id } = request.params
    const { command, data, ...options } = parseCommandRequest(request.body, 'the body')
    const outcome = await context
      .node()
      .execute(type, id, { type: command, data }, { ...options, signal: createCallSignal(reply) })
    context.metrics.countCommand(outcome.type)
    if (outcome.type === 'rejected') reply.code(statusOfRejection)
    return outcome
  })

  app.get<AggregateParameters>('/v1/aggregates/:type/:id', async (request, reply) => {
    const { type, id } = request.params
    const timeoutMs = parsePositive('timeoutMs', request.query.timeoutMs)
    const loaded = await context.node().loadAggregate(type, id, {
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      signal: createCallSignal(reply),
    })
    if (loaded.sequence > 0) return loaded
    throw new GlynError('ENTITY_NOT_FOUND', `${type} ${JSON.stringify(id)} has no events`)
  })

  app.get<AggregateParameters>('/v1/aggregates/:type/:id/events', async (request, reply) => {
    const { type, id } = request.params
    const from = parsePositive('from', request.query.from) ?? 1
    const limit = parsePositive('limit', request.query.limit) ?? Number.POSITIVE_INFINITY
    const timeoutMs = parsePositive('timeoutMs', request.query.timeoutMs)
    const signal = createCallSignal(reply)
    const pages = readPages(context.node(), { type, id, from, limit, timeoutMs, signal })
    // The first page decides about the status; what fails later can only cut the answer short.
    const first = await pages.next()
    return reply.type(ndjson).send(Readable.from(writeLines(first, pages)))
  })
}

async function* readPages(
  node: NodeApi,
  range: {
    readonly type: string
    readonly id: string
    readonly from: number
    readonly limit: number
    /** For all pages together; each has the node's own when left out. */
    readonly timeoutMs: number | undefined
    readonly signal: AbortSignal
  },
): AsyncGenerator<readonly EventEnvelope[], void> {
  let fromSequence = range.from
  let rest = range.limit
  const { timeoutMs } = range
  const until = timeoutMs === undefined ? null : performance.now() + timeoutMs
  while (rest > 0) {
    const limit = Math.min(rest, pageEvents)
    const events = await node.loadEvents(range.type, range.id, {
      fromSequence,
      limit,
      ...(until === null ? {} : { timeoutMs: Math.max(1, Math.ceil(until - performance.now())) }),
      signal: range.signal,
    })
    yield events
    if (events.length < limit) return
    fromSequence += events.length
    rest -= events.length
  }
}

async function* writeLines(
  first: IteratorResult<readonly EventEnvelope[], void>,
  pages: AsyncGenerator<readonly EventEnvelope[], void>,
): AsyncGenerator<string> {
  if (first.done === true) return
  yield toLines(first.value)
  for await (const page of pages) yield toLines(page)
}

const toLines = (events: readonly EventEnvelope[]): string =>
  events.map(event => `${JSON.stringify(event)}\n`).join('')
