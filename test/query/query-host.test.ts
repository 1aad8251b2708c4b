import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import t, { type Test } from 'tap'
import { defineQuery } from '../../src/query/define-query.ts'
import { createMemorySource } from './memory-source.ts'
import { countingQuery, type Given, until, withHost } from './with-host.ts'

const deposit = (amount: number) => ['CustomerDepositedCash', { amount }] as const

t.test('a query file sees every event of every partition once, in order, and answers', async t => {
  const { host, source, status } = await withHost(t, { files: { 'count.ts': countingQuery('count') } })
  for (let round = 0; round < 50; round += 1) {
    for (const partition of [1, 2, 3]) {
      source.append(partition, { id: `acc-${partition}-${round % 4}`, events: [deposit(1), deposit(2)] })
      source.appendNoop(partition)
    }
  }
  await until(() => status('count').lag === 0, { see: host.status })
  t.strictSame(await host.ask('count', 'count', {}, { timeoutMs: 60_000 }), { ids: 300, times: 300 })
  t.match(status('count'), {
    state: 'running',
    lag: 0,
    positions: { 1: 100, 2: 100, 3: 100 },
    lastError: null,
  })
  const ids = (await host.ask('count', 'ids', {}, { timeoutMs: 60_000 })) as string[]
  for (const partition of [1, 2, 3]) {
    const wanted = source.all().filter(event => event.partition === partition)
    const found = ids.filter(id => id.startsWith(`bank_account/acc-${partition}-`))
    t.strictSame(
      found,
      wanted.map(event => `${event.aggregateType}/${event.aggregateId}/${event.sequence}`),
    )
  }
})

t.test('a host goes on from the checkpoint of the one before it', async t => {
  const first = await withHost(t, { files: { 'count.ts': countingQuery('count') } })
  for (let i = 0; i < 20; i += 1) first.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => first.status('count').lag === 0)
  await first.host.close()
  const { source, directory } = first
  for (let i = 0; i < 5; i += 1) source.append(1, { id: 'a', events: [deposit(1)] })
  source.reads.count = 0
  const second = await withHost(t, { source, directory })
  t.ok((second.status('count').positions[1] ?? 0) >= 20, 'the old position is there when start() resolves')
  await until(() => second.status('count').lag === 0)
  t.strictSame(await second.host.ask('count', 'count', {}, { timeoutMs: 60_000 }), { ids: 25, times: 25 })
  t.equal(source.reads.count, 1, 'only the new events were read')
  const db = new Sqlite(join(directory, 'data', 'queries', 'count.db'), { readonly: true })
  t.equal(db.prepare('select position from glyn_checkpoint where partition = 1').pluck().get(), 25)
  db.close()
})

