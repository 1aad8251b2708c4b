// Committed events of all partitions as an async iterable: each partition in order, each event once.
import type { Cancel, Clock } from '../core/clock.ts'
import { GlynError, hasCode } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import { checkEventFilter, type EventFilter, passesFilter } from '../core/event-filter.ts'
import type { Positions } from '../core/position.ts'
import { formatToken, parseToken } from '../core/token.ts'
import type { Feed } from '../pubsub/feed.ts'
import { toEventEnvelope } from '../store/event-envelope.ts'

/** Events read at a time from one partition. */
const pageEvents = 500
/** A partition whose replicas cannot be read is asked again after this long. */
const retryMs = 500
/** One that has an end gives up when nothing went on for so long for want of a key. */
const keyWaitMsMax = 10_000

export interface SubscriptionInit {
  readonly from: string
  /** `now`: ends when everything is told that was committed, as far as this node knew, when it was called. A token: when it is reached. */
  readonly until?: 'now' | (string & {}) | undefined
  readonly filter?: EventFilter | undefined
  readonly signal?: AbortSignal | undefined
  /** The node stops: the iteration ends with SHUTTING_DOWN, because there may be more. */
  readonly closed?: AbortSignal
  readonly partitions: readonly number[]
  readonly clock: Clock
}

/**
 * From `start`, `now` (the moment of the call), or a token. Ends, without an error, when the signal is aborted. Slow
 * readers are waited for: nothing is read ahead of them but one page.
 */
export function subscribeToFeed(feed: Feed, init: SubscriptionInit): FeedSubscription {
  const { from, signal, closed } = init
  // Of the present, and not of the moment when somebody begins to iterate.
  const heads = new Map(feed.heads())
  /** How far everything is handed out. */
  const positions = new Map<number, number>()
  let hasBegun = false
  const isAborted = (): boolean => signal?.aborted === true
  const iterate = async function* (): AsyncGenerator<EventEnvelope, void, undefined> {
    // Not AbortSignal.any: Node keeps such a signal, with all that listens to it, until it is aborted.
    const ending = new AbortController()
    const { signal: ended } = ending
    const end = (): void => ending.abort()
    const sources = [signal, closed].filter(one => one !== undefined)
    for (const source of sources) source.addEventListener('abort', end)
    if (sources.some(({ aborted }) => aborted)) end()
    const waker = createWaker(ended, init.clock)
    const stop = feed.onAdvance(waker.wake)
    try {
      if (init.filter !== undefined) checkEventFilter(init.filter)
      for (const [partition, index] of startingPositions(heads, init)) positions.set(partition, index)
      const ends = endingPositions(heads, init)
      hasBegun = true
      let keylessSince: number | undefined
      while (!isAborted()) {
        closed?.throwIfAborted()
        let hasRead = false
        let keyless: unknown
        for (const [partition, head] of feed.heads()) {
          const afterIndex = positions.get(partition) ?? 0
          if (head <= afterIndex) continue
          const page = await readPage(feed, { partition, afterIndex, signal: ended }, error => {
            keyless = error
          })
          if (page === undefined) continue
          hasRead ||= page.throughIndex > afterIndex
          for (const [place, row] of page.events.entries()) {
            if (isAborted()) return
            closed?.throwIfAborted()
            // The last of its entry: from now on a token is after it.
            if (row.index !== page.events[place + 1]?.index) positions.set(partition, row.index)
            const event = toEventEnvelope(row)
            if (init.filter === undefined || passesFilter(init.filter, event)) yield event
          }
          positions.set(partition, page.throughIndex)
        }
        if (ends?.every(([partition, end]) => (positions.get(partition) ?? 0) >= end) === true) return
        if (hasRead || keyless === undefined) keylessSince = undefined
        else keylessSince ??= init.clock.now()
        if (ends !== null && keylessSince !== undefined && init.clock.now() - keylessSince >= keyWaitMsMax)
          throw keyless
        if (!hasRead) await waker.next(retryMs)
      }
    } finally {
      stop()
      waker.close()
      for (const source of sources) source.removeEventListener('abort', end)
    }
  }
  return Object.assign(iterate(), {
    token() {
      if (hasBegun) return formatToken(positions)
      return from === 'start' ? '' : from === 'now' ? formatToken(heads) : from
    },
  })
}

/** `token`: as `Subscription` has it. */
export type FeedSubscription = AsyncGenerator<EventEnvelope, void, undefined> & { token(): string }

function startingPositions(
  heads: Positions,
  options: { readonly from: string; readonly partitions: readonly number[] },
): Positions {
  if (options.from === 'start') return new Map()
  if (options.from === 'now') return heads
  return parseKnownToken(options.from, options.partitions)
}

/** Null: it goes on for ever. */
function endingPositions(
  heads: Positions,
  options: { readonly until?: string | undefined; readonly partitions: readonly number[] },
): readonly (readonly [partition: number, index: number])[] | null {
  if (options.until === undefined) return null
  return [...(options.until === 'now' ? heads : parseKnownToken(options.until, options.partitions))]
}

function parseKnownToken(token: string, partitions: readonly number[]): Positions {
  const positions = parseToken(token)
  const unknown = [...positions.keys()].filter(partition => !partitions.includes(partition))
  if (unknown.length > 0) {
    throw new GlynError(
      'INVALID_ARGUMENT',
      `token ${formatToken(positions)} names partition ${unknown.join(', ')}; allowed: 1 to ${partitions.length}`,
    )
  }
  return positions
}

/** Undefined when no replica can be read now, or a key is not here; the caller comes back later. */
async function readPage(
  feed: Feed,
  place: { readonly partition: number; readonly afterIndex: number; readonly signal: AbortSignal },
  onKeyless: (error: unknown) => void,
): Promise<Awaited<ReturnType<Feed['read']>> | undefined> {
  const { partition, afterIndex, signal } = place
  try {
    return await feed.read(partition, { afterIndex, limit: pageEvents }, { signal })
  } catch (error) {
    if (hasCode(error, 'KEY_UNAVAILABLE')) onKeyless(error)
    if (
      signal.aborted ||
      hasCode(error, 'UNAVAILABLE', 'TIMEOUT', 'PEER_UNREACHABLE', 'OUTCOME_UNKNOWN', 'KEY_UNAVAILABLE')
    )
      return undefined
    throw error
  }
}

/** Remembers a wake that came while nobody waited, so that none is missed. */
function createWaker(
  signal: AbortSignal,
  clock: Clock,
): {
  wake(): void
  next(timeoutMs: number): Promise<void>
  close(): void
} {
  let isAwake = false
  let waiting: (() => void) | undefined
  const wake = (): void => {
    isAwake = true
    waiting?.()
  }
  signal.addEventListener('abort', wake)
  return {
    wake,
    async next(timeoutMs) {
      if (!isAwake) {
        let cancel: Cancel | undefined
        await new Promise<void>(resolve => {
          waiting = resolve
          cancel = clock.after(timeoutMs, resolve)
        })
        cancel?.()
        waiting = undefined
      }
      isAwake = false
    },
    close: () => signal.removeEventListener('abort', wake),
  }
}
