// The HTTP API over its unix socket and over TCP, against one node in memory.
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { GlynError } from '../../src/core/errors.ts'
import type { EventEnvelope } from '../../src/core/event.ts'
import type { EventFilter } from '../../src/core/event-filter.ts'
import { silentLog } from '../../src/core/log.ts'
import { createControlClient } from '../../src/http/control-client.ts'
import { type ControlServerOptions, createControlServer } from '../../src/http/control-server.ts'
import type { NodeApi, ReadOptions } from '../../src/node/node-api.ts'
import { createCoreNode } from '../support/core-node.ts'
import { gather } from '../support/gather.ts'
import { runCli } from '../support/memory-io.ts'

const add = (by: number) => ({ type: 'Add', data: { by } })

async function createFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'glyn-http-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function serve(t: Test, options: Partial<ControlServerOptions> = {}) {
  const node = createCoreNode()
  const socketPath = join(await createFolder(t), 'control.sock')
  const server = await createControlServer({ node, socketPath, log: silentLog, ...options })
  const client = createControlClient({ socketPath })
  t.teardown(async () => {
    await client.close()
    await server.close()
  })
  return { node, server, client, socketPath }
}

t.test('a client gets over the socket what the node says', async t => {
  const { client, node } = await serve(t)
  const outcome = await client.execute('counter', 'a/b ü', add(2), {
    commandId: 'one',
    metadata: { user: 'me' },
    timeoutMs: 50_000,
  })
  t.match(outcome, { type: 'accepted', commandId: 'one', sequence: 1, replayed: false })
  t.match(node.executed[0], {
    key: 'counter/a/b ü',
    options: { timeoutMs: 50_000, metadata: { user: 'me' } },
  })
  t.match(await client.execute('counter', 'a/b ü', add(2), { commandId: 'one' }), {
    replayed: true,
    sequence: 1,
  })
  t.match(await client.execute('counter', 'a/b ü', add(2000)), {
    type: 'rejected',
    code: 'too_much',
    details: { total: 2 },
  })
  t.match(await client.loadAggregate('counter', 'a/b ü'), { sequence: 1, state: { total: 2 } })
  t.match(await client.loadEvents('counter', 'a/b ü'), [{ id: 'counter/a/b ü/1', metadata: { user: 'me' } }])
  t.strictSame(await client.query('sum', 'echo', { limit: 3 }), { limit: 3 })
  t.equal(await client.query('sum', 'none', {}), null)
  t.match(await client.status(), { cluster: { topic: 'events' } })
  t.match(await client.placement(), { nodes: [{ leads: 5 }] })
  await client.removeMember('12D3KooWTest')
})

t.test('a history longer than a page comes whole, and from a sequence on', async t => {
  const { client } = await serve(t)
  for (let i = 0; i < 502; i += 1) await client.execute('counter', 'long', add(1))
  t.equal((await client.loadEvents('counter', 'long')).length, 502)
  t.strictSame(
    (await client.loadEvents('counter', 'long', { fromSequence: 500, limit: 2 })).map(
      event => event.sequence,
    ),
    [500, 501],
  )
})

t.test('failures arrive with code, details and whether a retry helps', async t => {
  const { client, node } = await serve(t)
  await t.rejects(client.execute('countr', 'a', add(1)), {
    code: 'UNKNOWN_AGGREGATE_TYPE',
    details: { allowed: ['counter'] },
  })
  await t.rejects(client.loadAggregate('counter', 'none'), { code: 'ENTITY_NOT_FOUND' })
  await t.rejects(client.removeMember('nobody'), { code: 'ENTITY_NOT_FOUND' })
  node.before(() => {
    throw new GlynError('UNAVAILABLE', 'no majority')
  })
  await t.rejects(client.execute('counter', 'a', add(1)), { code: 'UNAVAILABLE', retryable: true })
  node.before(() => new Promise(() => {}))
  await t.rejects(client.execute('counter', 'a', add(1), { timeoutMs: 1, signal: AbortSignal.timeout(50) }))
})