t.test('asking', async t => {
  const { host, source, status } = await withHost(t, {
    files: { 'count.ts': countingQuery('count'), 'other.ts': countingQuery('other') },
  })
  const ask = (question: string, parameters = {}, after?: ReadonlyMap<number, number>, timeoutMs = 60_000) =>
    host.ask('count', question, parameters, { timeoutMs, after })

  t.test('parameters and answers travel as JSON', async t => {
    t.strictSame(await ask('echo', { id: 'a', deep: [1, null, { x: true }] }), {
      id: 'a',
      deep: [1, null, { x: true }],
    })
  })
  t.test('an unknown query or question names what there is, the nearest first', async t => {
    await t.rejects(host.ask('cuont', 'count', {}, { timeoutMs: 100 }), {
      code: 'UNKNOWN_QUERY',
      message: 'there is no query "cuont"; allowed: count, other',
    })
    const error = await host.ask('otter', 'count', {}, { timeoutMs: 100 }).catch((error: unknown) => error)
    t.match(error, { details: { allowed: ['other', 'count'] } })
    await t.rejects(ask('cuont'), { code: 'UNKNOWN_QUESTION', message: /allowed: count, / })
  })
  t.test('an answer that throws is QUERY_FAILED with its message, and harms nothing', async t => {
    await t.rejects(ask('throw'), {
      code: 'QUERY_FAILED',
      message: 'query count: throw threw: no answer today',
    })
    t.match(status('count'), { state: 'running', lastError: null })
  })
  t.test('an answer cannot write', async t => {
    await ask('count', {}, new Map([[9, source.append(9, { id: 'z', events: [deposit(1)] })]]))
    const before = await ask('count')
    await t.rejects(ask('write'), { code: 'QUERY_FAILED', message: /answers only read/ })
    t.strictSame(await ask('count'), before)
  })
  t.test('after waits until the query has seen the positions', async t => {
    const index = source.append(4, { id: 'x', events: [deposit(1)] })
    t.strictSame(await ask('count', {}, new Map([[4, index]])), { ids: 2, times: 2 })
    const waiting = ask('count', {}, new Map([[4, index + 1]]))
    source.append(4, { id: 'x', events: [deposit(1)] })
    t.strictSame(await waiting, { ids: 3, times: 3 })
  })
  t.test('positions that do not come in time are QUERY_LAGGING', async t => {
    await t.rejects(ask('count', {}, new Map([[4, 99]]), 50), {
      code: 'QUERY_LAGGING',
      retryable: true,
      message: /has not seen 4:99 within 50 ms; it is running/,
    })
  })
  t.test('a signal ends the wait with its reason', async t => {
    const signal = AbortSignal.abort(new Error('enough'))
    await t.rejects(host.ask('count', 'count', {}, { timeoutMs: 1000, signal }), { message: 'enough' })
    const late = new AbortController()
    const asked = host.ask(
      'count',
      'count',
      {},
      { timeoutMs: 1000, signal: late.signal, after: new Map([[4, 99]]) },
    )
    late.abort(new Error('enough now'))
    await t.rejects(asked, { message: 'enough now' })
  })
  t.test('parameters that are not JSON are refused', async t => {
    await t.rejects(ask('echo', { id: 1n }), { code: 'INVALID_ARGUMENT' })
  })
  t.test('after close() there is SHUTTING_DOWN', async t => {
    await host.close()
    await t.rejects(ask('count'), { code: 'SHUTTING_DOWN' })
  })
})

t.test('a bound on the questions that wait', async t => {
  const { host } = await withHost(t, {
    files: { 'count.ts': countingQuery('count') },
    limits: { asksMax: 2 },
  })
  const after = new Map([[1, 1]])
  const waiting = Promise.allSettled(
    [1, 2].map(() => host.ask('count', 'count', {}, { timeoutMs: 200, after })),
  )
  await t.rejects(host.ask('count', 'count', {}, { timeoutMs: 200 }), { code: 'OVERLOADED' })
  t.strictSame(
    (await waiting).map(result => result.status),
    ['rejected', 'rejected'],
  )
})

t.test('lag is what the source has and the query has not', async t => {
  const { source, status } = await withHost(t, { files: { 'count.ts': countingQuery('count') } })
  source.failure = new Error('no replica answers')
  for (const partition of [1, 2]) source.append(partition, { id: 'a', events: [deposit(1)] })
  await until(() => status('count').state === 'retrying')
  t.match(status('count'), {
    lag: 2,
    positions: {},
    lastError: { message: /cannot read partition \d: no replica answers/ },
  })
  source.failure = null
  await until(() => status('count').lag === 0)
  t.equal(status('count').state, 'running')
})

t.test('a filter passes over events, and the position moves all the same', async t => {
  const file = countingQuery('count').replace(
    "name: 'count',",
    "name: 'count', filter: { aggregateTypes: ['bank_account'], eventTypes: ['CustomerDepositedCash'] },",
  )
  const { host, source, status } = await withHost(t, { files: { 'count.ts': file } })
  source.append(1, { id: 'a', events: [['AccountOpened', {}], deposit(1)] })
  source.append(1, { id: 'a', type: 'other', events: [deposit(1)] })
  source.append(1, { id: 'a', events: [['AccountClosed', {}]] })
  await until(() => status('count').lag === 0)
  t.strictSame(await host.ask('count', 'ids', {}, { timeoutMs: 60_000 }), ['bank_account/a/2'])
  t.strictSame(status('count').positions, { 1: 3 })
})

