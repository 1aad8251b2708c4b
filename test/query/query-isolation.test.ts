// A plugin that misbehaves: it is bounded, restarted, reported, and disturbs nobody else.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { defineQuery } from '../../src/query/define-query.ts'
import type { QueryLimits } from '../../src/query/query-limits.ts'
import { countingQuery, directoryOf, type Given, type Running, until, withHost } from './with-host.ts'

const deposit = (amount: number) => ['CustomerDepositedCash', { amount }] as const

/** A bad query beside a good one, partition 1 with the event that it is bad at (`amount: 13`), partition 2 without. */
async function withBadQuery(t: Test, body: string, given: Given = {}): Promise<Running> {
  const running = await withHost(t, {
    files: { 'bad.ts': countingQuery('bad', body), 'good.ts': countingQuery('good') },
    ...(given.limits === undefined ? {} : { limits: given.limits }),
    ...(given.directory === undefined ? {} : { directory: given.directory }),
  })
  const { source } = running
  for (const amount of [1, 2, 13, 4]) source.append(1, { id: `acc-${amount}`, events: [deposit(amount)] })
  for (const amount of [1, 2]) source.append(2, { id: `other-${amount}`, events: [deposit(amount)] })
  return running
}

async function goodIsWell(t: Test, { host, status }: Running): Promise<void> {
  await until(() => status('good').lag === 0, { see: host.status })
  t.strictSame(await host.ask('good', 'count', {}, { timeoutMs: 60_000 }), { ids: 6, times: 6 })
  t.match(status('good'), { state: 'running', lastError: null })
}

t.test('a handler that throws is retried and never passed over; what came before it is kept', async t => {
  const bad = await withBadQuery(
    t,
    `if (event.data.amount === 13) {
      db.prepare('insert into seen values (?, 1, 0)').run('half done')
      throw new Error('not thirteen')
    }`,
  )
  await goodIsWell(t, bad)
  const { host, status, lines } = bad
  await until(() => lines.filter(line => /not thirteen/.test(line.message)).length >= 3)
  t.match(status('bad'), {
    state: 'retrying',
    lag: 2,
    positions: { 1: 2, 2: 2 },
    lastError: { message: 'not thirteen', stack: /bad\.ts/, time: /^\d{4}-.*Z$/ },
  })
  t.strictSame(
    await host.ask('bad', 'count', {}, { timeoutMs: 60_000 }),
    { ids: 4, times: 4 },
    'answers go on, nothing half done is seen, and the other partition was not held up',
  )
})

t.test('a handler that is mended by time goes on by itself, each event once', async t => {
  const bad = await withBadQuery(
    t,
    `globalThis.tries ??= 0; if (event.data.amount === 13 && (globalThis.tries += 1) < 4) throw new Error('not yet')`,
  )
  await until(() => bad.status('bad').lag === 0)
  t.strictSame(await bad.host.ask('bad', 'count', {}, { timeoutMs: 60_000 }), { ids: 6, times: 6 })
  t.equal(bad.status('bad').state, 'running')
})

t.test('a handler that loops for ever is ended, tried again, and the other partitions go on', async t => {
  const bad = await withBadQuery(t, 'if (event.data.amount === 13) for (;;) {}', {
    limits: { batchMsMax: 2000 },
  })
  const { status, host, lines } = bad
  const before = performance.now()
  await new Promise(resolve => setImmediate(resolve))
  t.ok(performance.now() - before < 30_000, 'the main thread goes on')
  await goodIsWell(t, bad)
  await until(() => lines.filter(line => /did not return within 2000 ms/.test(line.message)).length >= 2)
  await until(() => status('bad').positions[1] === 2 && status('bad').positions[2] === 2, {
    see: host.status,
  })
  await until(() => status('bad').state === 'retrying')
  t.match(status('bad'), { lag: 2, lastError: { message: 'its handler did not return within 2000 ms' } })
})

t.test('a handler that ends its thread', async t => {
  const bad = await withBadQuery(t, 'if (event.data.amount === 13) process.exit(3)')
  await goodIsWell(t, bad)
  const { status, host, lines } = bad
  await until(() => lines.filter(line => /thread ended with code 3/.test(line.message)).length >= 2)
  await until(() => status('bad').positions[1] === 2 && status('bad').positions[2] === 2, {
    see: host.status,
  })
  await until(() => status('bad').state === 'retrying')
})

