// A query is tested on a read model of its own, with the code that a node runs.
import { AssertionError } from 'node:assert'
import t from 'tap'
import { defineQuery } from '../../src/index.ts'
import { eventsOf, givenEvents, type QueryEvent } from '../../src/testing/given-events.ts'
import { balance, bankAccount } from '../support/bank.ts'

const history: readonly QueryEvent[] = [
  ...eventsOf(bankAccount, 'ann', [
    { type: 'AccountOpened', data: {} },
    { type: 'CustomerDepositedCash', data: { amount: 100, balance: 100 } },
  ]),
  ...eventsOf(bankAccount, 'bob', [{ type: 'AccountOpened', data: {} }]),
  ...eventsOf(bankAccount, 'ann', [{ type: 'CustomerWithdrewCash', data: { amount: 30, balance: 70 } }]),
  // The filter of the query keeps it out.
  { aggregate: { type: 'other', id: 'ann' }, type: 'CustomerDepositedCash', data: { amount: 1000 } },
]

t.test('events, a question, and its answer', async t => {
  const given = givenEvents(balance, history)
  t.strictSame(await given.answer('get', { id: 'ann' }), { id: 'ann', amount: 70, status: 'open' })
  await given.thenAnswer('get', { id: 'cyd' }, null)
  await given.thenAnswer('total', {}, { accounts: 2, amount: 70 })
  await given.thenRedeliveryChangesNothing()
  await givenEvents(balance, []).thenAnswer('top', {}, [])

  const wrong = given.thenAnswer('get', { id: 'ann' }, { id: 'ann', amount: 71, status: 'open' })
  await t.rejects(wrong, AssertionError)
  await t.rejects(wrong, {
    message: /^what balance answers to get is not .*\n[\s\S]*\+ +amount: 70[\s\S]*- +amount: 71/,
  })
  await t.rejects(given.answer('worst' as 'total', {}), {
    code: 'UNKNOWN_QUESTION',
    message: /allowed: get, top, total/,
  })
})

t.test('what a query keeps outside of its read model is found', async t => {
  let events = 0
  const forgetful = defineQuery({
    name: 'forgetful',
    init: db => void db.exec('create table seen (id text, place integer)'),
    handle(_id, told, { db }) {
      for (const { id } of told) {
        events += 1
        db.prepare('insert into seen values (?, ?)').run(id, events)
      }
    },
  })
  await t.rejects(givenEvents(forgetful, history).thenRedeliveryChangesNothing(), {
    name: 'AssertionError',
    message: /^the read model of forgetful, built again from the first event, is not what was expected/,
  })
  let isCalled = false
  const once = defineQuery({
    name: 'once',
    init: db => void db.exec('create table if not exists seen (id text)'),
    handle(_id, told, { db }) {
      for (const { id } of told) if (!isCalled) db.prepare('insert into seen values (?)').run(id)
      if (told.length === 1) isCalled = true
    },
  })
  await t.rejects(
    givenEvents(once, history.slice(2, 3)).thenRedeliveryChangesNothing(),
    AssertionError,
    'a second time it does nothing',
  )
})

t.test('what is remembered beside the transaction is found', async t => {
  const known = new WeakMap<object, Set<string>>()
  const remembering = defineQuery({
    name: 'remembering',
    init: db => void db.exec('create table seen (id text)'),
    handle(_id, told, { db }) {
      const ids = known.get(db) ?? new Set()
      known.set(db, ids)
      for (const { id } of told) {
        if (!ids.has(id)) db.prepare('insert into seen values (?)').run(id)
        ids.add(id)
      }
    },
  })
  await t.rejects(givenEvents(remembering, history).thenRedeliveryChangesNothing(), {
    message: /^the read model of remembering, told each command again after a crash, is not/,
  })
})

t.test('a handler that depends on how events are cut is found', async t => {
  const counting = defineQuery({
    name: 'counting',
    init: db => void db.exec('create table calls (n integer)'),
    handle: (_id, _told, { db }) => void db.prepare('insert into calls values (1)').run(),
  })
  await t.rejects(givenEvents(counting, history).thenRedeliveryChangesNothing(), {
    message: /^the read model of counting, told one command at a time, is not/,
  })
})

t.test('a handler that throws is told, with the event', async t => {
  const broken = defineQuery({
    name: 'broken',
    handle(_id, events) {
      for (const { type } of events) if (type === 'CustomerWithdrewCash') throw new Error('no such column')
    },
    answer: { any: () => 1 },
  })
  await t.rejects(givenEvents(broken, history).answer('any', {}), {
    code: 'QUERY_FAILED',
    message: 'query broken: handle failed at bank_account/ann/3: no such column',
  })
})

t.test('entries, positions and sequences are those of a log', async t => {
  const places: string[] = []
  const places_ = defineQuery({
    name: 'places',
    handle(_id, events) {
      for (const { id, position, time, version } of events)
        places.push(`${id} ${position.index} v${version} ${time.slice(11, 19)}`)
    },
    answer: { any: () => places },
  })
  const two = { aggregate: { type: 'a', id: '1' }, type: 'T', data: null, commandId: 'c' }
  await givenEvents(places_, [
    two,
    { ...two, version: 2 },
    { ...two, aggregate: { type: 'a', id: '2' } },
  ]).answer('any', {})
  t.strictSame(places, ['a/1/1 1 v1 00:00:00', 'a/1/2 1 v2 00:00:01', 'a/2/1 2 v1 00:00:02'])
  t.throws(() => givenEvents((() => {}) as unknown as typeof balance, []), { code: 'INVALID_ARGUMENT' })
})
