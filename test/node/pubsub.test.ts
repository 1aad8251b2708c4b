// PubSub for users on two real nodes in one process: messages to the queries of all, and who runs which.
import t from 'tap'
import { GlynError } from '../../src/core/errors.ts'
import type { QueryMessage } from '../../src/core/query-message.ts'
import { createNode } from '../../src/node/create-node.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import { createSubscribers } from '../../src/node/subscribers.ts'
import { defineQuery } from '../../src/query/define-query.ts'
import { counter, eventually } from './memory-cluster.ts'

interface Told {
  readonly node: NodeApi
  readonly heard: QueryMessage[]
}

async function startNode(name: string, bootstrap: readonly string[] = []): Promise<Told> {
  const heard: QueryMessage[] = []
  const listener = defineQuery({
    name: 'listener',
    handle() {},
    onMessage: message => void heard.push(message),
  })
  const quiet = defineQuery({ name: 'quiet', version: 3, handle() {} })
  const node = await createNode({
    topic: 'test',
    dataDirectory: null,
    partitions: 2,
    name,
    bootstrap,
    aggregates: [counter],
    queries: name === 'a' ? [listener, quiet] : [listener],
  })
  return { node, heard }
}

t.test('two nodes', async t => {
  const a = await startNode('a')
  t.teardown(() => a.node.close())
  const b = await startNode('b', a.node.addresses())
  t.teardown(() => b.node.close())
  const both = [a, b]

  t.test('a message is told to the queries of all nodes, the publishing one among them, once', async t => {
    const message = { type: 'Look', data: { n: 1 }, aggregate: { type: 'counter', id: 'x' } }
    // Gossip may not have found its way yet: at most once is what is promised.
    await eventually(async () => {
      await b.node.publish({ type: 'AreYouThere' })
      return both.every(({ heard }) => heard.length > 0)
    }, 'both hear b')
    const { id, peers } = await b.node.publish(message)
    t.equal(peers, 1)
    await eventually(() => both.every(({ heard }) => heard.some(one => one.id === id)), 'both have it')
    for (const { heard } of both) {
      const found = heard.filter(one => one.id === id)
      t.equal(found.length, 1)
      t.match(found[0], { ...message, publisher: b.node.peerId, time: /^20\d\d-.*Z$/ })
    }
    t.strictSame(
      a.heard.find(one => one.id === id),
      b.heard.find(one => one.id === id),
    )
    const events = a.node.subscribe({ from: 'start', until: 'now' })
    for await (const event of events) t.fail(`it is stored: ${event.id}`)
  })

  t.test('what is no message is refused, and told to nobody', async t => {
    for (const wrong of [
      null,
      { type: 'Look', date: 1 },
      { type: 'x'.repeat(300) },
      { type: 'Look', data: 1n },
    ])
      await t.rejects(a.node.publish(wrong as never), { code: 'INVALID_ARGUMENT' })
    await t.rejects(a.node.publish({ type: 'Look', data: 'x'.repeat(70_000) }), { code: 'MESSAGE_TOO_LARGE' })
    // What b has said before may still come.
    t.strictSame(
      a.heard.filter(({ publisher }) => publisher !== b.node.peerId),
      [],
    )
  })

  t.test('subscribers: every node says which queries it runs', async t => {
    let subscribers = await b.node.subscribers()
    await eventually(
      async () => {
        subscribers = await b.node.subscribers()
        const queries = subscribers.flatMap(node => node.queries)
        return queries.length === 3 && queries.every(({ state, lag }) => state === 'running' && lag === 0)
      },
      () => `all three run and have seen everything: ${JSON.stringify(subscribers)}`,
    )
    t.match(subscribers, [
      {
        peerId: a.node.peerId,
        name: 'a',
        state: 'known',
        error: null,
        queries: [
          { name: 'listener', version: 1, state: 'running', lag: 0, messages: { failed: 0, dropped: 0 } },
          { name: 'quiet', version: 3, state: 'running', lag: 0, messages: undefined },
        ],
      },
      { peerId: b.node.peerId, name: 'b', state: 'known', queries: [{ name: 'listener' }] },
    ])
    await t.rejects(b.node.subscribers({ timeoutMs: 0 }), { code: 'NON_POSITIVE_ARGUMENT' })
  })

  t.test('a subscription ends with SHUTTING_DOWN when its node closes, waiting or in the middle', async t => {
    for (const by of [1, 2, 3]) await b.node.execute('counter', 'x', { type: 'Add', data: { by } })
    const before = b.node.subscribe({ from: 'start' })
    for await (const event of before) if (event.sequence === 3) break
    const reading = b.node.subscribe({ from: 'start' })[Symbol.asyncIterator]()
    t.match(await reading.next(), { value: { sequence: 1 } })
    const waiting = b.node.subscribe({ from: 'now' })[Symbol.asyncIterator]().next()
    const refused = t.rejects(waiting, { code: 'SHUTTING_DOWN', retryable: true })
    await b.node.close()
    await refused
    await t.rejects(reading.next(), { code: 'SHUTTING_DOWN' })
    await t.rejects(b.node.publish({ type: 'Look' }), { code: 'SHUTTING_DOWN' })
    const left = await a.node.subscribers()
    t.match(left, [
      { name: 'a', state: 'known' },
      { name: 'b', state: 'unknown', queries: [], error: /./ },
    ])
  })
})

t.test('a node that does not answer in time is unknown; others are not waited for', async t => {
  const nodes = new Map(
    ['a', 'b', 'c'].map(name => [
      `peer-${name}`,
      {
        peerId: `peer-${name}`,
        storageId: 's',
        name,
        role: 'full' as const,
        state: name === 'c' ? ('removed' as const) : ('active' as const),
        addresses: [],
      },
    ]),
  )
  let served: ((from: string, body: Uint8Array) => unknown) | undefined
  const subscribers = createSubscribers({
    self: 'peer-a',
    rpc: {
      serve: (_, handler) => {
        served = handler
      },
      request: async (peer, _, __, { timeoutMs }) => {
        throw new GlynError('TIMEOUT', `node.queries: ${peer} did not answer within ${timeoutMs} ms`)
      },
      close() {},
    },
    state: () => ({ settings: undefined, nodes, wanted: new Map() }),
    isConnected: () => true,
    queries: () => [],
  })
  t.strictSame(await subscribers.list({ timeoutMs: 70 }), [
    { peerId: 'peer-a', name: 'a', state: 'known', queries: [], error: null },
    {
      peerId: 'peer-b',
      name: 'b',
      state: 'unknown',
      queries: [],
      error: 'it did not answer within 70 ms',
    },
  ])
  for (const stranger of ['peer-c', 'peer-z'])
    t.throws(() => served?.(stranger, new Uint8Array()), { code: 'MEMBER_REMOVED' })
})
