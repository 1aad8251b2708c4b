// Batches of a query are bounded by events and by bytes.
import t from 'tap'
import type { StoredEvent } from '../../src/core/record.ts'
import { createBatchSize } from '../../src/query/batch-size.ts'

const events = (count: number, bytes: number): StoredEvent[] =>
  Array.from({ length: count }, () => ({ data: 'x'.repeat(bytes), metadata: '{}' }) as StoredEvent)

t.test('small events come in ever larger batches up to the maximum, large ones a few at a time', async t => {
  const size = createBatchSize({ eventsMax: 2000 })
  t.equal(size.limit(), 200)
  const limits = Array.from({ length: 5 }, () => {
    size.learn(events(size.limit(), 30))
    return size.limit()
  })
  t.strictSame(limits, [400, 800, 1600, 2000, 2000])
  size.learn(events(3, 300_000))
  t.equal(size.limit(), 3)
  size.learn(events(1, 5_000_000))
  t.equal(size.limit(), 1)
  size.learn([])
  t.equal(size.limit(), 1)
  t.equal(createBatchSize({ eventsMax: 7 }).limit(), 7)
})
