// How calls of the PostgreSQL store share statements.
import t from 'tap'
import { createAppendQueue } from '../../src/store/postgres/append-queue.ts'
import { type Connections, createConnections } from '../../src/store/postgres/connections.ts'
import { checkPostgresOptions } from '../../src/store/postgres/postgres-options.ts'
import { postgresStore } from '../../src/store/postgres/postgres-store.ts'
import { writeAppends } from '../../src/store/postgres/write-appends.ts'
import type { Append, AppendResult } from '../../src/store/shared-store.ts'
import { postgresIsMissing, startPostgres } from '../support/postgres-server.ts'
import { binding, deposit } from './shared-appends.ts'

interface Written {
  readonly ids: readonly string[]
  readonly isAtomic: boolean
  readonly finish: (error?: Error) => void
}

/** A queue whose writes are ended by the test. */
function createSubject() {
  const writes: Written[] = []
  const queue = createAppendQueue({
    location: 'test',
    write: (appends, isAtomic) =>
      new Promise((resolve, reject) => {
        writes.push({
          ids: appends.map(({ aggregate }) => aggregate.id),
          isAtomic,
          finish: error => {
            if (error !== undefined) reject(error)
            else resolve(appends.map((_, place): AppendResult => ({ type: 'appended', index: place + 1 })))
          },
        })
      }),
  })
  const append = (
    appends: readonly Append[],
    options: { readonly isAtomic?: boolean; readonly signal?: AbortSignal } = {},
  ) => queue.append(appends, { isAtomic: options.isAtomic ?? false, signal: options.signal })
  return { writes, queue, append }
}

const inPartition = (id: string, partition: number): Append => ({ ...deposit(id, 0, 'c'), partition })
const turn = (): Promise<void> => new Promise(resolve => setImmediate(() => setImmediate(resolve)))

t.test('calls of one turn share a statement, and each gets its own results', async t => {
  const { writes, append } = createSubject()
  const calls = [
    append([inPartition('a', 1), inPartition('b', 2)]),
    append([inPartition('c', 1)]),
    append([inPartition('d', 3)]),
  ]
  await turn()
  t.strictSame(
    writes.map(({ ids }) => ids),
    [['a', 'b', 'c', 'd']],
  )
  writes[0]?.finish()
  t.strictSame(
    (await Promise.all(calls)).map(results =>
      results.map(result => result.type === 'appended' && result.index),
    ),
    [[1, 2], [3], [4]],
  )
})

t.test('what comes later of a busy partition waits, in its order; another partition does not', async t => {
  const { writes, append } = createSubject()
  const calls = [append([inPartition('a', 1)])]
  await turn()
  calls.push(
    append([inPartition('b', 1), inPartition('c', 2)]),
    append([inPartition('d', 2)]),
    append([inPartition('e', 3)]),
  )
  await turn()
  t.strictSame(
    writes.map(({ ids }) => ids),
    [['a'], ['e']],
    'd is of partition 2, where c comes before it',
  )
  writes[0]?.finish()
  await turn()
  t.strictSame(writes.at(-1)?.ids, ['b', 'c', 'd'])
  for (const write of writes) write.finish()
  await Promise.all(calls)
})

t.test('an atomic call is written alone', async t => {
  const { writes, append } = createSubject()
  const calls = [
    append([inPartition('a', 1)], { isAtomic: true }),
    append([inPartition('b', 2)]),
    append([inPartition('c', 3)]),
    append([inPartition('d', 4)], { isAtomic: true }),
  ]
  await turn()
  t.strictSame(
    writes.map(({ ids, isAtomic }) => [ids.join(), isAtomic]),
    [
      ['a', true],
      ['b,c', false],
      ['d', true],
    ],
  )
  for (const write of writes) write.finish()
  await Promise.all(calls)
})

t.test('a failure is told to the calls of its statement only, and the next go on', async t => {
  const { writes, append, queue } = createSubject()
  const first = append([inPartition('a', 1)])
  await turn()
  const second = append([inPartition('b', 1)])
  const failed = t.rejects(first, { message: 'as the database says' })
  writes[0]?.finish(new Error('as the database says'))
  await failed
  await turn()
  writes[1]?.finish()
  t.match(await second, [{ type: 'appended' }])
  await queue.idle()
})

t.test('a call that is given up while it waits is not written', async t => {
  const { writes, append, queue } = createSubject()
  const first = append([inPartition('a', 1)])
  await turn()
  const controller = new AbortController()
  const second = append([inPartition('b', 1)], { signal: controller.signal })
  controller.abort(new Error('given up'))
  await t.rejects(second, { message: 'given up' })
  writes[0]?.finish()
  await first
  await queue.idle()
  t.strictSame(
    writes.map(({ ids }) => ids),
    [['a']],
  )
})

t.test('more than may wait is turned away at once', async t => {
  const { writes, append, queue } = createSubject()
  const big = deposit('big', 0, 'c', { data: `"${'x'.repeat(1_000_000)}"`, events: 100 })
  const calls = [append([big])]
  await turn()
  // 100 MB each: two may wait behind the first.
  calls.push(append([big]), append([big]))
  const refused = t.rejects(async () => append([big]), {
    code: 'OVERLOADED',
    retryable: true,
    message: /nothing of this call was taken/,
  })
  await refused
  while (writes.length < calls.length) {
    for (const write of writes) write.finish()
    await turn()
  }
  for (const write of writes) write.finish()
  t.equal((await Promise.all(calls)).length, 3)
  await queue.idle()
})

t.test('statements of a call', { skip: postgresIsMissing() ?? false }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const { connectionString } = server
  const store = postgresStore({ connectionString })
  t.teardown(() => store.close())
  await store.open(binding)
  const real = createConnections(checkPostgresOptions({ connectionString }))
  t.teardown(() => real.close())
  let statements = 0
  const counting: Connections = {
    ...real,
    run: (action, options) =>
      real.run(
        session =>
          action({
            query: (text, values) => {
              statements += 1
              return session.query(text, values)
            },
            transaction: session.transaction,
          }),
        options,
      ),
  }
  const count = async (appends: readonly Append[]): Promise<[number, Set<string>]> => {
    statements = 0
    const results = await writeAppends(counting, { schema: 'glyn', appends, isAtomic: false })
    return [statements, new Set(results.map(({ type }) => type))]
  }
  const many = Array.from({ length: 400 }, (_, number) =>
    deposit(`a${number % 100}`, Math.floor(number / 100), `c${number}`),
  )
  t.strictSame(
    await count(many),
    [1, new Set(['appended'])],
    '400 appends over all partitions are one statement',
  )
  t.strictSame(
    await count([
      ...many.slice(0, 100),
      ...many.map(({ aggregate }, number) =>
        deposit(`${aggregate.id}-b`, Math.floor(number / 100), `c${number}`),
      ),
    ]),
    [5, new Set(['duplicate', 'appended'])],
    'with a refused one among them: the try, then lock, sequences, command ids, insert',
  )
})
