// Workers read the node's SQLite log by themselves, and never beyond what the host says is readable.
import { join } from 'node:path'
import t from 'tap'
import type { LocalLog } from '../../src/query/query.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { batchOf, createChain } from '../store/entries.ts'
import { createMemorySource } from './memory-source.ts'
import { countingQuery, directoryOf, until, withHost } from './with-host.ts'

t.test(
  'a query reads the log in its own thread, through what is readable; the host is asked for the rest',
  async t => {
    const directory = directoryOf(t)
    const path = join(directory, 'glyn.db')
    const store = await openSqliteStore({ path })
    t.teardown(() => store.close())
    const chain = createChain()
    const memory = createMemorySource()
    const append = (id: string, events: number): void => {
      chain.command(id, { events })
      memory.append(1, {
        id,
        events: Array.from({ length: events }, () => ['CustomerDepositedCash', { amount: 100 }]),
      })
    }
    const noop = (): void => {
      chain.noop()
      memory.appendNoop(1)
    }
    noop()
    for (let i = 0; i < 30; i += 1) {
      append(`acc-${i % 3}`, 1 + (i % 12))
      if (i % 5 === 0) noop()
    }
    noop()
    const committed = chain.entries.length
    append('acc-0', 3)
    const head = chain.entries.length
    chain.command('uncommitted')
    await store.write(batchOf({ partitions: [{ partition: 1, entries: chain.entries }] }))

    const localLog: LocalLog = {
      path,
      readerModule: new URL('../../src/node/log-reader.ts', import.meta.url).href,
      readableThrough: partition => (partition === 1 ? committed : 0),
    }
    const reads: number[] = []
    const source = {
      ...memory,
      localLog,
      read: (...[partition, range, options]: Parameters<typeof memory.read>) => {
        reads.push(range.afterIndex)
        return memory.read(partition, range, options)
      },
    }
    const { host, status } = await withHost(t, {
      files: { 'count.ts': countingQuery('count') },
      source,
      directory,
      limits: { batchEventsMax: 7 },
    })
    await until(() => status('count').lag === 0, { see: host.status })
    t.strictSame(
      await host.ask('count', 'ids', {}, { timeoutMs: 60_000 }),
      memory.all().map(event => `bank_account/${event.aggregateId}/${event.sequence}`),
      'every event once, in order, entries larger than a batch too',
    )
    t.strictSame(status('count').positions, { 1: head })
    t.strictSame(reads, [committed], 'one read from the host: what is committed elsewhere and not yet here')
  },
)

t.test('a log that cannot be opened is said', async t => {
  const localLog: LocalLog = {
    path: join(t.testdir(), 'missing.db'),
    readerModule: new URL('../../src/node/log-reader.ts', import.meta.url).href,
    readableThrough: () => 1,
  }
  const { status } = await withHost(t, {
    files: { 'count.ts': countingQuery('count') },
    source: createMemorySource(localLog),
  })
  t.match(status('count'), { state: 'failed', lastError: { message: /missing\.db/ } })
})
