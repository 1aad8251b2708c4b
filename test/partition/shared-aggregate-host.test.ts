// The host on a shared store: pipelining, conflicts between two that both believe to lead, lost answers, kept outcomes, bounds.
import t from 'tap'
import { createSharedMemory } from '../../src/store/memory/memory-shared-store.ts'
import { lost, openMemory, startSharedHost } from './shared-hosts.ts'
import { counterAggregate, partition } from './single-host.ts'

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1)
const take = (by: number) => ({ type: 'Add', data: { by: -by } })
const add = (by: number) => ({ type: 'Add', data: { by } })
const look = { type: 'Look', data: {} }

t.test('a hot aggregate is pipelined: a hundred commands, sequences without gaps, a few calls', async t => {
  const one = await startSharedHost()
  await one.add('hot', 0)
  const outcomes = await Promise.all(range(100).map(() => one.add('hot', 2)))
  t.same(
    outcomes.map(({ sequence }) => sequence),
    range(101).slice(1),
  )
  t.same(await one.load('hot'), { state: { total: 200 }, sequence: 101, index: 101 })
  t.ok(one.store.calls.length <= 4, `${one.store.calls.length} calls`)
  t.match(outcomes[0], { replicas: 1, replayed: false, position: { partition, index: 2 }, token: String })
})

t.test(
  'nothing is acknowledged before the store has answered, and what comes meanwhile travels together',
  async t => {
    const one = await startSharedHost()
    await one.add('a', 1)
    let release = (): void => {}
    const gate = new Promise<void>(resolve => {
      release = resolve
    })
    const arrived = Promise.withResolvers<void>()
    one.store.after = () => {
      arrived.resolve()
      return gate
    }
    let isTold = false
    const first = one.add('a', 1).then(() => {
      isTold = true
    })
    await arrived.promise
    const rest = Promise.all(range(20).map(() => one.add('a', 1)))
    await new Promise(resolve => setTimeout(resolve, 30))
    t.notOk(isTold)
    const before = one.store.calls.length
    release()
    await Promise.all([first, rest])
    t.ok(one.store.calls.length - before <= 2)
    t.same((await one.load('a')).state, { total: 22 })
  },
)

t.test('two that both believe to lead fork nothing: each decides on what the other wrote', async t => {
  const memory = createSharedMemory()
  const one = await startSharedHost({ store: await openMemory(memory) })
  const other = await startSharedHost({ store: await openMemory(memory), term: 2 })
  await one.add('a', 10)
  t.equal((await other.add('a', 1)).sequence, 2)
  t.equal((await one.add('a', 1)).sequence, 3, 'its actor was stale, and it knew nothing of it')
  t.match(await other.execute('a', take(13)), { type: 'rejected', message: 'total is 12' })
  await one.add('a', 5)
  t.match(
    await other.execute('a', take(13)),
    { type: 'accepted' },
    'a rejection is never based on a stale state',
  )
  t.match(await one.execute('a', look), { type: 'accepted', events: [], sequence: 5 })
  t.same((await one.load('a')).state, { total: 4 })
  // Of ten each, pipelined at the same time, all are written, and each once.
  const both = await Promise.all(
    range(10).flatMap(n => [one.add('a', 1, `one-${n}`), other.add('a', 1, `other-${n}`)]),
  )
  t.same(
    [...both.map(({ sequence }) => sequence)].sort((a, b) => a - b),
    range(20).map(n => n + 5),
  )
  t.same((await other.load('a')).state, { total: 24 })
})

t.test(
  'what was decided on top of something that was refused is not written, also where the sequence would fit',
  async t => {
    const memory = createSharedMemory()
    const one = await startSharedHost({ store: await openMemory(memory) })
    const other = await startSharedHost({ store: await openMemory(memory) })
    await one.add('a', 5)
    // The other takes 5 first. One decides to take 3, and then 2, on a total of 5: its second would fit the sequence.
    await other.execute('a', take(5))
    const outcomes = await Promise.all([one.execute('a', take(3)), one.execute('a', take(2))])
    t.match(outcomes, [{ type: 'rejected' }, { type: 'rejected' }])
    t.same(await one.load('a'), { state: { total: 0 }, sequence: 2, index: 2 })
    // The same with a first that is a duplicate: the other has executed it.
    await one.add('b', 5)
    await other.execute('b', take(5), { commandId: 'x' })
    const again = await Promise.all([
      one.execute('b', take(5), { commandId: 'x' }),
      one.execute('b', { type: 'Add', data: { by: 0 } }),
    ])
    t.match(again, [
      { type: 'accepted', replayed: true },
      { type: 'accepted', sequence: 3 },
    ])
    t.same((await one.load('b')).state, { total: 0 })
  },
)