t.test(
  'a read that finds no majority ends with what the node says, not with the silence of its socket',
  async t => {
    const asked: (number | undefined)[] = []
    /** As a node does that waits for a majority until the caller's deadline. */
    const wait = async (options: ReadOptions = {}): Promise<never> => {
      asked.push(options.timeoutMs)
      await new Promise(resolve => setTimeout(resolve, options.timeoutMs))
      throw new GlynError('UNAVAILABLE', 'partition 1 could not be reached', {
        details: { missing: [{ name: 'b' }] },
      })
    }
    const node: NodeApi = {
      ...createCoreNode(),
      loadAggregate: (_type, _id, options) => wait(options),
      loadEvents: (_type, _id, options) => wait(options),
    }
    const { client, socketPath } = await serve(t, { node })
    const refused = { code: 'UNAVAILABLE', details: { missing: [{ name: 'b' }] } }
    await t.rejects(client.loadAggregate('counter', 'a', { timeoutMs: 200 }), refused)
    await t.rejects(client.loadEvents('counter', 'a', { timeoutMs: 201 }), refused)
    const { code, err } = await runCli(
      dirname(socketPath),
      'state counter a --timeout 202ms --json --data-dir .'.split(' '),
    )
    t.equal(code, 4)
    t.match(JSON.parse(err), { error: refused })
    t.strictSame(asked, [200, 201, 202])
  },
)

t.test('messages and subscribers over HTTP, and mistakes that name the field', async t => {
  const { client, node, server } = await serve(t, { tcp: { host: '127.0.0.1', port: 0 } })
  t.strictSame(await client.publish({ type: 'Look', aggregate: { type: 'counter', id: 'a' } }), {
    id: 'm-1',
    peers: 2,
  })
  t.strictSame(node.published, [{ type: 'Look', data: {}, aggregate: { type: 'counter', id: 'a' } }])
  await t.rejects(client.publish({ type: '' }), { code: 'INVALID_ARGUMENT', message: /message type is ""/ })
  await t.rejects(client.publish({ type: 'Look', aggregate: { type: 'counter', id: '' } }), {
    message: /aggregate id is ""/,
  })
  await t.rejects(client.publish({ type: 'Look', data: 'x'.repeat(70_000) }), { code: 'MESSAGE_TOO_LARGE' })
  const post = async (body: string): Promise<unknown> => {
    const headers = { 'content-type': 'application/json' }
    return await (await request(`${server.url}/v1/messages`, { method: 'POST', headers, body })).body.json()
  }
  t.match(await post('{"type":"Look","dat":1}'), {
    error: { message: /"dat"; allowed: type, data, aggregate/ },
  })
  t.match(await post('[]'), { error: { code: 'INVALID_ARGUMENT', message: /the message is \[\]/ } })
  t.match(await client.subscribers({ timeoutMs: 5000 }), [
    { name: 'test', state: 'known' },
    { name: 'gone', state: 'unknown', error: /5000 ms/ },
  ])
})

