// `connect`: the same client through a multiaddr, an address and a socket; on real nodes.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLog } from '../../src/core/log.ts'
import type { Accepted } from '../../src/core/outcome.ts'
import { type Client, type ConnectOptions, connect } from '../../src/http/connect.ts'
import { createControlServer } from '../../src/http/control-server.ts'
import { createNode } from '../../src/node/create-node.ts'
import type { GlynNode } from '../../src/node/glyn-node.ts'
import { defineQuery } from '../../src/query/define-query.ts'
import { eventually } from '../node/memory-cluster.ts'
import { balance, bankAccount } from '../support/bank.ts'
import { directoryOf } from '../support/directory-of.ts'

t.setTimeout(300_000)

/** Remembers the rates that somebody published. */
const rates = defineQuery({
  name: 'rates',
  init: db => void db.exec('create table if not exists rates (rate real not null)'),
  handle() {},
  onMessage(message, { db }) {
    db.prepare('insert into rates values (?)').run((message.data as { rate: number }).rate)
  },
  answer: { all: (db): number[] => db.prepare<[], number>('select rate from rates').pluck().all() },
})

const startNode = (options: { readonly bootstrap?: readonly string[]; readonly name: string }) =>
  createNode({
    topic: 'bank_events',
    dataDirectory: null,
    aggregates: [bankAccount],
    queries: [balance, rates],
    partitions: 2,
    ...options,
  })

const open = { type: 'OpenAccount', data: {} } as const
const deposit = (amount: number) => ({ type: 'DepositMoney', data: { amount } }) as const

async function connected(t: Test, target: string, options: ConnectOptions = {}): Promise<Client> {
  const client = await connect(target, options)
  t.teardown(() => client.close())
  return client
}

