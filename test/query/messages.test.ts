// Messages to queries: each once or not at all, in a transaction of its own, bounded, and no trouble for events.
import t from 'tap'
import type { QueryMessage } from '../../src/core/query-message.ts'
import { defineQuery } from '../../src/query/define-query.ts'
import { countingQuery, directoryOf, until, withHost } from './with-host.ts'

const message = (n: number, data: unknown = { n }): QueryMessage => ({
  id: `m-${n}`,
  type: 'Look',
  data,
  aggregate: { type: 'counter', id: 'a' },
  time: '2026-01-31T12:00:00.000Z',
  publisher: 'peer-a',
})

/** Keeps what it is told; fails, loops or takes its time when it is told to. */
const listener = `
import { defineQuery } from 'glyn-node'
export default defineQuery({
  name: 'listener',
  init(db) {
    db.exec('create table if not exists heard (place integer primary key, message text not null)')
    db.exec('create table if not exists seen (id text primary key)')
  },
  handle(aggregateId, events, { db }) {
    for (const event of events) db.prepare('insert into seen values (?)').run(event.id)
  },
  onMessage(message, { db }) {
    db.prepare('insert into heard (message) values (?)').run(JSON.stringify(message))
    if (message.data.fail) throw new Error('not today')
    if (message.data.end) db.exec('commit')
    if (message.data.later) return Promise.resolve()
    if (message.data.loop) for (;;) {}
    for (const until = performance.now() + (message.data.ms ?? 0); performance.now() < until; ) {}
  },
  answer: {
    heard: db => db.prepare('select message from heard order by place').pluck().all().map(text => JSON.parse(text)),
    seen: db => db.prepare('select count(*) as count from seen').get(),
  },
})
`
const ask = { timeoutMs: 60_000 }

t.test('a message reaches every query with an onMessage, whole and in order, and no other', async t => {
  const own: QueryMessage[] = []
  const { host, status } = await withHost(t, {
    files: { 'listener.js': listener, 'counting.js': countingQuery('counting') },
    queries: [
      defineQuery({
        name: 'in-code',
        handle() {},
        onMessage: received => void own.push(received),
      }),
    ],
  })
  for (const n of [1, 2, 3]) host.deliver(message(n))
  await until(() => status('listener').messages?.handled === 3, { see: () => status('listener') })
  t.strictSame(await host.ask('listener', 'heard', {}, ask), [message(1), message(2), message(3)])
  await until(() => own.length === 3)
  t.strictSame(own, [message(1), message(2), message(3)])
  t.equal(status('counting').messages, undefined)
})

t.test('what a failed onMessage wrote is taken back, it is told, and not given again', async t => {
  const { host, status, lines } = await withHost(t, { files: { 'listener.js': listener } })
  for (const [n, data] of [{}, { fail: true }, { end: true }, { later: true }, {}].entries())
    host.deliver(message(n, data))
  await until(() => status('listener').messages?.handled === 2, { see: () => status('listener') })
  t.strictSame(status('listener').messages, { handled: 2, failed: 3, dropped: 0 })
  const heard = (await host.ask('listener', 'heard', {}, ask)) as QueryMessage[]
  // A plugin that commits by itself has what it committed; the mistake is told all the same.
  t.strictSame(
    heard.map(({ id }) => id),
    ['m-0', 'm-2', 'm-4'],
  )
  t.match(status('listener'), { state: 'running', lastError: { message: /onMessage returned a promise/ } })
  const told = lines.filter(({ message: text }) => /onMessage failed/.test(text))
  t.match(told, [{ level: 'warn', message: 'query listener: onMessage failed: not today' }])
  t.equal(told.length, 1, 'further ones are counted')
})

t.test('after a restart, what neighbours repeat is not given again, also what failed', async t => {
  const directory = directoryOf(t)
  const first = await withHost(t, { files: { 'listener.js': listener }, directory })
  first.host.deliver(message(0, { fail: true }))
  for (const n of [1, 2]) first.host.deliver(message(n))
  await until(() => first.status('listener').messages?.handled === 2)
  await first.host.close()
  const second = await withHost(t, { files: { 'listener.js': listener }, directory })
  for (const n of [0, 1, 2, 3]) second.host.deliver(message(n))
  second.host.deliver({ ...message(1), publisher: 'peer-b' })
  await until(() => second.status('listener').messages?.handled === 2)
  const heard = (await second.host.ask('listener', 'heard', {}, ask)) as QueryMessage[]
  t.strictSame(
    heard.map(({ publisher, id }) => `${publisher} ${id}`),
    ['peer-a m-1', 'peer-a m-2', 'peer-a m-3', 'peer-b m-1'],
  )
  t.strictSame(second.status('listener').messages, { handled: 2, failed: 0, dropped: 0 })
})

