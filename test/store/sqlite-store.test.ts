import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { lockDirectory } from '../../src/store/directory-lock.ts'
import { openSqliteLogReader } from '../../src/store/sqlite/sqlite-log-reader.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { testConformance } from './conformance.ts'
import { batchOf, createChain } from './entries.ts'

async function openNew(t: Test) {
  const store = await openSqliteStore({ path: join(t.testdir(), 'glyn.db') })
  t.teardown(() => store.close())
  return store
}

t.test('the SQLite store keeps the promises of a local store', t => testConformance(t, { open: openNew }))

t.test('people read committed history in the view `events`, and nothing else', async t => {
  const path = join(t.testdir(), 'glyn.db')
  const store = await openSqliteStore({ path })
  t.teardown(() => store.close())
  const chain = createChain()
  chain.noop()
  chain.command('a', { events: 2 })
  chain.command('b')
  const hardState = { term: 1, vote: null, commit: 2 }
  await store.write(batchOf({ partitions: [{ partition: 1, hardState, entries: chain.entries }] }))
  const people = new Database(path, { readonly: true })
  t.teardown(() => people.close())
  t.strictSame(people.prepare('select * from events where sequence = 2').all(), [
    {
      aggregate_type: 'bank_account',
      aggregate_id: 'a',
      sequence: 2,
      partition: 1,
      index: 2,
      offset: 1,
      type: 'CustomerDepositedCash',
      version: 1,
      data: '{"amount":100}',
      metadata: '{}',
      command_id: 'command-1-1-2',
      time: '2023-11-14T22:13:20.002Z',
    },
  ])
  const count = people.prepare('select count(*) from events').pluck()
  t.equal(count.get(), 2)
  await store.write(batchOf({ partitions: [{ partition: 1, hardState: { ...hardState, commit: 3 } }] }))
  t.equal(count.get(), 3, 'once the commit index was written')
})

t.test('a query worker’s reader sees what the store sees, while it writes', async t => {
  const path = join(t.testdir(), 'glyn.db')
  t.throws(() => openSqliteLogReader(path), { code: 'STORE_READ_ONLY' }, 'nothing is there yet')
  const store = await openSqliteStore({ path })
  t.teardown(() => store.close())
  const reader = openSqliteLogReader(path)
  t.teardown(() => reader.close())
  const chain = createChain()
  for (let round = 0; round < 20; round += 1) {
    const entries = [chain.command('a', { events: 1 + (round % 3) }), chain.noop(), chain.command('b')]
    await store.write(batchOf({ partitions: [{ partition: 1, entries }] }))
    for (const [afterIndex, throughIndex, limit] of [
      [0, 1000, 1000],
      [0, 1000, 7],
      [round, round + 9, 3],
    ] as const) {
      const range = { afterIndex, throughIndex, limit }
      t.strictSame(reader.readPartition(1, range), store.readPartition(1, range))
    }
  }
  const other = new Database(join(t.testdirName, 'other.db'))
  other.exec('create table theirs (id)')
  other.close()
  t.throws(() => openSqliteLogReader(join(t.testdirName, 'other.db')), { code: 'STORE_FORMAT' })
})

t.test('a store takes the lock of its directory, or goes with the one that its caller holds', async t => {
  const directory = t.testdir()
  const path = join(directory, 'glyn.db')
  const first = await openSqliteStore({ path })
  await t.rejects(openSqliteStore({ path }), { code: 'ALREADY_RUNNING' })
  await first.close()
  const lock = lockDirectory(directory)
  const second = await openSqliteStore({ path, lock })
  await second.close()
  t.throws(() => lockDirectory(directory), { code: 'ALREADY_RUNNING' }, 'it is the caller’s to release')
  lock.release()
  t.throws(() => second.statistics(), { code: 'SHUTTING_DOWN' }, 'a closed store says so')
})
