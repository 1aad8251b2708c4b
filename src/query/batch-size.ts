// How many events a query reads at once: many small ones, or few large ones, so that what it holds in memory is bounded.
import type { StoredEvent } from '../core/record.ts'

export interface BatchSize {
  /** Events to read next. */
  limit(): number
  /** These were read. */
  learn(events: readonly StoredEvent[]): void
}

/** Of data and metadata, about; more only when one entry is larger. */
const bytesWanted = 1024 * 1024
/** Before it is known how large they are. */
const firstEvents = 200
/** What an event costs beside its data and metadata, about. */
const eventBytes = 200

export function createBatchSize({ eventsMax }: { readonly eventsMax: number }): BatchSize {
  let limit = Math.min(eventsMax, firstEvents)
  return {
    limit: () => limit,
    learn(events) {
      if (events.length === 0) return
      let bytes = 0
      for (const { data, metadata } of events) bytes += eventBytes + data.length + metadata.length
      const fitting = Math.floor((bytesWanted * events.length) / bytes)
      // It may double, and is cut at once.
      limit = Math.max(1, Math.min(eventsMax, fitting, 2 * limit))
    },
  }
}