t.test('neighbouring events of one aggregate come in one call, in the order of the partition', async t => {
  const calls: [string, number[]][] = []
  const query = defineQuery({
    name: 'calls',
    handle: (id, events) => void calls.push([id, events.map(event => event.sequence)]),
  })
  const source = createMemorySource()
  source.append(1, { id: 'a', events: [deposit(1), deposit(1)] })
  source.append(1, { id: 'a', events: [deposit(1)] })
  source.append(1, { id: 'b', events: [deposit(1)] })
  source.append(1, { id: 'a', events: [deposit(1)] })
  const { status } = await withHost(t, { queries: [query], source })
  await until(() => status('calls').lag === 0)
  t.strictSame(calls, [
    ['a', [1, 2, 3]],
    ['b', [1]],
    ['a', [4]],
  ])
})

t.test('an object runs on the main thread, a function too, with read models in memory', async t => {
  const seen: string[] = []
  const total = defineQuery({
    name: 'total',
    init: db => db.exec('create table total (n integer)'),
    handle: (_id, events, { db }) => void db.prepare('insert into total values (?)').run(events.length),
    answer: { sum: db => db.prepare('select sum(n) from total').pluck().get() },
  })
  async function audit(_id: string, events: readonly { id: string }[]) {
    await new Promise(resolve => setImmediate(resolve))
    seen.push(...events.map(event => event.id))
  }
  const { host, source, status } = await withHost(t, { queries: [total, audit], inMemory: true })
  for (let i = 0; i < 3; i += 1) source.append(1, { id: 'a', events: [deposit(1), deposit(2)] })
  await until(() => status('total').lag === 0 && status('audit').lag === 0)
  t.equal(await host.ask('total', 'sum', {}, { timeoutMs: 60_000 }), 6)
  t.equal(seen.length, 6)
  t.match(status('audit'), { file: null, state: 'running' })
  await t.rejects(host.ask('audit', 'sum', {}, { timeoutMs: 1000 }), { code: 'UNKNOWN_QUESTION' })
})

t.test(
  'an object with a directory keeps its checkpoint, and is built again when its code changes',
  async t => {
    const make = (step: number) => {
      const code = `(_id, events, { db }) => void db.prepare('insert into n values (?)').run(events.length * ${step})`
      const handle = new Function(`return ${code}`)()
      return defineQuery({
        name: 'n',
        init: db => db.exec('create table if not exists n (n integer)'),
        handle,
        answer: { sum: db => db.prepare('select sum(n) from n').pluck().get() },
      })
    }
    const first = await withHost(t, { queries: [make(1)] })
    first.source.append(1, { id: 'a', events: [deposit(1)] })
    await until(() => first.status('n').lag === 0)
    await first.host.close()
    const { source, directory } = first
    const second = await withHost(t, { queries: [make(1)], source, directory })
    source.append(1, { id: 'a', events: [deposit(1)] })
    await until(() => second.status('n').lag === 0)
    t.equal(await second.host.ask('n', 'sum', {}, { timeoutMs: 60_000 }), 2)
    await second.host.close()
    const third = await withHost(t, { queries: [make(10)], source, directory })
    await until(() => third.status('n').lag === 0)
    t.equal(await third.host.ask('n', 'sum', {}, { timeoutMs: 60_000 }), 20)
  },
)

