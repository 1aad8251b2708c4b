// The life of a query file: it appears, changes, breaks, vanishes and comes back, while what is there goes on.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/node/system-clock.ts'
import { loadQueries } from '../../src/query/load-queries.ts'
import { watchQueries } from '../../src/query/watch-queries.ts'
import { directoryOf, type Given, type Running, until, withHost } from './with-host.ts'

t.setTimeout(300_000)

const deposit = (amount: number) => ['CustomerDepositedCash', { amount }] as const

/** Sums up amounts, times a factor. `extra` goes to the top of the file. Without an import, so that it loads quickly. */
const sumQuery = (
  factor: number,
  given: { readonly name?: string; readonly extra?: string; readonly body?: string } = {},
): string => `
${given.extra ?? ''}
export default {
  name: '${given.name ?? 'sum'}',
  init: db => db.exec('create table if not exists total (n integer not null, events integer not null)'),
  handle(id, events, { db }) {
    ${given.body ?? ''}
    db.prepare('insert into total values (?, ?)').run(events.reduce((n, event) => n + event.data.amount, 0) * ${factor}, events.length)
  },
  answer: {
    sum: db => db.prepare('select coalesce(sum(n), 0) as sum, coalesce(sum(events), 0) as events from total').get(),
    loop: () => { for (;;) {} },
  },
}
`

interface Living extends Running {
  /** Writes a file of the folder that is watched. */
  put(name: string, text: string): void
  remove(name: string): void
  sum(name?: string): Promise<unknown>
  readonly folder: string
  read(path: string): unknown
}

async function living(t: Test, given: Given = {}): Promise<Living> {
  const running = await withHost(t, given)
  const { host, directory } = running
  const folder = join(directory, 'queries-source')
  const watch = watchQueries({
    directory: folder,
    folder: await loadQueries(folder),
    host,
    clock: systemClock,
    log: running.log,
  })
  t.teardown(() => watch.close())
  await watch.ready
  return {
    ...running,
    folder,
    put: (name, text) => writeFileSync(join(folder, name), text),
    remove: name => rmSync(join(folder, name)),
    sum: (name = 'sum') => host.ask(name, 'sum', {}, { timeoutMs: 60_000 }),
    read(name) {
      const db = new Sqlite(join(directory, 'data', 'queries', name), { readonly: true })
      try {
        return db.prepare('select coalesce(sum(n), 0) from total').pluck().get()
      } finally {
        db.close()
      }
    },
  }
}

async function sums(life: Living, sum: number): Promise<void> {
  let last: unknown
  const deadline = performance.now() + 60_000
  do {
    last = await life.sum()
    if ((last as { readonly sum: number }).sum === sum) return
  } while (performance.now() < deadline)
  throw new Error(`the sum is not ${sum}: ${JSON.stringify([last, life.host.status()])}`)
}

const has = (running: Running, name: string): boolean => running.host.status().some(one => one.name === name)

t.test(
  'a file dropped into the folder catches up and answers; its change is built beside and swapped',
  async t => {
    const life = await living(t)
    for (let i = 1; i <= 100; i += 1)
      life.source.append(1 + (i % 3), { id: `a-${i % 5}`, events: [deposit(1)] })
    life.put('sum.ts', sumQuery(1))
    await until(() => has(life, 'sum') && life.status('sum').state === 'running', { see: life.host.status })
    t.strictSame(await life.sum(), { sum: 100, events: 100 })

    const answers: unknown[] = []
    let isOver = false
    const asking = (async () => {
      while (!isOver) answers.push(await life.sum())
    })()
    life.put('sum.ts', sumQuery(10))
    await until(() => answers.some(answer => (answer as { sum: number }).sum === 1000), {
      see: life.host.status,
    })
    isOver = true
    await asking
    t.strictSame(
      [...new Set(answers.map(answer => JSON.stringify(answer)))],
      ['{"sum":100,"events":100}', '{"sum":1000,"events":100}'],
      'every answer in between is that of the one or the other, and no question failed',
    )
    await until(() => life.status('sum').building === null)
    t.equal(life.read('sum.db'), 1000, 'the new read model lies where the old one did')
    t.notOk(existsSync(join(life.directory, 'data', 'queries', 'sum.next.db')))
    life.source.append(1, { id: 'a', events: [deposit(5)] })
    await until(() => life.status('sum').lag === 0)
    t.strictSame(await life.sum(), { sum: 1050, events: 101 }, 'and it follows the log')
  },
)