t.test('through each kind of target the same things are done', async t => {
  const folder = directoryOf(t)
  const node = await startNode({ name: 'one' })
  t.teardown(() => node.close())
  const socketPath = join(folder, 'control.sock')
  const token = 'a-token-for-tests'
  const server = await createControlServer({
    node,
    socketPath,
    tcp: { host: '127.0.0.1', port: 0, token },
    log: silentLog,
  })
  t.teardown(() => server.close())
  const targets: Readonly<Record<string, readonly [string, ConnectOptions?]>> = {
    multiaddr: [node.addresses()[0] ?? ''],
    url: [server.url ?? '', { token }],
    socket: [socketPath],
    folder: [folder],
  }
  for (const [kind, [target, options]] of Object.entries(targets)) {
    await t.test(kind, async t => {
      const client = await connected(t, target, options)
      t.equal(client.target, target)
      const id = `by-${kind}`
      t.match((await client.status()).cluster.id, node.clusterId)

      const opened = await client.execute(bankAccount, id, open, { metadata: { user: 'ann' } })
      t.match(opened, { type: 'accepted', sequence: 1 })
      const commandId = `deposit-${kind}`
      const paid = await client.execute(bankAccount, id, deposit(100), { commandId })
      t.match(paid, { type: 'accepted', sequence: 2, replayed: false })
      const again = await client.execute(bankAccount, id, deposit(100), { commandId })
      t.match(again, { type: 'accepted', sequence: 2, replayed: true }, 'the same id, the same outcome')
      t.match(await client.execute(bankAccount, id, { type: 'WithDrawMoney', data: { amount: 500 } }), {
        type: 'rejected',
        code: 'cant_withdraw_more_than_current_balance',
      })
      t.match(await client.execute('bank_account', id, open), { type: 'rejected' }, 'by name')

      t.match(await client.loadAggregate(bankAccount, id), { sequence: 2, state: { balance: 100 } })
      const events = await client.loadEvents(bankAccount, id, { fromSequence: 2 })
      t.match(events, [{ type: 'CustomerDepositedCash', data: { amount: 100 }, commandId }])
      t.match((await client.loadEvents(bankAccount, id))[0], { metadata: { user: 'ann' } })

      const { token: after } = paid as Accepted
      t.match(await client.query(balance, 'get', { id }, { after }), { id, amount: 100 })
      await t.rejects(client.query('balance', 'worst', {}), { code: 'UNKNOWN_QUESTION' })
      await t.rejects(client.query('no_such', 'get', {}), { code: 'UNKNOWN_QUERY' })
      await t.rejects(client.execute('no_such', id, open), { code: 'UNKNOWN_AGGREGATE_TYPE' })
      await t.rejects(client.query(balance, 'get', { id }, { after: '77:1' }), { code: 'INVALID_ARGUMENT' })

      // A query whose thread is not there yet is not told.
      await eventually(async () => {
        await client.publish({ type: 'RateChanged', data: { rate: 1.5 } })
        return (await client.query(rates, 'all', {})).includes(1.5)
      }, 'it was told')
      const [told] = await client.subscribers()
      t.match(told, { name: 'one', queries: [{ name: 'balance' }, { name: 'rates' }] })

      const seen: string[] = []
      const all = client.subscribe({ from: 'start', until: 'now', filter: { aggregates: [bankAccount] } })
      for await (const event of all) if (event.aggregate.id === id) seen.push(event.id)
      t.strictSame(seen, [`bank_account/${id}/1`, `bank_account/${id}/2`])
    })
  }

  await t.test('a subscription goes on where its token says, and waits for what comes', async t => {
    for (const [target, options] of Object.values(targets)) {
      const client = await connected(t, target, options)
      const leaving = new AbortController()
      const live = client.subscribe({ from: 'now', signal: leaving.signal })
      const next = live[Symbol.asyncIterator]()
      let hasBegun = false
      const first = next.next().then(() => {
        hasBegun = true
      })
      // HTTP says `now` when its stream is open; a command in the meantime is before it.
      await eventually(async () => {
        await client.execute(bankAccount, 'follow', open)
        await client.execute(bankAccount, 'follow', deposit(1))
        return hasBegun
      }, 'the stream is open')
      await first
      // That one may have been the last.
      await client.execute(bankAccount, 'follow', deposit(2))
      await next.next()
      const token = live.token()
      leaving.abort()
      let last = await next.next()
      // What had come already may be told.
      while (last.done !== true) last = await next.next()
      t.match(last, { done: true }, 'ends quietly')
      const paid = (await client.execute(bankAccount, 'follow', deposit(3))) as Accepted
      const resumed = client.subscribe({ from: token, until: 'now' })
      const ids: string[] = []
      for await (const { id } of resumed) ids.push(id)
      t.ok(ids.includes(paid.events[0]?.id ?? ''), 'what came meanwhile is told')
      t.ok(
        ids.every(id => id.startsWith('bank_account/follow/')),
        'and nothing from before',
      )
      t.equal(new Set(ids).size, ids.length, 'each once')
      const untilToken: string[] = []
      for await (const { id } of client.subscribe({ from: token, until: paid.token })) untilToken.push(id)
      t.ok(untilToken.includes(paid.events[0]?.id ?? ''), 'until a token')
    }
  })

  await t.test('what does not fit is said', async t => {
    await t.rejects(connect(server.url ?? '', { token: 'another' }), { code: 'UNAUTHORIZED' })
    await t.rejects(connect(server.url ?? ''), { code: 'UNAUTHORIZED' })
    await t.rejects(connect(socketPath, { token }), {
      code: 'INVALID_ARGUMENT',
      message: 'token is given; allowed: only with an address that begins with http',
    })
    await t.rejects(connect(server.url ?? '', { scope: 'other' }), { code: 'INVALID_ARGUMENT' })
    await t.rejects(connect(node.addresses()[0] ?? '', { scope: 'other', timeoutMs: 1000 }), {
      code: /^(CLUSTER_MISMATCH|PEER_UNREACHABLE)$/,
    })
  })
})

t.test('a target that is none of the three is refused', async t => {
  const folder = directoryOf(t)
  const file = join(folder, 'file.txt')
  writeFileSync(file, 'text')
  for (const target of ['', 'localhost:8080', 'ftp://host', 'bank', file, undefined as unknown as string]) {
    await t.rejects(connect(target), {
      code: 'INVALID_ARGUMENT',
      message: /^target is .*; allowed: a multiaddr .*, an address .*, or a socket/,
    })
  }
  const short = { timeoutMs: 2000 }
  await t.rejects(connect(join(folder, 'control.sock'), short), { code: 'NODE_NOT_RUNNING' })
  await t.rejects(connect('http://127.0.0.1:1', short), { code: 'NODE_NOT_RUNNING' })
  await t.rejects(connect('/ip4/127.0.0.1/tcp/1', short), { code: 'PEER_UNREACHABLE' })
  await t.rejects(connect('/ip4/127.0.0.1/tcp/nonsense', short), { code: 'INVALID_ARGUMENT' })
  await t.rejects(connect(folder, { timeoutMs: 0 }), { code: 'NON_POSITIVE_ARGUMENT' })
  const gone = AbortSignal.abort(new Error('changed my mind'))
  await t.rejects(connect(folder, { signal: gone }), { message: 'changed my mind' })
})

