// The stream of all committed events as server-sent events, resumable where it was cut.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { GlynError, toErrorBody } from '../core/errors.ts'
import { createEventCursor, type EventCursor } from '../core/event-cursor.ts'
import { type EventFilter, passesFilter } from '../core/event-filter.ts'
import { formatToken, parseToken } from '../core/token.ts'
import type { NodeApi } from '../node/node-api.ts'
import { createCallSignal } from './call-signal.ts'
import { eventStream } from './media-types.ts'
import type { ServerContext } from './server-context.ts'

/** Shorter than the time after which servers, clients and proxies give up a silent connection. */
export const signOfLifeMs = 15_000

interface EventsCall {
  Querystring: {
    readonly from?: string
    readonly until?: string
    /** Each maybe several times. */
    readonly aggregateType?: string | string[]
    readonly eventType?: string | string[]
  }
}

export function addEventRoutes(app: FastifyInstance, context: ServerContext): void {
  app.get<EventsCall>('/v1/events', async (request, reply) => {
    const node = context.node()
    const { until } = request.query
    if (until !== undefined && until !== 'now') checkUntil(until)
    const filter = parseFilter(request.query)
    const from = request.headers['last-event-id']?.toString() ?? request.query.from ?? 'start'
    const cursor = createEventCursor(await findToken(node, from))
    const signal = AbortSignal.any([context.closing, createCallSignal(reply)])
    const events = node.subscribe({
      from: from === 'start' || from === 'now' ? from : cursor.token,
      ...(until === undefined ? {} : { until }),
      signal,
    })
    reply.hijack()
    await stream(reply.raw, { events, filter, cursor, signal, context })
  })
}

function checkUntil(until: string): void {
  try {
    parseToken(until)
  } catch (cause) {
    throw new GlynError('INVALID_ARGUMENT', `until is ${JSON.stringify(until)}; allowed: now, or a token`, {
      cause,
    })
  }
}

function parseFilter({ aggregateType, eventType }: EventsCall['Querystring']): EventFilter {
  return {
    ...(aggregateType === undefined ? {} : { aggregateTypes: [aggregateType].flat() }),
    ...(eventType === undefined ? {} : { eventTypes: [eventType].flat() }),
  }
}

/** The positions that `start`, `now`, a token or an event's id stand for. */
async function findToken(node: NodeApi, from: string): Promise<string> {
  if (from === 'start') return ''
  if (from !== 'now') return from
  const { partitions } = await node.status()
  return formatToken(
    new Map(partitions.filter(({ id }) => id > 0).map(({ id, commitIndex }) => [id, commitIndex])),
  )
}

async function stream(
  response: ServerResponse,
  from: {
    readonly events: ReturnType<NodeApi['subscribe']>
    /** Here and not in the subscription: the cursor counts all events. */
    readonly filter: EventFilter
    readonly cursor: EventCursor
    readonly signal: AbortSignal
    readonly context: ServerContext
  },
): Promise<void> {
  const { signal } = from
  const write = async (text: string): Promise<void> => {
    if (!response.write(text)) await once(response, 'drain', { signal })
  }
  response.writeHead(200, { 'content-type': eventStream, 'cache-control': 'no-store', connection: 'close' })
  const signOfLife = setInterval(() => response.write(':\n\n'), signOfLifeMs)
  try {
    const events = from.events[Symbol.asyncIterator]()
    // The first event is asked for before the caller learns that the stream is open: `now` is before that moment.
    let next = events.next()
    next.catch(() => {})
    response.write(`event: ready\nid: ${from.cursor.token}\ndata: {}\n\n`)
    for (;;) {
      const { done, value } = await next
      if (done === true) break
      const id = from.cursor.advance(value)
      next = events.next()
      next.catch(() => {})
      if (id !== null && passesFilter(from.filter, value))
        await write(`id: ${id}\ndata: ${JSON.stringify(value)}\n\n`)
    }
    if (!signal.aborted) response.write('event: end\ndata: {}\n\n')
  } catch (error) {
    if (!signal.aborted) {
      from.context.log.warn({ err: error }, 'a stream of events failed')
      response.write(`event: error\ndata: ${JSON.stringify({ error: toErrorBody(error) })}\n\n`)
    }
  } finally {
    clearInterval(signOfLife)
    response.end()
  }
}