t.test('a new version that does not load changes nothing, and says why, until it is corrected', async t => {
  const life = await living(t, {
    files: { 'sum.ts': sumQuery(1), 'other.ts': sumQuery(1, { name: 'other' }) },
    limits: { batchMsMax: 2000 },
  })
  life.source.append(1, { id: 'a', events: [deposit(1)] })
  life.put('sum.ts', 'export default {')
  await until(() => life.status('sum').building?.lastError != null, { see: life.host.status })
  t.match(life.status('sum'), {
    lastError: null,
    building: { state: 'failed', lastError: { message: /sum\.ts: syntax error/ } },
  })
  t.ok(
    life.lines.some(
      ({ level, message }) =>
        level === 'error' && /the new version of query sum: .*sum\.ts: syntax error/.test(message),
    ),
  )
  const index = life.source.append(1, { id: 'a', events: [deposit(2)] })
  t.strictSame(
    await life.host.ask('sum', 'sum', {}, { timeoutMs: 60_000, after: new Map([[1, index]]) }),
    { sum: 3, events: 2 },
    'the old version answers and follows',
  )

  await t.test(
    'also when its thread ends meanwhile: it is started again with the code that it had',
    async t => {
      await t.rejects(life.host.ask('sum', 'loop', {}, { timeoutMs: 60_000 }), { code: 'QUERY_FAILED' })
      t.strictSame(await life.sum(), { sum: 3, events: 2 })
    },
  )

  life.put('sum.ts', sumQuery(7))
  await until(() => life.status('sum').building === null, { see: life.host.status })
  t.strictSame(await life.sum(), { sum: 21, events: 2 })
  t.match(life.status('other'), { state: 'running', lastError: null })
})

t.test('a new version that stops on an error leaves the old one as it is', async t => {
  const life = await living(t, { files: { 'sum.ts': sumQuery(1) } })
  for (let i = 0; i < 3; i += 1) life.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => life.status('sum').lag === 0)
  const broken = sumQuery(2, {
    body: "if (events.some(event => event.sequence === 2)) throw new Error('not this one')",
  })
  life.put('sum.ts', broken.replace("name: 'sum',", "name: 'sum', version: 2, onError: 'stop',"))
  await until(() => life.status('sum').building?.state === 'stopped', { see: life.host.status })
  t.match(life.status('sum'), {
    version: 1,
    state: 'running',
    building: { version: 2, lastError: { message: 'not this one' }, progress: { total: 3 } },
  })
  t.strictSame(await life.sum(), { sum: 3, events: 3 })
  life.put('sum.ts', sumQuery(1))
  await until(() => life.status('sum').building === null, { see: life.host.status })
  t.ok(
    life.lines.some(({ message }) => /its code is again that of the version that answers/.test(message)),
    'the old text again: there is nothing to build',
  )
})

t.test('a new version that fails again and again does not hold up the old one', async t => {
  // Whoever would wait for the new version would wait for longer than a question does.
  const life = await living(t, { files: { 'sum.ts': sumQuery(1) }, limits: { swapMsMax: 600_000 } })
  for (let i = 0; i < 3; i += 1) life.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => life.status('sum').lag === 0)
  life.put(
    'sum.ts',
    sumQuery(2, { body: "if (events.some(event => event.sequence === 3)) throw new Error('not yet')" }),
  )
  await until(() => life.status('sum').building?.state === 'retrying', { see: life.host.status })
  for (let i = 0; i < 20; i += 1) {
    const after = new Map([[1, life.source.append(1, { id: 'a', events: [deposit(1)] })]])
    t.match(await life.host.ask('sum', 'sum', {}, { timeoutMs: 60_000, after }), { sum: 4 + i })
  }
  life.put('sum.ts', sumQuery(2))
  await sums(life, 46)
})

t.test('a file that is gone stops its query; back in time it goes on, and later it begins anew', async t => {
  const life = await living(t, { files: { 'sum.ts': sumQuery(1) }, limits: { graceMs: 5000 } })
  life.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => life.status('sum').lag === 0)
  life.source.reads.count = 0
  life.remove('sum.ts')
  await until(() => !has(life, 'sum'))
  await t.rejects(life.sum(), { code: 'UNKNOWN_QUERY' })
  const path = join(life.directory, 'data', 'queries', 'sum.db')
  t.ok(existsSync(path), 'its read model is kept')
  life.put('sum.ts', sumQuery(1))
  await until(() => has(life, 'sum') && life.status('sum').state === 'running', { see: life.host.status })
  t.strictSame(await life.sum(), { sum: 1, events: 1 })
  t.equal(life.source.reads.count, 0, 'nothing was read again')
  life.remove('sum.ts')
  await until(() => !existsSync(path))
  t.ok(life.lines.some(({ message }) => /its read model is removed/.test(message)))
})