t.test('long histories come in pages, also entries of many events, and cut where they may be', async t => {
  const { defineAggregate } = await import('../../src/core/aggregate.ts')
  const many = defineAggregate({
    type: 'many',
    emptyState: 0,
    handle: (
      _state: number,
      command: { readonly type: 'Yield'; readonly data: { readonly count: number } },
    ) => Array.from({ length: command.data.count }, (_, n) => ({ type: 'Yielded' as const, data: { n } })),
    apply: (state: number) => state + 1,
  })
  const node = await createNode({ topic: 'many', dataDirectory: null, aggregates: [many], partitions: 2 })
  t.teardown(() => node.close())
  const client = await connected(t, node.addresses()[0] ?? '')
  for (const id of ['a', 'b', 'c']) {
    await client.execute(many, id, { type: 'Yield', data: { count: 700 } })
    await client.execute(many, id, { type: 'Yield', data: { count: 3 } })
  }
  const seen = new Map<string, number[]>()
  let token = 'start'
  // Taken up again and again in the middle: the events of the command that was cut come again, from its first on.
  for (let turn = 0; turn < 10; turn += 1) {
    const part = client.subscribe({ from: token, until: 'now' })
    let count = 0
    let isCut = false
    for await (const { aggregate, sequence } of part) {
      const known = seen.get(aggregate.id) ?? []
      if (!known.includes(sequence)) seen.set(aggregate.id, [...known, sequence])
      count += 1
      if (count === 800) {
        isCut = true
        break
      }
    }
    token = part.token() === '' ? 'start' : part.token()
    if (!isCut) break
  }
  const wanted = Array.from({ length: 703 }, (_, n) => n + 1)
  for (const id of ['a', 'b', 'c']) t.strictSame(seen.get(id), wanted)
  let filtered = 0
  const none = { eventTypes: ['Nothing'] }
  for await (const _ of client.subscribe({ from: 'start', until: 'now', filter: none })) filtered += 1
  t.equal(filtered, 0, 'a filter that lets nothing through comes to its end')
})

t.test('another member stands in for the one that the client came through', async t => {
  const nodes: GlynNode[] = []
  for (const name of ['a', 'b', 'c']) {
    const bootstrap = nodes.flatMap(node => node.addresses()).slice(0, 1)
    nodes.push(await startNode({ name, bootstrap }))
  }
  const [first, ...others] = nodes
  t.teardown(() => Promise.all(others.map(node => node.close())))
  // What is wanted may still be of the time before the third node.
  await eventually(async () => {
    const placement = await others[0]?.placement()
    return placement?.asWanted === true && placement.partitions.every(({ voters }) => voters.length === 3)
  }, 'replicas are placed')
  const client = await connected(t, first?.addresses()[0] ?? '')
  t.match(await client.execute(bankAccount, 'acc-1', open), { type: 'accepted' })
  const live = client.subscribe({ from: 'start' })
  const seen: string[] = []
  const following = (async () => {
    for await (const { id } of live) {
      seen.push(id)
      if (seen.length === 2) break
    }
  })()
  await eventually(() => seen.length === 1, 'the stream has begun')
  await first?.close()
  t.match(await client.execute(bankAccount, 'acc-1', deposit(5)), { type: 'accepted', sequence: 2 })
  await following
  t.strictSame(seen, ['bank_account/acc-1/1', 'bank_account/acc-1/2'])
  t.match((await client.status()).node.name, /^[bc]$/)
  await eventually(
    async () => (await client.query(balance, 'get', { id: 'acc-1' }))?.amount === 5,
    'another member answers queries',
  )
  await client.close()
  // One that tried on would try for an hour.
  const patient = { timeoutMs: 3_600_000 }
  const refused = { code: /^(SHUTTING_DOWN|UNAVAILABLE)$/ }
  await t.rejects(client.execute(bankAccount, 'acc-1', deposit(1), patient), refused)
  await t.rejects(client.query(balance, 'total', {}, patient), refused)
  await t.rejects(client.publish({ type: 'RateChanged' }), refused)
})