t.test('a handler that eats all memory is held to its own', async t => {
  const bad = await withBadQuery(
    t,
    `if (event.data.amount === 13) { const all = []; for (;;) all.push(new Array(100_000).fill({ x: Math.random() })) }`,
    { limits: { heapMbMax: 64, batchMsMax: 20_000 } },
  )
  await goodIsWell(t, bad)
  await until(() => /memory/.test(bad.status('bad').lastError?.message ?? ''), { see: bad.host.status })
  await until(() => bad.status('bad').state === 'retrying', { see: bad.host.status })
})

t.test('onError: stop stops, and says so', async t => {
  const body = `if (event.data.amount === 13) throw new Error('not thirteen')`
  const file = countingQuery('bad', body).replace("name: 'bad',", "name: 'bad', onError: 'stop',")
  const { host, source, status } = await withHost(t, { files: { 'bad.ts': file } })
  for (const amount of [1, 13, 2]) source.append(1, { id: 'a', events: [deposit(amount)] })
  await until(() => status('bad').state === 'stopped')
  t.match(status('bad'), { lag: 2, lastError: { message: 'not thirteen' } }, 'what came before it is kept')
  await t.rejects(host.ask('bad', 'count', {}, { timeoutMs: 1000 }), {
    code: 'QUERY_FAILED',
    message: 'query bad is stopped: not thirteen',
  })
})

t.test(
  'an answer that loops for ever is ended; the questions behind it are answered after the restart',
  async t => {
    const { host, source, status } = await withHost(t, {
      files: { 'count.ts': countingQuery('count') },
      limits: { batchMsMax: 2000 },
    })
    source.append(1, { id: 'a', events: [deposit(1)] })
    await until(() => status('count').lag === 0)
    const looping = t.rejects(host.ask('count', 'loop', {}, { timeoutMs: 60_000 }), {
      code: 'QUERY_FAILED',
      message: 'query count: its answer to loop did not return within 2000 ms',
    })
    const impatient = t.rejects(host.ask('count', 'count', {}, { timeoutMs: 50 }), { code: 'TIMEOUT' })
    const behind = host.ask('count', 'count', {}, { timeoutMs: 60_000 })
    await Promise.all([looping, impatient])
    t.strictSame(await behind, { ids: 1, times: 1 })
    source.append(1, { id: 'a', events: [deposit(1)] })
    await until(() => status('count').lag === 0)
    await until(() => status('count').state === 'running', { see: host.status })
  },
)

t.test('an answer that ends its thread fails; the query comes back', async t => {
  const { host, status } = await withHost(t, { files: { 'count.ts': countingQuery('count') } })
  await t.rejects(host.ask('count', 'exit', {}, { timeoutMs: 60_000 }), {
    code: 'QUERY_FAILED',
    message: /code 7/,
  })
  t.strictSame(await host.ask('count', 'count', {}, { timeoutMs: 60_000 }), { ids: 0, times: 0 })
  await until(() => status('count').state === 'running')
})

t.test('a file that does not load is failed with its path and cause, and is tried again', async t => {
  const cases: Case[] = [
    ['syntax', 'export default (((', /syntax\.ts: syntax error.*:/],
    ['throws', `throw new Error('no luck')`, /throws\.ts: no luck/],
    ['nothing', 'export const query = 1', /nothing\.ts: no default export; it exports only query/],
    [
      'shape',
      `export default { name: 'shape' }`,
      /shape\.ts: the default export is not a valid query: .*handle is missing/,
    ],
    ['exits', 'process.exit(4); export default () => {}', /ended with code 4/],
    [
      'init',
      `export default { name: 'init', init() { throw new Error('no table') }, handle() {} }`,
      /no table/,
    ],
  ]
  await areFailed(t, cases, { loadBackoffMs: 5000 })
})

t.test('a file that does not finish loading is ended at its deadline', async t => {
  const cases: Case[] = [
    ['never', 'await new Promise(() => {}); export default () => {}', /never\.ts.*5000 ms/],
    ['loops', 'for (;;) {}; export default () => {}', /loops\.ts: did not load within 5000 ms/],
  ]
  await areFailed(t, cases, { loadMsMax: 5000 })
})

type Case = [name: string, text: string, cause: RegExp]