t.test('a disk that takes no notes ends neither the node nor the watch: all is done later', async t => {
  // The time is up before the other file has loaded: it might define the same name.
  const life = await living(t, { files: { 'sum.ts': sumQuery(1) }, limits: { graceMs: 1 } })
  life.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => life.status('sum').lag === 0)
  const queries = join(life.directory, 'data', 'queries')
  const path = join(queries, 'sum.db')
  const obstacle = join(queries, 'notes.json.new')
  mkdirSync(obstacle)
  life.remove('sum.ts')
  life.put('other.ts', sumQuery(2, { name: 'other' }))
  await until(() => has(life, 'other') && life.status('other').lag === 0, { see: life.host.status })
  t.strictSame(await life.sum('other'), { sum: 2, events: 1 }, 'a new file starts all the same')
  await until(() => !existsSync(path))
  t.ok(life.lines.some(({ message }) => /cannot be tidied away: EISDIR/.test(message)))
  rmdirSync(obstacle)
  t.strictSame(await life.sum('other'), { sum: 2, events: 1 })
})

t.test('a query whose thread is inside of SQL without end says so; a new version heals it', async t => {
  // SQLite waits for a lock without a look at anything else, until the test gives it up.
  const directory = directoryOf(t)
  const lock = new Sqlite(join(directory, 'lock.db'))
  lock.exec('begin exclusive')
  const sqlite = createRequire(import.meta.url).resolve('better-sqlite3')
  const extra = `
    import { createRequire } from 'node:module'
    const Sqlite = createRequire(import.meta.url)(${JSON.stringify(sqlite)})
    const wait = () => new Sqlite(${JSON.stringify(lock.name)}, { timeout: 1e8 }).exec('begin immediate')
  `
  const text = sumQuery(1, { extra }).replace('answer: {', 'answer: { wait,')
  const limits = { batchMsMax: 2000, closeMsMax: 500 }
  const life = await living(t, { directory, files: { 'sum.ts': text }, limits })
  t.teardown(() => void lock.close())
  life.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => life.status('sum').lag === 0)
  const waiting = t.rejects(life.host.ask('sum', 'wait', {}, { timeoutMs: 60_000 }), {
    code: 'QUERY_FAILED',
    message: /answer to wait did not return within 2000 ms/,
  })
  // Asked now: who asks after it was said that the thread does not end waits until it does.
  const behind = t.rejects(life.sum(), {
    code: 'QUERY_FAILED',
    message: /its thread does not end either, so it is inside of one SQL statement/,
  })
  await Promise.all([waiting, behind])
  t.match(life.status('sum'), {
    state: 'retrying',
    lastError: { message: /its thread does not end either/ },
  })
  life.source.append(1, { id: 'a', events: [deposit(2)] })
  life.put('sum.ts', sumQuery(2))
  await sums(life, 6)
  t.equal(life.status('sum').state, 'running')
})

t.test('a question that a swap or the end of its file leaves without answer is told why', async t => {
  const waits = (factor: number) =>
    sumQuery(factor).replace('answer: {', 'answer: { wait: () => new Promise(() => {}),')
  const limits = { closeMsMax: 500, batchMsMax: 60_000 }
  const life = await living(t, { files: { 'sum.ts': waits(1) }, limits })
  life.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => life.status('sum').lag === 0)
  const wait = () => life.host.ask('sum', 'wait', {}, { timeoutMs: 60_000 })
  const first = t.rejects(wait(), {
    code: 'UNAVAILABLE',
    message: /a new version has taken its place; ask again/,
  })
  life.put('sum.ts', waits(2))
  await first
  await sums(life, 2)
  const second = t.rejects(wait(), { code: 'UNAVAILABLE', message: /its file is gone/ })
  life.remove('sum.ts')
  await second
})