t.test('HTTP statuses tell at a glance what happened', async t => {
  const { server } = await serve(t, { tcp: { host: '127.0.0.1', port: 0 } })
  const statusOf = async (method: 'GET' | 'POST', path: string, body?: string): Promise<number> => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const response = await request(`${server.url}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
    })
    await response.body.dump()
    return response.statusCode
  }
  const commands = '/v1/aggregates/counter/a/commands'
  t.equal(await statusOf('POST', commands, '{"command":"Add","data":{"by":1}}'), 200)
  t.equal(await statusOf('POST', commands, '{"command":"Add","data":{"by":1001}}'), 422)
  t.equal(await statusOf('POST', commands, '{"command":"Ad","data":{"by":1}}'), 400)
  t.equal(await statusOf('POST', commands, '{"command":'), 400)
  t.equal(await statusOf('POST', commands, '{"comand":"Add"}'), 400)
  t.equal(await statusOf('POST', commands, `{"command":"Add","data":"${'x'.repeat(3_000_000)}"}`), 413)
  t.equal(await statusOf('POST', '/v1/aggregates/nothing/a/commands', '{"command":"Add"}'), 404)
  t.equal(await statusOf('GET', '/v1/aggregates/counter/none'), 404)
  t.equal(await statusOf('GET', '/v1/aggregates/counter/a/events?from=0'), 400)
  t.equal(await statusOf('GET', '/v1/queries/sum/all'), 200)
  t.equal(await statusOf('GET', '/v1/queries/sum/al'), 404)
  t.equal(await statusOf('GET', '/v2'), 404)
  t.equal(await statusOf('GET', '/healthz'), 200)
  t.equal(await statusOf('GET', '/readyz'), 200)
})

t.test('metrics count commands and look at the node', async t => {
  const { server, client } = await serve(t, { tcp: { host: '127.0.0.1', port: 0 } })
  await client.execute('counter', 'a', add(1))
  await client.publish({ type: 'Look' })
  const text = await (await request(`${server.url}/metrics`)).body.text()
  t.match(text, 'glyn_commands_total{result="accepted"} 1')
  t.match(text, 'glyn_partitions_led 5')
  t.match(text, 'glyn_aggregates_quarantined 0')
  t.match(text, 'glyn_query_lag_entries{query="sum"} 0')
  t.match(text, 'glyn_query_messages{query="sum",result="handled"} 1')
  t.match(text, 'glyn_members{reachable="false"} 0', 'a removed member is nobody whom anyone misses')
  t.match(text, 'process_cpu_seconds_total')
})

t.test('before the node is ready, callers learn how far it is', async t => {
  const socketPath = join(await createFolder(t), 'control.sock')
  const server = await createControlServer({ socketPath, log: silentLog })
  const client = createControlClient({ socketPath })
  t.teardown(() => client.close())
  t.teardown(() => server.close())
  server.progress('joining via /ip4/10.0.0.1/tcp/1')
  await t.rejects(client.status(), { code: 'UNAVAILABLE', message: /joining via \/ip4\/10/ })
  server.attach(createCoreNode())
  t.match(await client.status(), { node: { state: 'ready' } })
})

t.test('off loopback a token is required, and only its owner gets in', async t => {
  const folder = await createFolder(t)
  const tcp = { host: '0.0.0.0', port: 0 }
  await t.rejects(createControlServer({ tcp, log: silentLog }), {
    code: 'INSECURE_LISTEN',
    message: /GLYN_HTTP_TOKEN/,
  })
  const server = await createControlServer({
    node: createCoreNode(),
    socketPath: join(folder, 'control.sock'),
    tcp: { ...tcp, token: 'secret' },
    log: silentLog,
  })
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${new URL(server.url ?? '').port}`
  for (const token of [undefined, 'secre', 'secret2']) {
    const client = createControlClient(token === undefined ? { url } : { url, token })
    await t.rejects(client.status(), { code: 'UNAUTHORIZED' })
    await client.close()
  }
  const client = createControlClient({ url, token: 'secret' })
  t.match(await client.status(), { node: { name: 'test' } })
  await client.close()
  t.equal((await request(`${url}/healthz`)).statusCode, 200)
})

t.test('a page of another name that points to loopback is refused', async t => {
  const { server } = await serve(t, { tcp: { host: '127.0.0.1', port: 0 } })
  const { statusCode } = await request(`${server.url}/v1/cluster`, { headers: { host: 'evil.example' } })
  t.equal(statusCode, 401)
})

t.test(
  'the socket is for its owner, replaces a stale one, and refuses to push a living one away',
  async t => {
    const { socketPath, server } = await serve(t)
    t.equal((await stat(socketPath)).mode & 0o777, 0o600)
    await t.rejects(createControlServer({ node: createCoreNode(), socketPath, log: silentLog }), {
      code: 'ALREADY_RUNNING',
    })
    await server.close()
    await t.rejects(stat(socketPath), { code: 'ENOENT' })

    const folder = await createFolder(t)
    const stale = join(folder, 'control.sock')
    const left = createServer().listen(join(folder, 'left.sock'))
    await new Promise(resolve => left.once('listening', resolve))
    const { link } = await import('node:fs/promises')
    await link(join(folder, 'left.sock'), stale)
    await new Promise(resolve => left.close(resolve))
    const second = await createControlServer({ node: createCoreNode(), socketPath: stale, log: silentLog })
    const client = createControlClient({ socketPath: stale })
    t.match(await client.status(), { node: { name: 'test' } })
    await client.close()
    await second.close()

    const file = join(folder, 'file.sock')
    await writeFile(file, 'mine')
    await t.rejects(createControlServer({ socketPath: file, log: silentLog }), { code: 'INVALID_ARGUMENT' })
  },
)

t.test('a folder with a path longer than a socket address works', async t => {
  const { mkdir } = await import('node:fs/promises')
  const folder = join(await createFolder(t), 'x'.repeat(100), 'y'.repeat(100))
  await mkdir(folder, { recursive: true })
  const socketPath = join(folder, 'control.sock')
  const { server, client: other } = await serve(t, { socketPath })
  await other.close()
  const client = createControlClient({ socketPath })
  t.match(await client.status(), { node: { name: 'test' } })
  t.ok((await stat(socketPath)).isSocket())
  await client.close()
  await server.close()
  await t.rejects(stat(socketPath), { code: 'ENOENT' })
})

t.test('no node at the socket, a foreign socket: each has its own words', async t => {
  const folder = await createFolder(t)
  const none = createControlClient({ socketPath: join(folder, 'control.sock') })
  await t.rejects(none.status(), { code: 'NODE_NOT_RUNNING', message: /glyn-node start/ })
  await none.close()
  t.throws(() => createControlClient({ url: 'localhost:1' }), { code: 'INVALID_ARGUMENT' })
  await chmod(folder, 0o700)
})

t.test('the stream of all events', async t => {
  t.test('begins at the start, at now or at a token, and ends at now when asked', async t => {
    const { client } = await serve(t)
    const first = await client.execute('counter', 'a', add(1))
    await client.execute('counter', 'a', add(2))
    const read = async (from: string): Promise<unknown[]> => {
      const data: unknown[] = []
      const signal = AbortSignal.timeout(60_000)
      for await (const event of client.subscribe({ from, until: 'now', signal })) data.push(event.data)
      t.notOk(signal.aborted)
      return data
    }
    t.strictSame(await read('start'), [{ by: 1 }, { by: 2 }])
    t.strictSame(await read('now'), [])
    t.strictSame(await read(first.type === 'accepted' ? first.token : ''), [{ by: 2 }])
    await t.rejects(read('yesterday'), { code: 'INVALID_ARGUMENT' })
  })

  t.test(
    'goes on without a gap or a duplicate when the server is replaced, also within an entry',
    async t => {
      const { node, server, client, socketPath } = await serve(t)
      for (const id of ['a', 'b']) await client.execute('counter', id, { type: 'AddTwice', data: { by: 1 } })
      const seen: EventEnvelope[] = []
      const stop = new AbortController()
      const events = client.subscribe({ from: 'start', signal: stop.signal })[Symbol.asyncIterator]()
      const take = async (): Promise<void> => {
        const { value } = await events.next()
        seen.push(value)
      }
      for (let i = 0; i < 3; i += 1) await take()
      await server.close()
      const second = await createControlServer({ node, socketPath, log: silentLog })
      t.teardown(() => second.close())
      await node.execute('counter', 'c', add(5))
      await take()
      await take()
      t.strictSame(
        seen.map(event => event.id),
        ['counter/a/1', 'counter/a/2', 'counter/b/1', 'counter/b/2', 'counter/c/1'],
      )
      stop.abort()
      t.match(await events.next(), { done: true })
    },
  )

  t.test('of some aggregates or events only, and with a token to go on from', async t => {
    const { client, node } = await serve(t)
    await node.execute('counter', 'a', { type: 'AddTwice', data: { by: 1 } })
    await node.execute('counter', 'b', add(2))
    const read = async (filter: EventFilter, from = 'start') => {
      const events = client.subscribe({ from, until: 'now', filter })
      return { ids: (await gather(events)).map(({ id }) => id), token: events.token() }
    }
    const all = await read({ aggregateTypes: ['counter', 'other'], eventTypes: ['Added'] })
    t.same(all.ids, ['counter/a/1', 'counter/a/2', 'counter/b/1'])
    t.same((await read({ eventTypes: ['Removed'] })).ids, [])
    t.same((await read({ aggregateTypes: ['other'] })).ids, [])
    await t.rejects(read({ aggregateTypes: [] }), {
      code: 'INVALID_ARGUMENT',
      message: /aggregateTypes is \[\]/,
    })
    // A stream does not know whether an entry is over: it begins again with the last one.
    t.same((await read({}, all.token)).ids.at(-1), 'counter/b/1')
    t.equal(client.subscribe({ from: 'start' }).token(), '')
  })

  t.test('a reader that does not read holds the subscription back', async t => {
    const { node, server } = await serve(t, { tcp: { host: '127.0.0.1', port: 0 } })
    for (let i = 0; i < 400; i += 1) {
      await node.execute('counter', `a${i}`, { type: 'Add', data: { by: 0, text: 'x'.repeat(100_000) } })
    }
    let yielded = 0
    const { subscribe } = node
    Object.assign(node, {
      async *subscribe(options: Parameters<typeof subscribe>[0]) {
        for await (const event of subscribe(options)) {
          yielded += 1
          yield { ...event, data: { text: 'x'.repeat(100_000) } }
        }
      },
    })
    const response = await request(`${server.url}/v1/events`)
    const reader = response.body[Symbol.asyncIterator]()
    await reader.next()
    let before = -1
    // Waits until the server has stopped asking for more, which it does long before the end.
    while (before !== yielded) {
      before = yielded
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    t.ok(yielded < 200, `${yielded} of 400`)
    response.body.destroy()
  })
})
