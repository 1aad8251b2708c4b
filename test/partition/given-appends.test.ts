// Events that were decided elsewhere, on the leader: the expected sequence is kept, an id counts once, commands go on from them.
import t from 'tap'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import type { Append } from '../../src/store/shared-store.ts'
import { counterAggregate, holdable, partition, startSingleHost } from './single-host.ts'

const given = (
  id: string,
  expectedSequence: number,
  commandId: string,
  more: Partial<Append> = {},
): Append => ({
  partition,
  aggregate: { type: 'counter', id },
  expectedSequence,
  commandId,
  timeMs: 1_700_000_000_123,
  metadata: '{"user":"ann"}',
  events: [{ type: 'Added', version: 1, data: '{"by":2}' }],
  ...more,
})

t.test('appends stand in the log as they were given, and commands go on from them', async t => {
  const solo = await startSingleHost()
  t.teardown(() => solo.stop())
  const answers = await solo.host.append(partition, [
    given('a', 0, 'x1'),
    given('b', 0, 'x1'),
    given('a', 1, 'x2', { events: [given('a', 0, 'x').events[0], given('a', 0, 'x').events[0]] as never }),
  ])
  t.match(answers, [{ type: 'appended' }, { type: 'appended' }, { type: 'appended' }])
  t.same((await solo.load('a')).state, { total: 6 })
  t.equal((await solo.add('a', 1)).sequence, 4)
  const [first] = await solo.host.loadEvents(
    partition,
    { type: 'counter', id: 'a' },
    { fromSequence: 1, limit: 9 },
  )
  t.match(first, { commandId: 'x1', timeMs: 1_700_000_000_123, metadata: '{"user":"ann"}', data: '{"by":2}' })
})

t.test(
  'a known id is answered with its events, before and after a restart; another sequence is a conflict',
  async t => {
    const store = holdable(createMemoryStore())
    const solo = await startSingleHost({ store })
    await solo.add('a', 5, 'c1')
    const both = await solo.host.append(partition, [
      given('a', 1, 'x1'),
      given('a', 1, 'x1'),
      given('a', 0, 'c1'),
    ])
    t.match(both, [
      { type: 'appended' },
      { type: 'duplicate', events: [{ commandId: 'x1', sequence: 2 }] },
      { type: 'duplicate', events: [{ commandId: 'c1', sequence: 1 }] },
    ])
    await solo.stop()
    const again = await startSingleHost({ store })
    t.teardown(() => again.stop())
    t.match(
      await again.host.append(partition, [
        given('a', 7, 'x1'),
        given('a', 1, 'x9'),
        given('a', 3, 'x9'),
        given('a', 2, 'x3'),
      ]),
      [
        { type: 'duplicate', events: [{ commandId: 'x1' }] },
        { type: 'conflict', sequence: 2 },
        { type: 'conflict', sequence: 2 },
        { type: 'appended' },
      ],
    )
    t.match(await again.execute('a', { type: 'Add', data: { by: 1 } }, { commandId: 'x3' }), {
      replayed: true,
      sequence: 3,
    })
  },
)

t.test('a conflict is not said before what it speaks of is durable', async t => {
  const solo = await startSingleHost()
  t.teardown(() => {
    solo.store.release()
    return solo.stop()
  })
  solo.store.hold()
  const first = solo.host.append(partition, [given('a', 0, 'x1')])
  let isAnswered = false
  const second = solo.host.append(partition, [given('a', 0, 'x2')]).then(answers => {
    isAnswered = true
    return answers
  })
  await new Promise(resolve => setTimeout(resolve, 60))
  t.notOk(isAnswered)
  solo.store.release()
  t.match(await first, [{ type: 'appended' }])
  t.match(await second, [{ type: 'conflict', sequence: 1 }])
})

t.test(
  'types whose code is not loaded have an order, too; what loaded code cannot apply is refused with all behind it',
  async t => {
    const aggregate = counterAggregate()
    const apply: typeof aggregate.apply = (state, event) => {
      if (event.type === 'Strange') throw new Error('never heard of it')
      return aggregate.apply(state, event)
    }
    const solo = await startSingleHost({ aggregate: { ...aggregate, apply } })
    t.teardown(() => solo.stop())
    const other = { type: 'elsewhere', id: 'a' }
    t.match(
      await solo.host.append(partition, [
        given('', 0, 'x1', { aggregate: other }),
        given('', 0, 'x2', { aggregate: other }),
        given('', 1, 'x3', { aggregate: other }),
      ]),
      [{ type: 'appended' }, { type: 'conflict', sequence: 1 }, { type: 'appended' }],
    )
    t.equal((await solo.host.loadEvents(partition, other, { fromSequence: 1, limit: 9 })).length, 2)
    const strange = { events: [{ type: 'Strange', version: 1, data: '{}' }] }
    t.match(
      await solo.host.append(partition, [
        given('a', 0, 'x1', strange),
        given('a', 1, 'x2'),
        given('b', 0, 'x1'),
      ]),
      [
        { type: 'failed', error: { code: 'AGGREGATE_FAILED' } },
        { type: 'failed', error: { code: 'AGGREGATE_FAILED' } },
        { type: 'appended' },
      ],
    )
    t.equal((await solo.load('a')).sequence, 0)
  },
)

t.test(
  'past the bound appends are refused one by one, and none overtakes another of its aggregate',
  async t => {
    const solo = await startSingleHost({ pendingMax: 2 })
    t.teardown(() => {
      solo.store.release()
      return solo.stop()
    })
    solo.store.hold()
    const answers = solo.host.append(partition, [
      given('a', 0, 'x1'),
      given('a', 1, 'x2'),
      given('a', 2, 'x3'),
    ])
    solo.store.release()
    t.match(await answers, [
      { type: 'appended' },
      { type: 'appended' },
      { type: 'failed', error: { code: 'OVERLOADED' } },
    ])
  },
)