t.test('files that are written by a rename, or in two halves, are what they are in the end', async t => {
  const life = await living(t, { files: { 'sum.ts': sumQuery(1) } })
  life.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => life.status('sum').lag === 0)
  writeFileSync(join(life.folder, '.sum.ts.swp'), sumQuery(2))
  renameSync(join(life.folder, '.sum.ts.swp'), join(life.folder, 'sum.ts'))
  await sums(life, 2)
  const text = sumQuery(3)
  life.put('sum.ts', text.slice(0, text.length / 2))
  await until(() => life.status('sum').building?.state === 'failed', { see: life.host.status })
  t.strictSame(await life.sum(), { sum: 2, events: 1 })
  appendFileSync(join(life.folder, 'sum.ts'), text.slice(text.length / 2))
  await sums(life, 3)
  await until(() => life.status('sum').building === null, { see: life.host.status })
})

t.test('what cannot run says so, each for itself, and disturbs nobody', async t => {
  const life = await living(t, {
    files: { 'sum.ts': sumQuery(1) },
    limits: { loadMsMax: 8000, loadBackoffMs: 5000 },
  })
  life.put('loops.mjs', 'for (;;) {}')
  life.put('waits.js', 'await new Promise(() => {})\nexport default () => {}')
  life.put('No Name.ts', 'export default () => {}')
  life.put('bad.ts', sumQuery(1, { name: 'Bad Name' }))
  life.put('twin.ts', sumQuery(1))
  life.put('notes.txt', 'nothing')
  const messageOf = (name: string): string =>
    life.host.status().find(one => one.file?.endsWith(`/${name}`) === true)?.lastError?.message ?? ''
  const claims: readonly (readonly [string, RegExp])[] = [
    ['loops.mjs', /loops\.mjs: did not load within 8000 ms/],
    [
      'waits.js',
      /waits\.js: its import did not finish within 8000 ms|waits\.js: did not load within 8000 ms/,
    ],
    ['No Name.ts', /name is "No Name"; allowed: lower-case letters/],
    ['bad.ts', /name is "Bad Name"; allowed: lower-case letters/],
    ['twin.ts', /query sum is also defined by .*\/sum\.ts, which was there first and goes on/],
  ]
  await until(() => claims.every(([name, text]) => text.test(messageOf(name))), { see: life.host.status })
  await until(() =>
    life.lines.some(({ message }) =>
      /notes\.txt in the query folder is no query: its extension/.test(message),
    ),
  )
  const index = life.source.append(1, { id: 'a', events: [deposit(4)] })
  t.strictSame(await life.host.ask('sum', 'sum', {}, { timeoutMs: 60_000, after: new Map([[1, index]]) }), {
    sum: 4,
    events: 1,
  })
  life.put('loops.mjs', sumQuery(2, { name: 'loops' }))
  await until(() => has(life, 'loops') && life.status('loops').state === 'running', { see: life.host.status })
  life.remove('sum.ts')
  await until(
    () => life.status('sum').file?.endsWith('twin.ts') === true && life.status('sum').state === 'running',
    {
      see: life.host.status,
    },
  )
})

t.test('what a file imports from the folder is part of it', async t => {
  const extra = "import { factor } from './_factor.ts'"
  const text = sumQuery(1, { extra }).replace('* 1,', '* factor,')
  const life = await living(t, {
    files: {
      'sum.ts': text,
      '_factor.ts': "export { factor } from './_deep.js'",
      '_deep.js':
        "import rates from './_rates.json' with { type: 'json' }\nexport const factor = rates.factor",
      '_rates.json': '{ "factor": 1.5 }',
    },
    limits: { batchMsMax: 2000 },
  })
  life.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => life.status('sum').lag === 0)
  life.put('_rates.json', '{ "factor": 2 }')
  await sums(life, 2)
  life.put('_deep.js', 'export const factor = 3')
  await sums(life, 3)
  await until(() => life.status('sum').building === null)

  life.remove('_deep.js')
  await until(() => life.status('sum').building?.state === 'failed', { see: life.host.status })
  t.match(life.status('sum').building?.lastError?.message, /Cannot find module .*_deep\.js/)
  await t.rejects(life.host.ask('sum', 'loop', {}, { timeoutMs: 60_000 }), { code: 'QUERY_FAILED' })
  t.strictSame(await life.sum(), { sum: 3, events: 1 }, 'a new thread has the helper that is gone')
  life.put('_deep.js', 'export const factor = 3')
  await until(() => life.status('sum').building === null)
  life.put('_unused.ts', 'export const nothing = 1')
  await life.host.close()
  life.source.reads.count = 0
  const again = await withHost(t, { source: life.source, directory: life.directory })
  t.strictSame(again.status('sum').positions, { 1: 1 })
  t.equal(life.source.reads.count, 0, 'a restart builds nothing again')
  await again.host.close()
  life.put('_deep.js', 'export const factor = 4')
  const changed = await withHost(t, { source: life.source, directory: life.directory })
  await until(() => changed.status('sum').lag === 0)
  t.strictSame(await changed.host.ask('sum', 'sum', {}, { timeoutMs: 60_000 }), { sum: 4, events: 1 })
})

