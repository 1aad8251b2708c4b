// What a client asks of any member: the one that answered last, and another when that is gone.
import type { Clock } from '../core/clock.ts'
import { type ErrorCode, GlynError, hasCode, isGlynError } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import { createEventCursor } from '../core/event-cursor.ts'
import { checkEventFilter } from '../core/event-filter.ts'
import { checkPositive } from './check-arguments.ts'
import type { ClientCalls, EventsPage } from './client-calls.ts'
import type { NodeApi } from './node-api.ts'

const askTimeoutMs = 10_000
const subscribersTimeoutMs = 2000
/** The member keeps the deadline, and says who is missing; a little more for the way. */
const graceMs = 1000
/** How long a page without events is waited for. */
const pageWaitMs = 10_000
/** How long no member may answer before a stream gives up. */
const resumeMsMax = 60_000
/** Before all members are tried again. */
const pauseMs = 200

/** Nothing happened at the member, so another one may be asked even for what must not happen twice. */
const untouched: readonly ErrorCode[] = ['PEER_UNREACHABLE', 'SHUTTING_DOWN', 'OVERLOADED']

export type PeerCalls = Pick<NodeApi, 'query' | 'subscribe' | 'publish' | 'subscribers' | 'status'>

export function createPeerCalls(init: {
  readonly calls: ClientCalls
  readonly clock: Clock
  /** Peer ids that may be asked, one at least. */
  readonly members: () => readonly string[]
  /** Connects, unless it is connected. Throws PEER_UNREACHABLE. */
  readonly reach: (peerId: string) => Promise<void>
  readonly isClosed: () => boolean
}): PeerCalls {
  const { calls, clock } = init
  let preferred: string | undefined

  const pause = (signal: AbortSignal | undefined): Promise<void> =>
    new Promise(resolve => {
      const end = (): void => {
        cancel()
        signal?.removeEventListener('abort', end)
        resolve()
      }
      const cancel = clock.after(pauseMs, end)
      signal?.addEventListener('abort', end)
      if (signal?.aborted === true) end()
    })

  /** Throws the last error when the time is up, and at once one that no other member would mend. */
  async function ask<Answer>(
    request: (peerId: string, leftMs: number) => Promise<Answer>,
    options: {
      readonly timeoutMs: number
      readonly signal?: AbortSignal | undefined
      readonly mayAskAnother: (error: GlynError) => boolean
    },
  ): Promise<Answer> {
    const { timeoutMs, signal, mayAskAnother } = options
    const until = clock.now() + timeoutMs
    for (;;) {
      const known = init.members()
      const order = preferred !== undefined && known.includes(preferred) ? [preferred] : []
      order.push(...known.filter(peerId => peerId !== preferred))
      let last: unknown = new GlynError('PEER_UNREACHABLE', 'no member is known')
      for (const peerId of order) {
        signal?.throwIfAborted()
        if (init.isClosed()) throw new GlynError('SHUTTING_DOWN', 'this client is closed')
        try {
          await init.reach(peerId)
          const answer = await request(peerId, Math.max(1, Math.ceil(until - clock.now())))
          preferred = peerId
          return answer
        } catch (error) {
          signal?.throwIfAborted()
          if (!isGlynError(error) || !mayAskAnother(error) || clock.now() >= until) throw error
          last = error
        }
      }
      if (clock.now() + pauseMs >= until) throw last
      await pause(signal)
    }
  }

  const whenRetryable = ({ retryable }: GlynError): boolean => retryable

  return {
    query(name, question, parameters, { timeoutMs: given = askTimeoutMs, after, signal } = {}) {
      const timeoutMs = checkPositive('timeoutMs', given)
      return ask(
        (peerId, leftMs) =>
          calls.query(
            peerId,
            { name, question, parameters, after: after ?? null, timeoutMs: leftMs },
            { timeoutMs: leftMs + graceMs, signal },
          ),
        { timeoutMs, signal, mayAskAnother: whenRetryable },
      )
    },
    subscribe(options) {
      const place: Place = { from: options.from }
      return Object.assign(read(options, place), {
        token() {
          if (place.from === 'start') return ''
          // Without the entry that it may be in the middle of.
          return place.from.split('+')[0] ?? ''
        },
      })
    },
    publish: message =>
      ask((peerId, leftMs) => calls.publish(peerId, message, { timeoutMs: leftMs }), {
        timeoutMs: askTimeoutMs,
        mayAskAnother: error => hasCode(error, ...untouched),
      }),
    async subscribers({ timeoutMs: given = subscribersTimeoutMs } = {}) {
      const timeoutMs = checkPositive('timeoutMs', given)
      return await ask(
        peerId => calls.subscribers(peerId, { timeoutMs }, { timeoutMs: timeoutMs + graceMs }),
        { timeoutMs: timeoutMs + graceMs, mayAskAnother: whenRetryable },
      )
    },
    status: () =>
      ask((peerId, leftMs) => calls.status(peerId, { timeoutMs: leftMs }), {
        timeoutMs: askTimeoutMs,
        mayAskAnother: whenRetryable,
      }),
  }

  async function* read(
    options: Parameters<NodeApi['subscribe']>[0],
    place: Place,
  ): AsyncGenerator<EventEnvelope> {
    const { filter = {}, signal } = options
    checkEventFilter(filter)
    let until: string | null = options.until ?? null
    let isFirst = true
    const isAborted = (): boolean => signal?.aborted === true
    while (!isAborted()) {
      const { from } = place
      let page: EventsPage
      try {
        page = await ask(
          peerId =>
            calls.events(
              peerId,
              { from, until, filter, waitMs: pageWaitMs },
              { timeoutMs: pageWaitMs + askTimeoutMs, signal },
            ),
          // A first page that fails is an error soon; later the stream waits for members that come back.
          {
            timeoutMs: isFirst ? askTimeoutMs : resumeMsMax,
            signal,
            mayAskAnother: whenRetryable,
          },
        )
      } catch (error) {
        if (isAborted()) return
        throw error
      }
      isFirst = false
      until = page.until
      // Counts what was handed out, so that the token is right in the middle of a page.
      const cursor = createEventCursor(page.from, { isPast: true })
      for (const event of page.events) {
        if (isAborted()) return
        place.from = cursor.advance(event) ?? place.from
        yield event
      }
      place.from = page.next
      if (page.isEnd) return
    }
  }
}

/** Where the stream goes on: `start`, `now`, a token, or the place after the last event. */
interface Place {
  from: string
}