t.test('a read model is built again', async t => {
  const first = await withHost(t, { files: { 'count.ts': countingQuery('count') } })
  const { source, directory } = first
  for (let i = 0; i < 10; i += 1) source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => first.status('count').lag === 0)
  await first.host.close()
  const path = join(directory, 'data', 'queries', 'count.db')
  const again = async (t: Test, given: Partial<Given>, why: RegExp) => {
    const { host, status, lines } = await withHost(t, { source, directory, ...given })
    await until(() => status('count').lag === 0)
    t.strictSame(await host.ask('count', 'count', {}, { timeoutMs: 60_000 }), { ids: 10, times: 10 })
    t.ok(
      lines.some(line => line.level === 'warn' && why.test(line.message)),
      `the log says ${why}`,
    )
    await host.close()
  }
  await t.test('when its file has changed', t =>
    again(
      t,
      { files: { 'count.ts': `${countingQuery('count')}// more\n` } },
      /code of the query has changed/,
    ),
  )
  await t.test('when its version has changed', t => {
    const text = countingQuery('count').replace("name: 'count',", "name: 'count', version: 2,")
    return again(t, { files: { 'count.ts': text } }, /version 2 replaces version 1/)
  })
  await t.test('when it was built from another history', t =>
    again(t, { history: 'other' }, /another history/),
  )
  await t.test('when its file is no database', async t => {
    writeFileSync(path, 'x'.repeat(10_000))
    await again(t, { history: 'other' }, /damaged/)
    t.equal(readFileSync(`${path}.damaged`, 'utf8').slice(0, 3), 'xxx', 'the damaged file is kept aside')
  })
  await t.test('when it turns out to be damaged at work', async t => {
    const db = new Sqlite(path)
    const page = Number(db.prepare(`select rootpage from sqlite_master where name = 'seen'`).pluck().get())
    db.close()
    const file = openSync(path, 'r+')
    writeSync(file, Buffer.alloc(4096, 0xff), 0, 4096, (page - 1) * 4096)
    closeSync(file)
    const { host, status, lines } = await withHost(t, { source, directory, history: 'other' })
    source.append(1, { id: 'a', events: [deposit(1)] })
    await until(() => status('count').lag === 0, { see: host.status })
    t.strictSame(await host.ask('count', 'count', {}, { timeoutMs: 60_000 }), { ids: 11, times: 11 })
    t.ok(lines.some(line => /damaged/.test(line.message)))
  })
})

t.test('two queries of one name: neither runs, each says why, others run', async t => {
  const { host, status } = await withHost(t, {
    files: { 'a.ts': countingQuery('twin'), 'b.ts': countingQuery('twin'), 'c.ts': countingQuery('single') },
    // Not while this test looks.
    limits: { loadBackoffMs: 600_000 },
  })
  const twins = host.status().filter(one => one.name === 'twin')
  t.strictSame(
    twins.map(one => one.state),
    ['failed', 'failed'],
  )
  for (const twin of twins)
    t.match(twin.lastError?.message, /query twin is also defined by .*[ab]\.ts; none of them runs/)
  t.equal(status('single').state === 'failed', false)
})

t.test('twins are tried again, one thread each, and run when one of them has another name', async t => {
  let threads = 0
  const onWorker = (): void => {
    threads += 1
  }
  process.on('worker', onWorker)
  t.teardown(() => process.off('worker', onWorker))
  const { host, directory, lines } = await withHost(t, {
    files: { 'a.ts': countingQuery('twin'), 'b.ts': countingQuery('twin') },
    limits: { loadBackoffMs: 50 },
  })
  const failures = () => lines.filter(line => /also defined/.test(line.message)).length
  await until(() => failures() >= 10)
  t.ok(threads <= failures() + 2, `${threads} threads for ${failures()} failures`)
  writeFileSync(join(directory, 'queries-source', 'b.ts'), countingQuery('other'))
  await until(() => host.status().every(one => one.state === 'running'), { see: host.status })
  t.strictSame(
    host.status().map(one => one.name),
    ['other', 'twin'],
  )
})

t.test('what a plugin prints is logged, and it knows the data directory', async t => {
  const file =
    "console.log('data in', process.env.GLYN_DATA_DIR)\nconsole.error('and a complaint')\nexport default () => {}\n"
  const { lines, directory } = await withHost(t, { files: { 'noisy.mjs': file } })
  await until(() => lines.filter(line => line.level === 'info').length === 2)
  t.ok(
    lines.some(
      line => line.message === `data in ${join(directory, 'data')}` && line.fields['query'] === 'noisy',
    ),
  )
  t.ok(lines.some(line => line.message === 'and a complaint'))
})