async function areFailed(t: Test, cases: readonly Case[], limits: Partial<QueryLimits>): Promise<void> {
  const files = Object.fromEntries(cases.map(([name, text]) => [`${name}.ts`, text]))
  const bad = await withHost(t, { files: { ...files, 'good.ts': countingQuery('good') }, limits })
  for (const [name, , cause] of cases) {
    t.match(bad.status(name), { state: /failed|loading/, lastError: { message: cause } }, name)
    await t.rejects(bad.host.ask(name, 'x', {}, { timeoutMs: 100 }), { code: /QUERY_FAILED|TIMEOUT/ })
  }
  bad.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => bad.status('good').lag === 0, { see: bad.host.status })
  t.equal(bad.status('good').state, 'running')
}

t.test('a file that failed to load is loaded when its cause is gone', async t => {
  const directory = directoryOf(t)
  const flag = join(directory, 'ready')
  const file = `import { existsSync } from 'node:fs'
    if (!existsSync(${JSON.stringify(flag)})) throw new Error('not ready')
    ${countingQuery('late')}`
  const { status } = await withHost(t, {
    files: { 'late.ts': file },
    directory,
    limits: { loadBackoffMs: 100 },
  })
  t.match(status('late'), { state: /failed|loading/, lastError: { message: /not ready/ } })
  const { writeFileSync } = await import('node:fs')
  writeFileSync(flag, '')
  await until(() => status('late').state === 'running')
})

t.test('a function that never returns is noticed, in a thread and on the main thread', async t => {
  const never = { 'never.ts': 'export default () => new Promise(() => {})' }
  const { source, status } = await withHost(t, {
    files: never,
    queries: [
      async function inline0() {
        await new Promise(() => {})
      },
    ],
    limits: { batchMsMax: 500 },
  })
  source.append(1, { id: 'a', events: [deposit(1)] })
  for (const name of ['never', 'inline0']) {
    await until(() => status(name).lastError !== null)
    t.match(status(name), {
      state: 'retrying',
      lag: 1,
      lastError: { message: 'its handler did not return within 500 ms' },
    })
  }
})

t.test('a function is called again with what it failed at, and with nothing before that', async t => {
  const directory = directoryOf(t)
  const path = join(directory, 'seen.txt')
  const file = `import { appendFile } from 'node:fs/promises'
    let tries = 0
    export default async (id, events) => {
      if (events.some(event => event.data.amount === 13) && (tries += 1) < 3) throw new Error('not yet')
      await appendFile(${JSON.stringify(path)}, events.map(event => event.id + '\\n').join(''))
    }`
  const { source, status } = await withHost(t, { files: { 'seen.ts': file }, directory })
  for (const amount of [1, 2, 13, 4]) source.append(1, { id: `acc-${amount}`, events: [deposit(amount)] })
  await until(() => status('seen').lag === 0)
  t.ok(existsSync(path))
  t.strictSame(
    readFileSync(path, 'utf8').trim().split('\n'),
    [1, 2, 13, 4].map(amount => `bank_account/acc-${amount}/1`),
  )
})

t.test('a handler that is not synchronous, or ends the transaction, fails and changes nothing', async t => {
  for (const [body, cause] of [
    [`if (event.data.amount === 13) return { then() {} }`, /returned a promise/],
    [`if (event.data.amount === 13) db.exec('commit')`, /ended the transaction/],
  ] as const) {
    const bad = await withBadQuery(t, body)
    await until(() => bad.status('bad').lastError !== null)
    t.match(bad.status('bad'), { state: 'retrying', lastError: { message: cause } })
    await bad.host.close()
  }
})

t.test('a handler that closes its database gets it back', async t => {
  const bad = await withBadQuery(
    t,
    `globalThis.tries ??= 0; if (event.data.amount === 13 && (globalThis.tries += 1) < 3) db.close()`,
  )
  await until(() => bad.status('bad').lag === 0, { see: bad.host.status })
  t.strictSame(await bad.host.ask('bad', 'count', {}, { timeoutMs: 60_000 }), { ids: 6, times: 6 })
})

t.test('a timer of a plugin does not keep its thread beyond close()', async t => {
  const { host } = await withHost(t, {
    files: { 'timer.ts': 'setInterval(() => {}, 1000); export default () => {}' },
    limits: { closeMsMax: 200 },
  })
  const before = performance.now()
  await host.close()
  t.ok(performance.now() - before < 20_000)
})

t.test('the definition of an object that fails does not bring the process down', async t => {
  const bad = defineQuery({
    name: 'bad',
    handle() {
      throw new Error('always')
    },
  })
  const { source, status } = await withHost(t, { queries: [bad] })
  source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => status('bad').lastError !== null)
  t.match(status('bad'), { state: 'retrying', lag: 1, lastError: { message: 'always' } })
})
