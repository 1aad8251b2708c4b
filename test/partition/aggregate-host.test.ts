// The aggregate host on one partition: pipelining, command ids, rejections on committed state, bounds, snapshots, cache.

import t, { type Test } from 'tap'
import type { AnyAggregate } from '../../src/core/aggregate.ts'
import { GlynError } from '../../src/core/errors.ts'
import type { DomainEvent } from '../../src/core/event.ts'
import type { Accepted, Outcome } from '../../src/core/outcome.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { eventually } from '../node/memory-cluster.ts'
import { counterAggregate, holdable, partition, type SingleHost, startSingleHost } from './single-host.ts'

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1)
const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  const pending = Symbol()
  const later = new Promise(resolve => setTimeout(resolve, 60, pending))
  return (await Promise.race([promise, later])) !== pending
}
const look = { type: 'Look', data: {} }
const take = (by: number) => ({ type: 'Add', data: { by: -by } })
const totalOf = async (solo: SingleHost, id: string): Promise<unknown> => (await solo.load(id)).state

async function withHost(t: Test, options?: Parameters<typeof startSingleHost>[0]): Promise<SingleHost> {
  const solo = await startSingleHost(options)
  t.teardown(() => {
    solo.store.release()
    return solo.stop()
  })
  return solo
}

t.test('a hot aggregate is pipelined: a hundred commands, sequences without gaps, a few writes', async t => {
  const solo = await withHost(t)
  const before = solo.store.statistics()
  const outcomes = await Promise.all(range(100).map(() => solo.add('hot', 2)))
  t.same(
    outcomes.map(({ sequence }) => sequence),
    range(100),
  )
  t.same(
    outcomes.map(({ events }) => events.map(event => event.sequence)),
    range(100).map(n => [n]),
  )
  t.same(await totalOf(solo, 'hot'), { total: 200 })
  const after = solo.store.statistics()
  t.equal(after.events - before.events, 100)
  t.ok(after.commits - before.commits <= 5, `${after.commits - before.commits} writes for a hundred commands`)
})

t.test('commands that come while a write is under way wait together for the next one', async t => {
  const solo = await withHost(t)
  solo.store.hold()
  const first = solo.add('hot', 1)
  t.equal(await settled(first), false, 'nothing is acknowledged before it is durable')
  const { commits } = solo.store.statistics()
  const rest = Promise.all(range(100).map(() => solo.add('hot', 1)))
  t.equal(await settled(rest), false)
  solo.store.release()
  t.equal((await first).sequence, 1)
  t.same(
    (await rest).map(({ sequence }) => sequence),
    range(101).slice(1),
  )
  t.ok(solo.store.statistics().commits - commits <= 3)
})

t.test('several events of one command follow each other, and later commands follow them', async t => {
  const solo = await withHost(t)
  const outcomes = await Promise.all([
    solo.execute('two', { type: 'AddTwice', data: { by: 1 } }, { metadata: { user: 'ann' } }),
    solo.execute('two', { type: 'AddTwice', data: { by: 2 } }),
  ])
  const [first, second] = outcomes as [Accepted, Accepted]
  t.same(
    first.events.map(({ id, sequence, metadata }) => [id, sequence, metadata]),
    [
      ['counter/two/1', 1, { user: 'ann' }],
      ['counter/two/2', 2, { user: 'ann' }],
    ],
  )
  t.same(first.position, first.events[1]?.position, 'one entry holds all events of one command')
  t.same(
    second.events.map(({ sequence }) => sequence),
    [3, 4],
  )
  t.equal(second.sequence, 4)
  t.equal(second.token, `${partition}:${second.position.index}`)
  const rows = await solo.host.loadEvents(
    partition,
    { type: 'counter', id: 'two' },
    { fromSequence: 2, limit: 2 },
  )
  t.same(
    rows.map(({ sequence, data }) => [sequence, JSON.parse(data)]),
    [
      [2, { by: 1 }],
      [3, { by: 2 }],
    ],
  )
})

