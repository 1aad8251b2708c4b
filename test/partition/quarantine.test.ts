// An aggregate whose history does not fit its code is quarantined, alone, and is not loaded again for every command.
import t, { type Test } from 'tap'
import type { AnyAggregate, Upcast } from '../../src/core/aggregate.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { counterAggregate, holdable, startSingleHost } from './single-host.ts'

const toTotal: Upcast = data => data

/** The counter, in a version whose events are of version 2. */
const newer = (extra: object = {}): AnyAggregate & { readonly applied: { count: number } } => ({
  ...counterAggregate(),
  upcast: { Added: [toTotal] },
  ...extra,
})

/** `broken` holds events that only the newer code knows, `fine` only old ones. */
async function history() {
  const store = holdable(createMemoryStore())
  const before = await startSingleHost({ store })
  await before.add('broken', 1)
  await before.add('fine', 10)
  await before.stop()
  const after = await startSingleHost({ store, aggregate: newer() })
  await after.add('broken', 2, 'the-second')
  await after.stop()
  return store
}

async function withHost(t: Test, options: Parameters<typeof startSingleHost>[0]) {
  const solo = await startSingleHost(options)
  t.teardown(() => solo.stop())
  return solo
}

t.test(
  'a version newer than the file: refused with the place, others go on, history is readable',
  async t => {
    const store = await history()
    const aggregate = counterAggregate()
    const solo = await withHost(t, { store, aggregate })
    const refusal = {
      code: 'AGGREGATE_QUARANTINED',
      retryable: false,
      message:
        /counter "broken" is quarantined, because event 2 \(Added v2\) does not fit: .* knows version 1 only\. .*bring the newer file/,
      details: {
        aggregate: { type: 'counter', id: 'broken' },
        sequence: 2,
        eventType: 'Added',
        version: 2,
        misfit: 'unknown-version',
      },
    }
    await t.rejects(solo.add('broken', 1), refusal)
    const applied = aggregate.applied.count
    let reads = 0
    store.readAggregate = (
      read =>
      (...args: Parameters<typeof read>) => {
        reads += 1
        return read(...args)
      }
    )(store.readAggregate)
    await t.rejects(solo.add('broken', 1), refusal)
    await t.rejects(solo.load('broken'), refusal)
    t.equal(aggregate.applied.count, applied, 'nothing is applied again')
    t.equal(reads, 0, 'nothing is read again')
    t.equal((await solo.add('fine', 1)).sequence, 2)
    t.match(await solo.load('fine'), { state: { total: 11 } })
    const events = await solo.host.loadEvents(
      1,
      { type: 'counter', id: 'broken' },
      { fromSequence: 1, limit: 9 },
    )
    t.same(
      events.map(({ version }) => version),
      [1, 2],
    )
    t.match(
      solo.logged.filter(({ message }) => message.includes('quarantined')),
      [{}],
      'it is logged once',
    )
  },
)

t.test('a command that was accepted before keeps its outcome', async t => {
  const solo = await withHost(t, { store: await history() })
  t.match(await solo.add('broken', 2, 'the-second'), { type: 'accepted', replayed: true, sequence: 2 })
  t.match(await solo.add('broken', 2, 'the-second'), { replayed: true }, 'also once it is known')
  await t.rejects(solo.add('broken', 2, 'a-new-one'), { code: 'AGGREGATE_QUARANTINED' })
})

t.test('code that knows the history reads all of it', async t => {
  const solo = await withHost(t, { store: await history(), aggregate: newer() })
  t.match(await solo.load('broken'), { state: { total: 3 }, sequence: 2 })
})

t.test('an upcast that throws, an apply that throws and an unknown event are told apart', async t => {
  const fail = (): never => {
    throw new Error('cannot')
  }
  const table = [
    [newer({ upcast: { Added: [fail] } }), 'upcast-failed', 1, /upcast of Added v1 to v2 threw: cannot/],
    [newer({ apply: fail }), 'apply-failed', 1, /apply\(Added v1\) threw: cannot/],
    [newer({ events: ['Counted'], upcast: {} }), 'unknown-type', 1, /knows only Counted/],
  ] as const
  for (const [aggregate, misfit, sequence, message] of table) {
    const solo = await startSingleHost({ store: await history(), aggregate })
    await t.rejects(solo.add('broken', 1), {
      code: 'AGGREGATE_QUARANTINED',
      message,
      details: { misfit, sequence },
    })
    await solo.stop()
  }
})

t.test('a store that fails while it is read quarantines nobody', async t => {
  const store = await history()
  const solo = await withHost(t, { store, aggregate: newer() })
  const { readAggregate } = store
  store.readAggregate = () => {
    throw new Error('the disk is gone for a moment')
  }
  await t.rejects(solo.load('broken'), { message: 'the disk is gone for a moment' })
  store.readAggregate = readAggregate
  t.match(await solo.load('broken'), { sequence: 2 })
})