t.test('a query behind its bound loses messages, and counts them; its events all come', async t => {
  const { host, source, status, lines } = await withHost(t, {
    files: { 'listener.js': listener },
    limits: { messagesMax: 5 },
  })
  for (let n = 0; n < 50; n += 1) host.deliver(message(n, { ms: 5 }))
  for (let n = 0; n < 20; n += 1) source.append(1, { id: `a${n % 3}`, events: [['Seen', {}]] })
  await until(() => status('listener').messages?.handled === 5 && status('listener').lag === 0, {
    see: () => status('listener'),
  })
  t.strictSame(status('listener').messages, { handled: 5, failed: 0, dropped: 45 })
  t.strictSame(await host.ask('listener', 'seen', {}, ask), { count: 20 })
  t.match(
    lines.filter(({ message: text }) => /dropped/.test(text)),
    [{ level: 'warn', message: /behind its bound of 5 messages$/ }],
  )
  host.deliver(message(99))
  await until(() => status('listener').messages?.handled === 6)
})

t.test('large messages are bounded by their bytes', async t => {
  const { host, status } = await withHost(t, {
    files: { 'listener.js': listener },
    limits: { messageBytesMax: 10_000 },
  })
  for (let n = 0; n < 5; n += 1) host.deliver(message(n, { text: 'x'.repeat(4000) }))
  await until(() => status('listener').messages?.handled === 2)
  t.strictSame(status('listener').messages, { handled: 2, failed: 0, dropped: 3 })
})

t.test('an onMessage that loops is ended, and what waited behind it is lost and counted', async t => {
  const { host, source, status } = await withHost(t, {
    files: { 'listener.js': listener },
    limits: { batchMsMax: 2000 },
  })
  host.deliver(message(1, { loop: true }))
  host.deliver(message(2))
  await until(
    () => /its onMessage did not return within 2000 ms/.test(status('listener').lastError?.message ?? ''),
    {
      see: () => status('listener'),
    },
  )
  await until(() => status('listener').state === 'running', { see: () => status('listener') })
  t.strictSame(status('listener').messages, { handled: 0, failed: 0, dropped: 2 })
  host.deliver(message(3))
  source.append(1, { id: 'a', events: [['Seen', {}]] })
  await until(() => status('listener').messages?.handled === 1 && status('listener').lag === 0)
  t.match(await host.ask('listener', 'heard', {}, ask), [{ id: 'm-3' }], 'nothing of the one that looped')
})

t.test(
  'one that is paused hears nothing; one that is built again hears what comes meanwhile, with the old one',
  async t => {
    const { host, status } = await withHost(t, { files: { 'listener.js': listener } })
    await host.pause('listener')
    host.deliver(message(1))
    t.strictSame(status('listener').messages, { handled: 0, failed: 0, dropped: 1 })
    host.resume('listener')
    host.deliver(message(2))
    await until(() => status('listener').messages?.handled === 1)
    host.rebuild('listener')
    let sent = 2
    // Until it is open, the new version cannot hear.
    await until(
      () => {
        sent += 1
        host.deliver(message(sent))
        return status('listener').building === null
      },
      { see: () => status('listener') },
    )
    const last = sent + 1
    const heardNow = async (): Promise<string[]> =>
      ((await host.ask('listener', 'heard', {}, ask)) as QueryMessage[]).map(({ id }) => id)
    host.deliver(message(last))
    // Questions and messages go to the thread in one order.
    const heard = await heardNow()
    t.ok(heard.includes(`m-${last}`))
    t.notOk(heard.includes('m-2'), 'what was told to the old one is nowhere to be read again')
    t.equal(new Set(heard).size, heard.length, 'each once')
  },
)

t.test('an onMessage that is none is refused', async t => {
  const wrong = (onMessage: unknown) => () => defineQuery({ name: 'x', handle() {}, onMessage } as never)
  t.throws(wrong('text'), {
    code: 'INVALID_ARGUMENT',
    message: /onMessage is "text"; allowed: a synchronous/,
  })
  t.throws(
    wrong(async () => {}),
    { code: 'INVALID_ARGUMENT', message: /onMessage is "an async function"; allowed/ },
  )
})