t.test('one command id, asked at the same time, has one outcome', async t => {
  const solo = await withHost(t)
  const outcomes = await Promise.all(range(10).map(() => solo.add('a', 5, 'once')))
  t.equal(outcomes.filter(({ replayed }) => !replayed).length, 1)
  for (const { events } of outcomes) t.same(events, outcomes[0]?.events)
  t.same(await totalOf(solo, 'a'), { total: 5 })
})

t.test('one command id, asked later and after a restart, has the first outcome', async t => {
  const solo = await withHost(t)
  const first = await solo.add('a', 5, 'once')
  await solo.add('a', 1)
  // The id decides, not the data of the retry.
  const again = await solo.add('a', 99, 'once')
  t.equal(again.replayed, true)
  const { replayed: _, replicas: __, ...facts } = first
  t.match(again, facts)
  t.same(again.events, first.events)
  await solo.stop()
  const restarted = await withHost(t, { store: solo.store })
  const later = await restarted.add('a', 99, 'once')
  t.same([later.replayed, later.events, later.sequence], [true, first.events, 1])
  t.same(await totalOf(restarted, 'a'), { total: 6 })
})

t.test('a command id counts per aggregate', async t => {
  const solo = await withHost(t)
  const outcomes = await Promise.all([solo.add('a', 1, 'same'), solo.add('b', 1, 'same')])
  t.same(
    outcomes.map(({ replayed, sequence }) => [replayed, sequence]),
    [
      [false, 1],
      [false, 1],
    ],
  )
  t.equal((await solo.add('b', 1, 'same')).aggregate.id, 'b')
})

t.test('one id sent to two aggregates at the same time, and again, counts once for each', async t => {
  const solo = await withHost(t)
  const outcomes = await Promise.all(['a', 'b', 'a', 'b', 'a'].map(id => solo.add(id, 1, 'same')))
  t.same(
    outcomes.map(({ replayed }) => replayed),
    [false, false, true, true, true],
  )
  t.same(await totalOf(solo, 'a'), { total: 1 })
  t.same(await totalOf(solo, 'b'), { total: 1 })
})

t.test('one command id, under way for two aggregates and asked again, counts once for each', async t => {
  const solo = await withHost(t)
  solo.store.hold()
  const asked = ['a', 'b', 'a', 'b'].map(id => solo.add(id, 5, 'transfer'))
  solo.store.release()
  t.same(
    (await Promise.all(asked)).map(({ aggregate, sequence, replayed }) => [aggregate.id, sequence, replayed]),
    [
      ['a', 1, false],
      ['b', 1, false],
      ['a', 1, true],
      ['b', 1, true],
    ],
  )
  t.same([await totalOf(solo, 'a'), await totalOf(solo, 'b')], [{ total: 5 }, { total: 5 }])
})

t.test('a rejection speaks of committed state: it waits for what it was decided on', async t => {
  const solo = await withHost(t)
  solo.store.hold()
  const deposit = solo.add('a', 5)
  const overdraft = solo.execute('a', take(10))
  t.equal(await settled(overdraft), false, 'no rejection before the deposit is durable')
  const withdrawal = solo.execute('a', take(5))
  const second = solo.execute('a', take(1))
  t.equal(await settled(second), false)
  solo.store.release()
  t.equal((await deposit).sequence, 1)
  t.match(await overdraft, { type: 'rejected', code: 'below_zero', details: { total: 5 } })
  t.match(await withdrawal, { type: 'accepted', sequence: 2 })
  t.match(
    await second,
    { type: 'rejected', details: { total: 0 } },
    'decided on the state with all before it',
  )
})

t.test('a rejection stores nothing, and its retry is decided afresh', async t => {
  const solo = await withHost(t)
  const { entries } = solo.store.statistics()
  t.match(await solo.execute('a', take(1), { commandId: 'x' }), { type: 'rejected', commandId: 'x' })
  t.equal(solo.store.statistics().entries, entries)
  await solo.add('a', 1)
  t.match(await solo.execute('a', take(1), { commandId: 'x' }), { type: 'accepted', replayed: false })
})

