// A stream of events that goes on where it was when its connection is lost.
import { setTimeout as sleep } from 'node:timers/promises'
import { type ErrorBody, fromErrorBody, GlynError, hasCode, isGlynError } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import { checkEventFilter } from '../core/event-filter.ts'
import type { NodeApi, Subscription } from '../node/node-api.ts'
import { signOfLifeMs } from './event-routes.ts'
import type { HttpCalls } from './http-calls.ts'
import { eventStream } from './media-types.ts'
import { readServerSentEvents } from './server-sent-events.ts'

/** How long a node may be away, a restart for instance, before the stream gives up. */
const resumeMsMax = 60_000
const pauseMsMin = 100
const pauseMsMax = 2000

/**
 * `NodeApi.subscribe` over HTTP. A first connection that fails is an error at once; a lost one is opened again after the
 * last event, for up to a minute. Ends quietly when the signal aborts.
 */
export function subscribeResuming(
  calls: HttpCalls,
  options: Parameters<NodeApi['subscribe']>[0],
): AsyncGenerator<EventEnvelope> & Subscription {
  const place: Place = { from: options.from }
  return Object.assign(readOn(calls, options, place), {
    token() {
      if (place.from === 'start') return ''
      // Without the entry that it may be in the middle of.
      return place.from.split('+')[0] ?? ''
    },
  })
}

/** Where the stream goes on: `start`, `now`, a token, or the id of the last event. */
interface Place {
  from: string
}

async function* readOn(
  calls: HttpCalls,
  options: Parameters<NodeApi['subscribe']>[0],
  place: Place,
): AsyncGenerator<EventEnvelope> {
  const { filter = {}, signal = new AbortController().signal } = options
  checkEventFilter(filter)
  let wasOpen = false
  let lostAt: number | null = null
  let pauseMs = pauseMsMin
  while (!signal.aborted) {
    try {
      const parameters = new URLSearchParams({
        from: place.from,
        ...(options.until === undefined ? {} : { until: options.until }),
      })
      for (const type of filter.aggregateTypes ?? []) parameters.append('aggregateType', type)
      for (const type of filter.eventTypes ?? []) parameters.append('eventType', type)
      const body = await calls.stream({
        method: 'GET',
        path: `/v1/events?${parameters}`,
        headers: { accept: eventStream },
        silenceMsMax: 2 * signOfLifeMs,
        signal,
      })
      wasOpen = true
      lostAt = null
      pauseMs = pauseMsMin
      for await (const { event, data, id } of readServerSentEvents(body)) {
        if (event === 'end') return
        if (event === 'error') throw fromErrorBody((JSON.parse(data) as { error: ErrorBody }).error)
        // Without a place yet, the stream begins again where it was asked to.
        if (id !== '') place.from = id
        if (event === 'message') yield JSON.parse(data) as EventEnvelope
      }
      throw new GlynError('UNAVAILABLE', `${calls.name} ended the stream`)
    } catch (error) {
      if (signal.aborted) return
      const known = calls.explain(error)
      const now = performance.now()
      lostAt ??= now
      // The node has waited for the key before it said so.
      if (hasCode(known, 'KEY_UNAVAILABLE')) throw known
      if (!wasOpen || !isGlynError(known) || !known.retryable || now - lostAt > resumeMsMax) throw known
    }
    await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal }).catch(() => {})
    pauseMs = Math.min(2 * pauseMs, pauseMsMax)
  }
}
