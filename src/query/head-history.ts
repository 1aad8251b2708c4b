// When this node heard of which heads: so many seconds behind, not only so many entries.
import type { Clock } from '../core/clock.ts'
import type { EventSource } from './query.ts'

/** Looked at most once per so long, when heads move. */
const sampleMs = 1000
const samplesMax = 120

export interface HeadHistory {
  /** Heads moved. */
  advance(): void
  /** When the oldest head beyond these positions was heard of, on the clock; null when that was before this history. */
  heardSince(positions: ReadonlyMap<number, number>): number | null
  /** When it began. */
  readonly since: number
}

export function createHeadHistory(init: {
  readonly clock: Clock
  readonly source: EventSource
}): HeadHistory {
  const { clock, source } = init
  const since = clock.now()
  const samples: { readonly atMs: number; readonly heads: ReadonlyMap<number, number> }[] = []
  const take = (): void => {
    samples.push({ atMs: clock.now(), heads: new Map(source.heads()) })
    if (samples.length > samplesMax) samples.shift()
  }
  take()

  return {
    since,
    advance() {
      const last = samples.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY
      if (clock.now() - last >= sampleMs) take()
    },
    heardSince(positions) {
      const isBeyond = (heads: ReadonlyMap<number, number>): boolean =>
        [...heads].some(([partition, index]) => index > (positions.get(partition) ?? 0))
      const place = samples.findIndex(({ heads }) => isBeyond(heads))
      if (place === 0) return null
      // What came after the last look is younger than that.
      return (place === -1 ? samples.at(-1) : samples[place])?.atMs ?? null
    },
  }
}
