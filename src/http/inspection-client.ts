// Snapshots and statistics of a node in another process.
import { type ErrorBody, fromErrorBody, GlynError, hasCode } from '../core/errors.ts'
import type {
  AggregateSnapshot,
  AggregateStats,
  InspectionApi,
  InspectOptions,
  SnapshotRebuildProgress,
  SnapshotRebuildSummary,
  SystemStats,
} from '../node/inspection.ts'
import type { HttpCalls } from './http-calls.ts'
import { readLineGroups } from './read-lines.ts'

const defaultTimeoutMs = 10_000
/** The node keeps the deadline; a little more for the way. */
const graceMs = 1000
/** While one aggregate is replayed it says about once a second how far it is. */
const silenceMsMax = 30_000

type RebuildLine =
  | ({ readonly event: 'rebuilding' } & SnapshotRebuildProgress)
  | ({ readonly event: 'rebuilt' } & SnapshotRebuildSummary)
  | { readonly event?: undefined; readonly error: ErrorBody }

export function createInspectionClient(
  calls: HttpCalls,
): InspectionApi & { systemStats(): Promise<SystemStats> } {
  const get = (path: string, { timeoutMs = defaultTimeoutMs, signal }: InspectOptions): Promise<unknown> =>
    calls.call({
      method: 'GET',
      path: `${path}?timeoutMs=${timeoutMs}`,
      timeoutMs: timeoutMs + graceMs,
      signal,
    })
  const pathOf = (type: string, id: string, what: string): string =>
    `/v1/aggregates/${encodeURIComponent(type)}/${encodeURIComponent(id)}/${what}`

  return {
    async latestSnapshot(type, id, options = {}) {
      try {
        return (await get(pathOf(type, id, 'snapshot'), options)) as AggregateSnapshot
      } catch (error) {
        if (hasCode(error, 'ENTITY_NOT_FOUND')) return null
        throw error
      }
    },
    async aggregateStats(type, id, options = {}) {
      return (await get(pathOf(type, id, 'stats'), options)) as AggregateStats
    },
    async systemStats() {
      return (await get('/v1/stats', {})) as SystemStats
    },
    async rebuildSnapshots(type, { id, signal, onProgress } = {}) {
      const body = await calls.stream({
        method: 'POST',
        path: '/v1/snapshots/rebuild',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ type, ...(id === undefined ? {} : { id }) }),
        silenceMsMax,
        signal: signal ?? new AbortController().signal,
      })
      try {
        const summary = await readRebuilding(body, onProgress)
        if (summary !== null) return summary
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason
        throw calls.explain(error)
      }
      throw new GlynError(
        'UNAVAILABLE',
        `${calls.name} ended before all snapshots were made again; ask again`,
      )
    },
  }
}

/** Null when the answer ends too early. */
async function readRebuilding(
  body: AsyncIterable<Uint8Array>,
  onProgress: ((progress: SnapshotRebuildProgress) => void) | undefined,
): Promise<SnapshotRebuildSummary | null> {
  for await (const group of readLineGroups(body)) {
    for (const line of group) {
      if (line === '') continue
      const said = JSON.parse(line) as RebuildLine
      if (said.event === undefined) throw fromErrorBody(said.error)
      if (said.event === 'rebuilding') {
        const { done, total, current } = said
        onProgress?.({ done, total, current })
      } else {
        const { event: _, ...summary } = said
        return summary
      }
    }
  }
  return null
}
