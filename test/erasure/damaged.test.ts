// Encrypted data that were moved, and dead letters with data that are forgotten.
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import { defineQuery } from '../../src/query/define-query.ts'
import { eventually } from '../node/memory-cluster.ts'
import { startKeepers, tell } from './customers.ts'

t.test('data that were moved to another event fail in words, for their aggregate only', async t => {
  const [keeper] = await startKeepers(t, 1)
  if (keeper === undefined) throw new Error('one node')
  await tell(keeper.node, '1', 'Register', { name: 'Grace' })
  await tell(keeper.node, '1', 'Register', { name: 'Ada' })
  await tell(keeper.node, '2', 'Register', { name: 'Alan' })
  await keeper.close()
  const database = new Database(join(keeper.directory, 'glyn.db'))
  const of = "aggregate_type = 'customer' and aggregate_id = '1' and sequence"
  for (const table of ['log', 'tail']) {
    const data = database.prepare(`select data from ${table} where ${of} = 1`).pluck().get() as
      | string
      | undefined
    if (data !== undefined) database.prepare(`update ${table} set data = ? where ${of} = 2`).run(data)
  }
  database.close()
  await keeper.reopen()
  const { node } = keeper
  const unreadable = { code: 'EVENT_UNREADABLE', message: /customer\/1\/2/ }
  await t.rejects(node.loadAggregate('customer', '1'), unreadable)
  await t.rejects(tell(node, '1', 'Visit', { page: 'x' }), unreadable, 'nothing is decided on it')
  t.match((await node.loadEvents('customer', '1', { limit: 1 }))[0], { data: { name: 'Grace' } })
  t.match((await node.loadAggregate('customer', '2')).state, { name: 'Alan' }, 'others go on')
  t.equal((await node.status()).node.state, 'ready')
})

t.test('a dead letter forgets with the key', async t => {
  const picky = defineQuery<{ type: string; data: { name?: string } }>({
    name: 'picky',
    onError: 'park',
    attempts: 1,
    handle(_id, events) {
      for (const { data } of events)
        if (data.name !== undefined) throw new Error(`I do not like ${data.name}`)
    },
  })
  const [keeper] = await startKeepers(t, 1, { queries: [picky] })
  if (keeper === undefined) throw new Error('one node')
  const { node } = keeper
  await tell(node, '1', 'Register', { name: 'Grace' })
  await tell(node, '1', 'Move', { city: 'Paris' })
  await tell(node, '2', 'Register', { name: 'Ada' })
  const database = new Database(join(keeper.directory, 'queries', 'picky.db'), { readonly: true })
  t.teardown(() => database.close())
  const parked = (): string => JSON.stringify(database.prepare('select * from glyn_parked').all())
  await eventually(() => parked().includes('Paris') && parked().includes('Ada'), 'parked')
  await node.forget('person-1', { timeoutMs: 60_000 })
  await eventually(() => !/Grace|Paris/.test(parked()), 'forgotten')
  t.match(parked(), /I do not like Ada/, 'that of another subject stays')
  t.match(parked(), /glyn\.Forgotten/)
})