t.test('a command without events is accepted, says how far the aggregate is, and stores nothing', async t => {
  const solo = await withHost(t)
  t.match(await solo.execute('a', look), { type: 'accepted', events: [], sequence: 0, replayed: false })
  solo.store.hold()
  const add = solo.add('a', 1)
  const looked = solo.execute('a', look)
  t.equal(await settled(looked), false, 'it waits for what it was decided on')
  solo.store.release()
  await add
  const { entries } = solo.store.statistics()
  t.match(await looked, { type: 'accepted', events: [], sequence: 1 })
  const again = (await solo.execute('a', look)) as Accepted
  t.equal(solo.store.statistics().entries, entries)
  t.equal(again.token, `${partition}:${again.position.index}`)
})

t.test('a command that throws fails alone', async t => {
  const solo = await withHost(t)
  const outcomes = await Promise.allSettled([
    solo.add('a', 1),
    solo.execute('a', { type: 'Throw', data: {} }),
    solo.add('a', 1),
  ])
  t.same(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  t.match(outcomes[1], {
    reason: { code: 'AGGREGATE_FAILED', message: 'counter: handle(Throw) threw: out of luck' },
  })
  t.same(await totalOf(solo, 'a'), { total: 2 })
})

t.test('what cannot be asked is refused by name', async t => {
  const solo = await withHost(t)
  const envelope = { aggregate: { type: 'countr', id: 'a' }, command: look, commandId: 'x', metadata: {} }
  await t.rejects(solo.host.execute(partition, envelope), {
    code: 'UNKNOWN_AGGREGATE_TYPE',
    message: 'no aggregate type "countr"; allowed: counter',
    details: { allowed: ['counter'] },
  })
  await t.rejects(solo.execute('', look), { code: 'INVALID_ARGUMENT' })
  await t.rejects(solo.execute('a', look, { commandId: '' }), {
    code: 'INVALID_ARGUMENT',
    message: /command id/,
  })
  await t.rejects(solo.host.execute(2, { ...envelope, aggregate: { type: 'counter', id: 'a' } }), {
    code: 'NOT_LEADER',
    details: { leader: null },
  })
})

t.test('past the bound commands and reads are refused as overloaded, and none is lost', async t => {
  const solo = await withHost(t, { pendingMax: 10 })
  solo.store.hold()
  const taken = range(10).map(() => solo.add('a', 1))
  t.equal(await settled(Promise.any(taken)), false)
  await t.rejects(solo.add('a', 1), { code: 'OVERLOADED', message: /10 commands and reads .*allowed: 10/ })
  await t.rejects(solo.load('a'), { code: 'OVERLOADED' })
  t.equal(solo.host.pendingCount(), 10)
  solo.store.release()
  t.same(
    (await Promise.all(taken)).map(({ sequence }) => sequence),
    range(10),
  )
  t.equal(solo.host.pendingCount(), 0)
  t.equal((await solo.add('a', 1)).sequence, 11)
})

t.test('past the bound of bytes commands are refused as overloaded, until some are committed', async t => {
  const solo = await withHost(t, { pendingBytesMax: 500 })
  solo.store.hold()
  const metadata = { note: 'x'.repeat(300) }
  const execute = () => solo.execute('a', { type: 'Add', data: { by: 1 } }, { metadata })
  const first = execute()
  const second = execute()
  await t.rejects(execute(), {
    code: 'OVERLOADED',
    message: /bytes wait for their commit on this node; allowed: 500/,
  })
  solo.store.release()
  t.match([await first, await second], [{ type: 'accepted' }, { type: 'accepted' }])
  t.match(await execute(), { type: 'accepted', sequence: 3 })
})

t.test('rejections and reads that wait count too', async t => {
  const solo = await withHost(t, { pendingMax: 5 })
  solo.store.hold()
  const add = solo.add('a', 1)
  const waiting: Promise<Outcome>[] = range(4).map(() => solo.execute('a', take(5)))
  t.equal(await settled(Promise.any(waiting)), false)
  await t.rejects(solo.execute('a', take(5)), { code: 'OVERLOADED' })
  solo.store.release()
  await Promise.all([add, ...waiting])
  t.equal(solo.host.pendingCount(), 0)
})

t.test('a store that fails acknowledges nothing and ends the node', async t => {
  const solo = await withHost(t)
  await solo.add('a', 1)
  solo.store.fail(new GlynError('STORE_FULL', 'the disk is full'))
  const lost = solo.add('a', 1)
  lost.catch(() => {})
  await eventually(() => solo.failures.length > 0, 'the failure is told')
  t.match(solo.failures, [{ code: 'STORE_FULL' }])
  t.equal(await settled(lost.catch(() => {})), false)
  solo.host.stop()
  await t.rejects(lost, { code: 'OUTCOME_UNKNOWN' }, 'a stop leaves nobody waiting')
  t.equal(solo.host.pendingCount(), 0)
})

t.test('snapshots are written at their frequency, and only what comes after them is applied', async t => {
  const store = holdable(createMemoryStore())
  const solo = await withHost(t, { store, aggregate: counterAggregate({ snapshotEvery: 10 }) })
  for (const n of range(25)) await solo.add('a', n)
  await eventually(
    () => store.latestSnapshot({ type: 'counter', id: 'a' })?.sequence === 20,
    'the second snapshot',
  )
  const snapshot = store.latestSnapshot({ type: 'counter', id: 'a' })
  t.same([snapshot?.state, snapshot?.definition], [JSON.stringify({ total: 210 }), 'first'])
  await solo.stop()

  const aggregate = counterAggregate({ snapshotEvery: 10 })
  const restarted = await withHost(t, { store, aggregate })
  t.same(await restarted.load('a'), {
    state: { total: 325 },
    sequence: 25,
    index: (await restarted.load('a')).index,
  })
  t.equal(aggregate.applied.count, 5, 'five events after the snapshot')
  t.equal((await restarted.add('a', 1)).sequence, 26)
})

t.test('a snapshot of other code is ignored', async t => {
  const store = holdable(createMemoryStore())
  const solo = await withHost(t, { store, aggregate: counterAggregate({ snapshotEvery: 10 }) })
  for (const n of range(12)) await solo.add('a', n)
  await eventually(() => store.latestSnapshot({ type: 'counter', id: 'a' }) !== undefined, 'a snapshot')
  await solo.stop()
  const aggregate = counterAggregate({ snapshotEvery: 10 })
  const restarted = await withHost(t, { store, aggregate, definitionId: 'second' })
  t.match(await restarted.load('a'), { state: { total: 78 }, sequence: 12 })
  t.equal(aggregate.applied.count, 12)
})

t.test('a command id from before the snapshot still has its outcome', async t => {
  const store = holdable(createMemoryStore())
  const solo = await withHost(t, { store, aggregate: counterAggregate({ snapshotEvery: 5 }) })
  const first = await solo.add('a', 7, 'early')
  for (const n of range(10)) await solo.add('a', n)
  await solo.stop()
  const restarted = await withHost(t, { store, aggregate: counterAggregate({ snapshotEvery: 5 }) })
  const again = await restarted.add('a', 7, 'early')
  t.same([again.replayed, again.events], [true, first.events])
})

t.test('a state that cannot be written as JSON costs its snapshot and nothing else', async t => {
  const odd: AnyAggregate = {
    type: 'counter',
    emptyState: { total: 0n },
    snapshotEvery: 1,
    handle: () => ({ type: 'Added', data: {} }),
    apply: (state: { total: bigint }) => ({ total: state.total + 1n }),
  }
  const solo = await withHost(t, { aggregate: odd })
  t.match(await solo.execute('a', look), { type: 'accepted', sequence: 1 })
  t.match(await solo.execute('a', look), { type: 'accepted', sequence: 2 })
  t.same(solo.failures, [])
  await t.rejects(solo.load('a'), { code: 'AGGREGATE_FAILED', message: /the state is not JSON/ })
  t.match(solo.logged[0], { fields: { aggregate: 'counter/a' }, message: /no snapshot/ })
})

t.test('a state that JSON changes is never read back from a snapshot', async t => {
  const odd: AnyAggregate = {
    type: 'counter',
    emptyState: { seen: new Set<number>() },
    snapshotEvery: 2,
    handle: (state: { seen: Set<number> }) => ({ type: 'Seen', data: { n: state.seen.size } }),
    apply: (state: { seen: Set<number> }, event: DomainEvent<string, { n: number }>) => ({
      seen: new Set([...state.seen, event.data.n]),
    }),
  }
  const solo = await withHost(t, { aggregate: odd, cache: { actorsMax: 1 } })
  for (const _ of range(3)) await solo.execute('a', look)
  await solo.execute('b', look)
  t.match(await solo.execute('a', look), { type: 'accepted', events: [{ data: { n: 3 } }] })
  t.match(solo.logged[0], { fields: { aggregate: 'counter/a' }, message: /no snapshot/ })
})

t.test('an actor that left the cache comes back with its state and its command ids', async t => {
  const solo = await withHost(t, { cache: { actorsMax: 2 } })
  const firsts = await Promise.all(range(20).map(n => solo.add(`a${n}`, n, `first-${n}`)))
  for (const n of range(20)) {
    const again = await solo.add(`a${n}`, 1000, `first-${n}`)
    if (!again.replayed || again.events[0]?.id !== firsts[n - 1]?.events[0]?.id)
      t.fail(`a${n} took its command twice`)
    t.same(await totalOf(solo, `a${n}`), { total: n })
    t.equal((await solo.add(`a${n}`, 1)).sequence, 2)
  }
})

t.test('the bound of the cache in bytes counts what actors have become', async t => {
  const aggregate = counterAggregate()
  const solo = await withHost(t, { aggregate, cache: { bytesMax: 20_000 } })
  for (const n of range(10)) await Promise.all(range(100).map(() => solo.add(`a${n}`, 1)))
  aggregate.applied.count = 0
  for (const n of range(10)) t.same(await totalOf(solo, `a${n}`), { total: 100 })
  t.ok(
    aggregate.applied.count >= 900,
    `all but one had left: ${aggregate.applied.count} events were read again`,
  )
})

t.test('an actor with commands under way is not evicted', async t => {
  const solo = await withHost(t, { cache: { actorsMax: 1 } })
  solo.store.hold()
  const under = range(5).map(n => solo.add(`a${n}`, 1))
  const more = range(5).map(n => solo.add(`a${n}`, 1))
  solo.store.release()
  t.same(
    (await Promise.all(under)).map(({ sequence }) => sequence),
    [1, 1, 1, 1, 1],
  )
  t.same(
    (await Promise.all(more)).map(({ sequence }) => sequence),
    [2, 2, 2, 2, 2],
  )
})

t.test('a command id older than an actor remembers is looked up in the store', async t => {
  const solo = await withHost(t)
  await solo.add('a', 1, 'first')
  await Promise.all(range(1100).map(() => solo.add('a', 1)))
  t.equal((await solo.add('a', 1, 'first')).replayed, true)
  t.same(await totalOf(solo, 'a'), { total: 1101 })
})

t.test('a caller may change what it was given: the aggregate does not notice', async t => {
  const solo = await withHost(t)
  await solo.add('a', 3)
  const loaded = await solo.load('a')
  ;(loaded.state as { total: number }).total = 1000
  t.same(await totalOf(solo, 'a'), { total: 3 })
  t.match(await solo.execute('a', take(4)), { type: 'rejected' })
})
