// Commands that programs send by themselves keep their outcome, whatever it was: a retry is never a second command.
import t, { type Test } from 'tap'
import type { CommandEnvelope } from '../../src/core/command.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { holdable, partition, type SingleHost, startSingleHost } from './single-host.ts'

async function withHost(t: Test, store = holdable(createMemoryStore())): Promise<SingleHost> {
  const solo = await startSingleHost({ store })
  t.teardown(() => {
    solo.store.release()
    return solo.stop()
  })
  return solo
}

const kept = (commandId: string, type: string, data: object = {}): CommandEnvelope => ({
  aggregate: { type: 'counter', id: 'a' },
  command: { type, data },
  commandId,
  metadata: {},
  keepsOutcome: true,
})

t.test('a rejection stays one, after the state has changed and after a restart', async t => {
  const store = holdable(createMemoryStore())
  const solo = await startSingleHost({ store })
  const taking = kept('take-1', 'Add', { by: -1 })
  const first = await solo.host.execute(partition, taking)
  t.match(first, { type: 'rejected', commandId: 'take-1', code: 'below_zero', details: { total: 0 } })
  await solo.add('a', 5)
  t.strictSame(await solo.host.execute(partition, taking), first)
  await solo.stop()
  const next = await withHost(t, store)
  t.strictSame(await next.host.execute(partition, taking), first)
  t.match(await next.load('a'), { state: { total: 5 }, sequence: 1 }, 'it is no event of the aggregate')
  t.match(await next.host.execute(partition, kept('take-2', 'Add', { by: -1 })), { type: 'accepted' })
})

t.test('without the wish a rejection is decided afresh, and stores nothing', async t => {
  const solo = await withHost(t)
  const { keepsOutcome: _, ...taking } = kept('take-1', 'Add', { by: -1 })
  t.match(await solo.host.execute(partition, taking), { type: 'rejected' })
  t.equal(solo.store.statistics().events, 0)
  await solo.add('a', 5)
  t.match(await solo.host.execute(partition, taking), { type: 'accepted' })
})

t.test('that there was nothing to do stays so, too', async t => {
  const solo = await withHost(t)
  await solo.add('a', 5)
  const look = kept('look-1', 'Look')
  t.match(await solo.host.execute(partition, look), {
    type: 'accepted',
    events: [],
    sequence: 1,
    replayed: false,
  })
  await solo.add('a', 5)
  t.match(await solo.host.execute(partition, look), {
    type: 'accepted',
    events: [],
    sequence: 1,
    replayed: true,
  })
})

t.test('accepted commands are as always, and two at the same time are one', async t => {
  const solo = await withHost(t)
  solo.store.hold()
  const adding = [1, 2].map(() => solo.host.execute(partition, kept('add-1', 'Add', { by: 1 })))
  const taking = [1, 2].map(() => solo.host.execute(partition, kept('take-1', 'Add', { by: -9 })))
  solo.store.release()
  t.match(await Promise.all(adding), [{ sequence: 1 }, { sequence: 1, replayed: true }])
  t.match(await Promise.all(taking), [{ code: 'below_zero' }, { code: 'below_zero' }])
  t.equal(solo.store.statistics().events, 2, 'the event, and what is kept of the rejection')
})

t.test('a rejection that is based on what is not committed waits for it', async t => {
  const solo = await withHost(t)
  solo.store.hold()
  const adding = solo.add('a', 1)
  const taking = solo.host.execute(partition, kept('take-1', 'Add', { by: -2 }))
  let isAnswered = false
  void taking.then(() => {
    isAnswered = true
  })
  await new Promise(resolve => setTimeout(resolve, 50))
  t.notOk(isAnswered)
  solo.store.release()
  await adding
  t.match(await taking, { type: 'rejected', message: 'total is 1' })
})

t.test('events that fit no entry together are a rejection too', async t => {
  const solo = await withHost(t)
  const adding = kept('much-1', 'AddTooMuch')
  const first = await solo.host.execute(partition, adding)
  t.match(first, { type: 'rejected', code: 'MESSAGE_TOO_LARGE' })
  t.strictSame(await solo.host.execute(partition, adding), first)
  t.match(await solo.load('a'), { sequence: 0 })
  t.match(await solo.host.execute(partition, kept('add-1', 'Add', { by: 1 })), {
    type: 'accepted',
    sequence: 1,
  })
})

t.test('code that throws has no outcome that could be kept', async t => {
  const solo = await withHost(t)
  await t.rejects(solo.host.execute(partition, kept('throw-1', 'Throw')), { code: 'AGGREGATE_FAILED' })
  t.equal(solo.store.statistics().events, 0)
})
