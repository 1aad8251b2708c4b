// How fast a query is, how old what it has not seen yet is, and since when it stands still.
import type { Clock } from '../core/clock.ts'
import type { HeadHistory } from './head-history.ts'

/** The rate is that of the last so many seconds. */
const windowSeconds = 5

export interface QueryPace {
  /** So many events were handled, the last of them made at `timeMs` (wall time; null when there was none). */
  handled(events: number, timeMs: number | null): void
  perSecond(): number
  /**
   * The age of the oldest event that is committed and was not seen; 0 when there is none. An estimate from above: by when
   * this node heard of it, or, further back, by the time of the last event that was seen.
   */
  lagSeconds(positions: ReadonlyMap<number, number>, lag: number): number
}

export function createQueryPace(init: { readonly clock: Clock; readonly history: HeadHistory }): QueryPace {
  const { clock, history } = init
  /** Events by second; the second under way is not counted until it is over. */
  const counts: { readonly second: number; events: number }[] = []
  const startedAt = clock.now()
  let lastSeenMs: number | null = null
  const secondOf = (): number => Math.floor(clock.now() / 1000)

  return {
    handled(events, timeMs) {
      if (timeMs !== null) lastSeenMs = Math.max(lastSeenMs ?? 0, timeMs)
      const second = secondOf()
      const last = counts.at(-1)
      if (last?.second === second) last.events += events
      else counts.push({ second, events })
      if (counts.length > windowSeconds + 1) counts.shift()
    },
    perSecond() {
      const second = secondOf()
      const since = second - windowSeconds
      const events = counts.reduce((sum, count) => (count.second > since ? sum + count.events : sum), 0)
      const seconds = Math.min(
        (clock.now() - startedAt) / 1000,
        windowSeconds - 1 + (clock.now() / 1000 - second),
      )
      return seconds < 0.001 ? 0 : Math.round(events / Math.max(seconds, 0.2))
    },
    lagSeconds(positions, lag) {
      if (lag === 0) return 0
      const heardMs = history.heardSince(positions)
      const byEvent = lastSeenMs === null ? Number.POSITIVE_INFINITY : clock.wallTime() - lastSeenMs
      const ageMs = Math.min(heardMs === null ? Number.POSITIVE_INFINITY : clock.now() - heardMs, byEvent)
      return Number.isFinite(ageMs)
        ? Math.max(0, Math.round(ageMs / 100) / 10)
        : Math.round((clock.now() - history.since) / 1000)
    },
  }
}