t.test('a file that defines another name now is another query', async t => {
  const life = await living(t, { files: { 'sum.ts': sumQuery(1) } })
  life.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => life.status('sum').lag === 0)
  life.put('sum.ts', sumQuery(2, { name: 'total' }))
  await until(() => has(life, 'total') && life.status('total').lag === 0, { see: life.host.status })
  t.strictSame(await life.sum('total'), { sum: 2, events: 1 })
  t.notOk(has(life, 'sum'))
  await until(() => life.lines.length > 0)
})

t.test('a paused query answers and sees nothing, over a restart too, until it is resumed', async t => {
  const life = await living(t, { files: { 'sum.ts': sumQuery(1) } })
  life.source.append(1, { id: 'a', events: [deposit(1)] })
  await until(() => life.status('sum').lag === 0)
  t.match(await life.host.pause('sum'), { state: 'paused', lag: 0 })
  life.source.append(1, { id: 'a', events: [deposit(1)] })
  await t.rejects(life.host.ask('sum', 'sum', {}, { timeoutMs: 300, after: new Map([[1, 2]]) }), {
    code: 'QUERY_LAGGING',
    message: /it is paused/,
  })
  t.throws(() => life.host.rebuild('sum'), { code: 'INVALID_ARGUMENT', message: /paused; resume it/ })
  await life.host.close()
  const again = await withHost(t, { source: life.source, directory: life.directory })
  t.match(again.status('sum'), { state: 'paused', lag: 1 })
  t.strictSame(await again.host.ask('sum', 'sum', {}, { timeoutMs: 60_000 }), { sum: 1, events: 1 })
  again.host.resume('sum')
  await until(() => again.status('sum').lag === 0, { see: again.host.status })
  t.match(again.status('sum'), { state: 'running' })
  await t.rejects(again.host.pause('smu'), { code: 'UNKNOWN_QUERY', message: /allowed: sum/ })
})

t.test(
  'a rebuild goes on beside the read model over a restart, sees each event once, and takes its place',
  async t => {
    const extra = `
      import { appendFileSync, existsSync } from 'node:fs'
      const folder = process.env.GLYN_DATA_DIR
    `
    const body = `for (const event of events) {
      if (event.aggregate.id === 'a-200' && existsSync(folder + '/held')) throw new Error('held by the test')
      appendFileSync(folder + '/seen', event.id + '\\n')
    }`
    const life = await living(t, {
      files: { 'sum.ts': sumQuery(1, { extra, body }) },
      limits: { batchEventsMax: 20 },
    })
    for (let i = 0; i < 400; i += 1) life.source.append(1, { id: `a-${i}`, events: [deposit(1)] })
    await until(() => life.status('sum').lag === 0, { see: life.host.status })
    const seen = join(life.directory, 'data', 'seen')
    rmSync(seen)
    // Half of it is built, and no more, until the node is closed.
    const held = join(life.directory, 'data', 'held')
    writeFileSync(held, '')
    t.match(life.host.rebuild('sum'), { state: 'running', building: { progress: { done: 0, total: 400 } } })
    await until(() => (life.status('sum').building?.progress.done ?? 0) > 60, { see: life.host.status })
    t.strictSame(await life.sum(), { sum: 400, events: 400 }, 'the old read model answers')
    await life.host.close()
    rmSync(held)
    const again = await withHost(t, {
      source: life.source,
      directory: life.directory,
      limits: { batchEventsMax: 20 },
    })
    t.strictSame(await again.host.ask('sum', 'sum', {}, { timeoutMs: 60_000 }), { sum: 400, events: 400 })
    await until(
      () =>
        again.status('sum').building === null &&
        again.lines.some(({ message }) => /was built again/.test(message)),
      {
        see: again.host.status,
      },
    )
    t.strictSame(await again.host.ask('sum', 'sum', {}, { timeoutMs: 60_000 }), { sum: 400, events: 400 })
    const ids = readFileSync(seen, 'utf8').trim().split('\n')
    t.equal(ids.length, 400)
    t.equal(new Set(ids).size, 400, 'each event once over both processes: it went on where it was')
  },
)
