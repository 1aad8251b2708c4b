// What a client without a node asks a member for, beside aggregates: queries, events, messages, the state of the cluster.
// One wire form, JSON, for both sides.
import type { Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import { createEventCursor, isPastOpenEntries } from '../core/event-cursor.ts'
import { checkEventFilter, type EventFilter, passesFilter } from '../core/event-filter.ts'
import type { NewQueryMessage } from '../core/query-message.ts'
import { parseToken } from '../core/token.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { NodeApi, NodeStatus, NodeSubscribers, PublishedMessage } from './node-api.ts'

const queryMethod = 'client.query'
const eventsMethod = 'client.events'
const publishMethod = 'client.publish'
const subscribersMethod = 'client.subscribers'
const statusMethod = 'client.status'

/** Events of one page. */
const pageEventsMax = 500
/** Bytes of event data in one page, so that an answer fits a frame also with one more event of the largest size. */
const pageBytesMax = 1024 * 1024
/** After the first event of a page, others are waited for so long. */
const lingerMs = 20
/** The longest that a page without events is waited for, whatever a client asks for. */
const waitMsMax = 30_000

export interface QueryCall {
  readonly name: string
  readonly question: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly after: string | null
  readonly timeoutMs: number
}

export interface EventsCall {
  /** `start`, `now`, a token, or where the page before ended. */
  readonly from: string
  /** `now`, a token, or what the first page said; null: without an end. */
  readonly until: string | null
  readonly filter: EventFilter
  /** A page without events comes after this long. */
  readonly waitMs: number
}

export interface EventsPage {
  readonly events: readonly EventEnvelope[]
  /** Where this page begins: what it was asked for, with `start` and `now` as a token. */
  readonly from: string
  /** Where the next page begins. */
  readonly next: string
  /** `now` as a token: what was committed when the first page was asked for; null: without an end. */
  readonly until: string | null
  /** All up to `until` has been told. */
  readonly isEnd: boolean
}

/** What serving needs of a node. */
export type ServedNode = Pick<NodeApi, 'query' | 'subscribe' | 'publish' | 'subscribers' | 'status'>

/** Answers clients, with UNAVAILABLE as long as no node is attached. Whoever can connect may ask: the secret of the mesh is what keeps others out. */
export function serveClients(rpc: Rpc, clock: Clock): { attach(node: ServedNode): void } {
  let attached: ServedNode | undefined
  const ready = (): ServedNode => {
    if (attached !== undefined) return attached
    throw new GlynError('UNAVAILABLE', 'this node is not ready yet')
  }
  rpc.serve(queryMethod, async (_from, body) => {
    const { name, question, parameters, after, timeoutMs } = decode<QueryCall>(body)
    return encode(
      (await ready().query(name, question, parameters, {
        timeoutMs,
        ...(after === null ? {} : { after }),
      })) ?? null,
    )
  })
  rpc.serve(eventsMethod, async (_from, body) => encode(await readPage(ready(), decode(body), clock)))
  rpc.serve(publishMethod, async (_from, body) => encode(await ready().publish(decode(body))))
  rpc.serve(subscribersMethod, async (_from, body) => encode(await ready().subscribers(decode(body))))
  rpc.serve(statusMethod, async () => encode(await ready().status()))
  return {
    attach(node) {
      attached = node
    },
  }
}

/** How a client asks. Deadlines are those of the call and a little more for the way. */
export interface ClientCalls {
  query(peerId: string, call: QueryCall, options: AskOptions): Promise<unknown>
  events(peerId: string, call: EventsCall, options: AskOptions): Promise<EventsPage>
  publish(peerId: string, message: NewQueryMessage, options: AskOptions): Promise<PublishedMessage>
  subscribers(
    peerId: string,
    call: { readonly timeoutMs: number },
    options: AskOptions,
  ): Promise<readonly NodeSubscribers[]>
  status(peerId: string, options: AskOptions): Promise<NodeStatus>
}

export interface AskOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export function createClientCalls(rpc: Rpc): ClientCalls {
  const ask = async <Answer>(
    peerId: string,
    method: string,
    request: { readonly body: unknown; readonly options: AskOptions },
  ): Promise<Answer> => {
    const { timeoutMs, signal } = request.options
    const options = signal === undefined ? { timeoutMs } : { timeoutMs, signal }
    return decode<Answer>(await rpc.request(peerId, method, encode(request.body), options))
  }
  return {
    query: (peerId, body, options) => ask(peerId, queryMethod, { body, options }),
    events: (peerId, body, options) => ask(peerId, eventsMethod, { body, options }),
    publish: (peerId, body, options) => ask(peerId, publishMethod, { body, options }),
    subscribers: (peerId, body, options) => ask(peerId, subscribersMethod, { body, options }),
    status: (peerId, options) => ask(peerId, statusMethod, { body: null, options }),
  }
}

/** As many events as come at once, or none after `waitMs`. The cursor counts those that the filter keeps out, too. */
async function readPage(
  node: Pick<NodeApi, 'subscribe'>,
  call: EventsCall,
  clock: Clock,
): Promise<EventsPage> {
  const { from, filter } = call
  checkEventFilter(filter)
  const isPlace = from !== 'start' && from !== 'now'
  const cursor = createEventCursor(isPlace ? from : '')
  const until = call.until === 'now' ? node.subscribe({ from: 'now' }).token() : call.until
  const leaving = new AbortController()
  const subscription = node.subscribe({
    from: isPlace ? cursor.token : from,
    ...(until === null ? {} : { until }),
    signal: leaving.signal,
  })
  const begin = isPlace ? from : subscription.token()
  const events: EventEnvelope[] = []
  /** The cursor after the last event. */
  let place = isPlace ? from : begin
  let bytes = 0
  const leave = (): void => leaving.abort()
  let cancel = clock.after(Math.min(Math.max(1, call.waitMs), waitMsMax), leave)
  try {
    for await (const event of subscription) {
      const text = cursor.advance(event)
      if (text === null) continue
      place = text
      if (!passesFilter(filter, event)) continue
      events.push(event)
      if (events.length === 1) {
        cancel()
        cancel = clock.after(lingerMs, leave)
      }
      bytes += JSON.stringify(event).length
      if (events.length >= pageEventsMax || bytes >= pageBytesMax) break
    }
  } finally {
    cancel()
  }
  const token = subscription.token()
  // In the middle of an entry the cursor says where; else the token, which is also past what comes without events.
  const next = isPastOpenEntries(token, place) ? token : place
  const isEnd = until !== null && !next.includes('+') && covers(next, until)
  return { events, from: begin, next: next === '' ? 'start' : next, until, isEnd }
}

/** True when `token` has passed everything that `other` has. */
function covers(token: string, other: string): boolean {
  const positions = parseToken(token)
  return [...parseToken(other)].every(([partition, index]) => (positions.get(partition) ?? 0) >= index)
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const encode = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value))
const decode = <T>(body: Uint8Array): T => JSON.parse(decoder.decode(body)) as T
