// Long histories are read in pages: no single read takes more than a page, and every event comes once.
import t from 'tap'
import type { StoredEvent } from '../../src/core/record.ts'
import { collectPages, type EventRange, readPage } from '../../src/node/remote-aggregates.ts'

const eventAt = (sequence: number, dataBytes: number): StoredEvent => ({
  partition: 1,
  index: sequence,
  offset: 0,
  aggregateType: 'counter',
  aggregateId: 'c',
  sequence,
  type: 'Added',
  version: 1,
  data: 'x'.repeat(dataBytes),
  metadata: '{}',
  commandId: `command-${sequence}`,
  timeMs: 0,
})

/** A history of `count` events, and what was read of it. */
function history(count: number, dataBytes = 10) {
  const limits: number[] = []
  const read = async ({ fromSequence, limit }: EventRange): Promise<readonly StoredEvent[]> => {
    limits.push(limit)
    const length = Math.max(0, Math.min(limit, count - fromSequence + 1))
    return Array.from({ length }, (_, place) => eventAt(fromSequence + place, dataBytes))
  }
  const collect = async (range: EventRange): Promise<number[]> =>
    (await collectPages(range, page => readPage(page, read))).map(({ sequence }) => sequence)
  return { limits, collect }
}

const from = (first: number, count: number): number[] => Array.from({ length: count }, (_, n) => first + n)

t.test('no read takes more than a page, however much is asked for', async t => {
  const { limits, collect } = history(5000)
  t.same(await collect({ fromSequence: 11, limit: 1_000_000 }), from(11, 4990))
  t.ok(Math.max(...limits) <= 1000)
  t.ok(limits.length <= 6)
})

t.test('the limit is kept, also at the edge of a page', async t => {
  for (const limit of [1, 999, 1000, 1001, 2000, 2001]) {
    const { collect } = history(5000)
    t.same((await collect({ fromSequence: 1, limit })).length, limit)
  }
  const exact = history(1000)
  t.same(await exact.collect({ fromSequence: 1, limit: 5000 }), from(1, 1000))
  t.same(await history(0).collect({ fromSequence: 1, limit: 10 }), [])
})

t.test('pages of large events end earlier, and nothing is left out', async t => {
  const { collect } = history(50, 100_000)
  t.same(await collect({ fromSequence: 1, limit: 1_000 }), from(1, 50))
})