t.test('an answer that is lost is found by the command id, on either side of the write', async t => {
  for (const where of ['before', 'after'] as const) {
    const memory = createSharedMemory()
    const one = await startSharedHost({ store: await openMemory(memory) })
    await one.add('a', 5)
    one.store[where] = async () => {
      throw lost()
    }
    const results = await Promise.allSettled([
      one.execute('a', take(5), { commandId: 'x' }),
      one.execute('a', add(1), { commandId: 'y' }),
    ])
    t.match(results, [{ reason: { code: 'UNAVAILABLE' } }, { reason: { code: 'UNAVAILABLE' } }])
    one.store[where] = async () => {}
    t.match(await one.execute('a', take(5), { commandId: 'x' }), {
      type: 'accepted',
      replayed: where === 'after',
    })
    t.match(await one.execute('a', add(1), { commandId: 'y' }), {
      type: 'accepted',
      replayed: where === 'after',
    })
    t.same(await one.load('a'), { state: { total: 1 }, sequence: 3, index: 3 })
  }
})

t.test(
  'one id, asked at the same time and later, has one outcome; also an id from before a snapshot',
  async t => {
    const one = await startSharedHost({ aggregate: counterAggregate({ snapshotEvery: 5 }) })
    const both = await Promise.all([one.add('a', 1, 'x'), one.add('a', 1, 'x')])
    t.same(
      both.map(({ replayed }) => replayed),
      [false, true],
    )
    for (const n of range(11)) await one.add('a', 1, `c-${n}`)
    t.match(await one.add('a', 1, 'x'), { sequence: 1, replayed: true })
    while ((await one.store.latestSnapshot({ type: 'counter', id: 'a' }))?.sequence !== 10) {
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    const aggregate = counterAggregate({ snapshotEvery: 5 })
    const next = await startSharedHost({ store: one.store, aggregate, term: 2 })
    t.same((await next.load('a')).state, { total: 12 })
    t.equal(aggregate.applied.count, 2, 'from the snapshot on')
    t.match(await next.add('a', 1, 'x'), { sequence: 1, replayed: true })
    t.match(
      await next.execute('a', take(99), { commandId: 'x' }),
      { type: 'accepted', sequence: 1 },
      'not decided afresh',
    )
    const other = await startSharedHost({
      store: one.store,
      aggregate: counterAggregate({ snapshotEvery: 5 }),
      definitionId: 'second',
    })
    t.same((await other.load('a')).state, { total: 12 }, 'a snapshot of other code is ignored')
  },
)

t.test('rejections and reads are confirmed by the store, many with one question', async t => {
  const one = await startSharedHost()
  await one.add('a', 1)
  one.store.reads = 0
  const outcomes = await Promise.all(range(50).map(() => one.execute('a', take(5))))
  t.ok(outcomes.every(({ type }) => type === 'rejected'))
  t.ok(one.store.reads <= 2, `${one.store.reads} questions`)
})

t.test(
  'a rejection waits for what it was decided on, and is decided again when that is not written',
  async t => {
    const one = await startSharedHost()
    await one.add('a', 5)
    let fails = 1
    one.store.before = async () => {
      if (fails-- > 0) throw lost()
    }
    const first = one.execute('a', take(5), { commandId: 'x' })
    const second = one.execute('a', take(3), { commandId: 'y' })
    await t.rejects(first, { code: 'UNAVAILABLE' })
    t.match(await second, { type: 'accepted' }, 'the five were never taken')
    t.match(await one.execute('a', take(5), { commandId: 'x' }), { type: 'rejected' })
  },
)

t.test('a leadership that is lost answers nobody wrongly; what was written is found by the next', async t => {
  const memory = createSharedMemory()
  const one = await startSharedHost({ store: await openMemory(memory) })
  await one.add('a', 5)
  let release = (): void => {}
  const arrived = Promise.withResolvers<void>()
  one.store.before = () => {
    arrived.resolve()
    return new Promise<void>(resolve => {
      release = resolve
    })
  }
  const pending = one.execute('a', take(5), { commandId: 'x' })
  const behind = one.execute('b', add(5), { commandId: 'x' })
  await arrived.promise
  one.follow(2)
  await t.rejects(pending, { code: 'OUTCOME_UNKNOWN' })
  await t.rejects(behind, { code: /OUTCOME_UNKNOWN|NOT_LEADER/ })
  await t.rejects(one.add('a', 1), { code: 'NOT_LEADER' })
  t.equal(one.host.pendingCount(), 0)
  const next = await startSharedHost({ store: await openMemory(memory), term: 2 })
  t.match(await next.execute('a', take(4), { commandId: 'z' }), { type: 'accepted' })
  release()
  await new Promise(resolve => setTimeout(resolve, 30))
  t.match(
    await next.execute('a', take(5), { commandId: 'x' }),
    { type: 'rejected' },
    'the late one was refused',
  )
  t.same((await next.load('a')).state, { total: 1 })
})

t.test('commands that keep their outcome have one, whichever of two leaders comes first', async t => {
  const memory = createSharedMemory()
  const one = await startSharedHost({ store: await openMemory(memory) })
  const other = await startSharedHost({ store: await openMemory(memory) })
  const kept = { commandId: 'glyn:x', keepsOutcome: true }
  t.match(await one.execute('a', take(5), kept), { type: 'rejected' })
  await other.add('a', 10)
  t.match(await other.execute('a', take(5), kept), { type: 'rejected', message: 'total is 0' }, 'for ever')
  t.match(await one.execute('a', take(5), { ...kept, commandId: 'glyn:y' }), {
    type: 'accepted',
    replayed: false,
  })
  t.match(await other.execute('a', take(5), { ...kept, commandId: 'glyn:y' }), {
    type: 'accepted',
    replayed: true,
  })
  t.match(await other.execute('a', take(6), { ...kept, commandId: 'glyn:y' }), {
    type: 'accepted',
    replayed: true,
  })
  t.match(await one.execute('a', look, { ...kept, commandId: 'glyn:z' }), { type: 'accepted', events: [] })
  t.match(await other.execute('a', look, { ...kept, commandId: 'glyn:z' }), {
    type: 'accepted',
    sequence: 2,
    replayed: true,
  })
  // One decides to reject and is held up before it keeps that; the other accepts meanwhile.
  let release = (): void => {}
  const gate = new Promise<void>(resolve => {
    release = resolve
  })
  one.store.before = () => gate
  const slow = one.execute('a', take(7), { ...kept, commandId: 'glyn:w' })
  await new Promise(resolve => setTimeout(resolve, 30))
  await other.add('a', 5)
  t.match(await other.execute('a', take(7), { ...kept, commandId: 'glyn:w' }), { type: 'accepted' })
  release()
  t.match(await slow, { type: 'accepted', replayed: true }, 'the one outcome')
  t.match(await one.execute('a', { type: 'AddTooMuch', data: {} }, { ...kept, commandId: 'glyn:v' }), {
    type: 'rejected',
    code: 'MESSAGE_TOO_LARGE',
  })
})

t.test(
  'past the bound commands are refused, and none is lost; a store that fails for good is told',
  async t => {
    const one = await startSharedHost({ pendingMax: 10 })
    await one.add('a', 1)
    const results = await Promise.allSettled(range(30).map(() => one.add('a', 1)))
    const refused = results.filter(({ status }) => status === 'rejected')
    t.ok(refused.length > 0)
    t.match(refused[0], { reason: { code: 'OVERLOADED' } })
    t.same((await one.load('a')).state, { total: 31 - refused.length })
    one.store.append = async () => {
      throw new TypeError('a bug of the store')
    }
    await t.rejects(one.add('a', 1), { code: 'EVENT_STORE_ERROR', message: /a bug of the store/ })
    one.store.append = async () => []
    await t.rejects(one.add('a', 1), { code: 'EVENT_STORE_ERROR', message: /fewer answers/ })
    t.equal(one.host.pendingCount(), 0)
  },
)

t.test('given events go through the same door: in order, once, and commands go on from them', async t => {
  const memory = createSharedMemory()
  const one = await startSharedHost({ store: await openMemory(memory) })
  const other = await startSharedHost({ store: await openMemory(memory) })
  const given = (id: string, expectedSequence: number, commandId: string) => ({
    partition,
    aggregate: { type: 'counter', id },
    expectedSequence,
    commandId,
    timeMs: 1,
    metadata: '{}',
    events: [{ type: 'Added', version: 1, data: '{"by":2}' }],
  })
  t.match(
    await one.host.append(partition, [
      given('a', 0, 'x1'),
      given('a', 1, 'x2'),
      given('b', 0, 'x1'),
      given('a', 0, 'x9'),
    ]),
    [{ type: 'appended' }, { type: 'appended' }, { type: 'appended' }, { type: 'conflict', sequence: 2 }],
  )
  t.match(await one.add('a', 1), { sequence: 3 })
  await other.add('a', 1)
  t.match(await one.host.append(partition, [given('a', 3, 'x3')]), [{ type: 'conflict', sequence: 4 }])
  t.match(await one.host.append(partition, [given('a', 4, 'x3'), given('a', 9, 'x1'), given('a', 4, 'x3')]), [
    { type: 'appended' },
    { type: 'duplicate', events: [{ commandId: 'x1', sequence: 1 }] },
    { type: 'duplicate', events: [{ commandId: 'x3', sequence: 5 }] },
  ])
  t.same(await other.load('a'), {
    state: { total: 8 },
    sequence: 5,
    index: ((await other.load('a')) as never as { index: number }).index,
  })
  t.match(
    await one.host.append(partition, [{ ...given('', 0, 'x1'), aggregate: { type: 'elsewhere', id: 'e' } }]),
    [{ type: 'appended' }],
  )
  t.equal(
    (await one.host.loadEvents(partition, { type: 'elsewhere', id: 'e' }, { fromSequence: 1, limit: 9 }))
      .length,
    1,
  )
})

t.test(
  'an actor that left the cache comes back with all it knew; a caller may change what it was given',
  async t => {
    const one = await startSharedHost({ cache: { actorsMax: 1 } })
    await one.add('a', 1, 'x')
    await one.add('b', 1)
    t.match(await one.add('a', 1, 'x'), { replayed: true, sequence: 1 })
    const { state } = await one.load('a')
    Object.assign(state as object, { total: 99 })
    t.same((await one.load('a')).state, { total: 1 })
    await t.rejects(one.host.load(partition, { type: 'unheard', id: 'a' }), {
      code: 'UNKNOWN_AGGREGATE_TYPE',
    })
    await t.rejects(one.execute('a', { type: 'Throw', data: {} }), { code: 'AGGREGATE_FAILED' })
  },
)

t.test('what is on its way when the host stops is answered, also when the store refuses it then', async t => {
  const one = await startSharedHost()
  const arrived = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  one.store.before = async () => {
    arrived.resolve()
    await released.promise
  }
  const given = (expectedSequence: number, commandId: string) => ({
    partition,
    aggregate: { type: 'counter', id: 'a' },
    expectedSequence,
    commandId,
    timeMs: 1,
    metadata: '{}',
    events: [{ type: 'Added', version: 1, data: '{"by":2}' }],
  })
  // The second is judged by the store, in one atomic call with the first, and refused.
  const answers = one.host.append(partition, [given(0, 'x1'), given(9, 'x2')])
  await arrived.promise
  one.host.stop()
  released.resolve()
  t.match(await answers, [
    { type: 'failed', error: { retryable: true } },
    { type: 'failed', error: { code: 'SHUTTING_DOWN' } },
  ])
  t.equal(one.host.pendingCount(), 0)
  t.equal(one.store.calls.length, 1, 'nothing is sent after the stop')
})

t.test('a loaded state holds everything through its index, also when others write meanwhile', async t => {
  const memory = createSharedMemory()
  const one = await startSharedHost({ store: await openMemory(memory) })
  const other = await startSharedHost({ store: await openMemory(memory) })
  await one.add('a', 1)
  const { sequences } = one.store
  let foreign = 0
  one.store.sequences = async aggregates => {
    const found = await sequences(aggregates)
    // Written after the answer was made, and known here before it has come.
    foreign = (await other.add('a', 1)).position.index
    one.appended.push(foreign)
    return found
  }
  const { sequence, index } = await one.host.load(partition, { type: 'counter', id: 'a' })
  t.equal(sequence, 1)
  t.ok(index < foreign, `index ${index} must not include ${foreign}, which the state lacks`)
})
