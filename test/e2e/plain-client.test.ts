// Somebody else's program on the topic: libp2p and gossipsub from npm and a generic reader of protobuf, driven by the
// published schema, and nothing of ours but the names that docs/pubsub.md gives.
import { type GossipSub, gossipsub, type Message } from '@chainsafe/libp2p-gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import t, { type Test } from 'tap'
import type { QueryMessage } from '../../src/core/query-message.ts'
import { createNode } from '../../src/node/create-node.ts'
import { defineQuery } from '../../src/query/define-query.ts'
import { counter, eventually } from '../node/memory-cluster.ts'
import { loadSchema } from '../support/load-schema.ts'

const schema = await loadSchema('pubsub/topic-message.proto')
const topicMessage = schema.lookupType('glyn.pubsub.TopicMessage')
const record = schema.lookupType('glyn.store.Record')
const entryKind = schema.lookupEnum('glyn.store.Kind').values

/** What our test reads of a message of the topic: numbers may be 64 bits wide. */
interface Decoded {
  readonly clusterId: string
  readonly heads: readonly { readonly partition: number; readonly term: number; readonly index: number }[]
  readonly groups: readonly {
    readonly partition: number
    readonly entries: readonly {
      readonly index: number
      readonly kind: number
      readonly payload: Uint8Array
    }[]
  }[]
  readonly messages: readonly Readonly<Record<string, unknown>>[]
}

interface DecodedRecord {
  readonly aggregateType: string
  readonly aggregateId: string
  readonly commandId: string
  readonly firstSequence: number
  readonly events: readonly { readonly type: string; readonly data: string }[]
}

interface SeenEvent {
  readonly aggregate: string
  readonly sequence: number
  readonly type: string
  readonly data: unknown
  readonly commandId: string
}

const decode = (data: Uint8Array): Decoded =>
  topicMessage.toObject(topicMessage.decode(data), { longs: Number, arrays: true, defaults: true }) as Decoded

function eventsOf({ groups }: Decoded): SeenEvent[] {
  const commands = groups.flatMap(({ entries }) =>
    entries.filter(({ kind }) => kind === entryKind['COMMAND']),
  )
  return commands.flatMap(({ payload }) => {
    const { aggregateType, aggregateId, commandId, firstSequence, events } = record.toObject(
      record.decode(payload),
      { longs: Number, arrays: true, defaults: true },
    ) as DecodedRecord
    return events.map(({ type, data }, place) => ({
      aggregate: `${aggregateType}/${aggregateId}`,
      sequence: firstSequence + place,
      type,
      data: JSON.parse(data) as unknown,
      commandId,
    }))
  })
}

async function startPlainClient(t: Test, topic: string, address: string) {
  const libp2p = await createLibp2p<{ identify: never; pubsub: GossipSub }>({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify() as never,
      pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) as never,
    },
  })
  t.teardown(() => libp2p.stop())
  const { pubsub } = libp2p.services
  const messages: Message[] = []
  pubsub.addEventListener('message', ({ detail }) => {
    if (detail.topic === topic) messages.push(detail)
  })
  pubsub.subscribe(topic)
  await libp2p.dial(multiaddr(address))
  await eventually(() => pubsub.getSubscribers(topic).length === 1, 'the client and the node know each other')
  return {
    peerId: libp2p.peerId.toString(),
    messages,
    decoded: () => messages.map(({ data }) => decode(data)),
    publish: (data: Uint8Array) => pubsub.publish(topic, data),
  }
}

t.test('a plain client on the topic of a node on loopback', async t => {
  const heard: QueryMessage[] = []
  const node = await createNode({
    topic: 'bank_events',
    scope: 'bank',
    dataDirectory: null,
    partitions: 2,
    aggregates: [counter],
    queries: [defineQuery({ name: 'listener', handle() {}, onMessage: message => void heard.push(message) })],
  })
  t.teardown(() => node.close())
  const address = node.addresses()[0] ?? ''
  const topic = '/glyn/bank/bank_events'
  const client = await startPlainClient(t, topic, address)
  let sent = 0

  // Gossip is a hint, and the first may be lost: so it is sent again until one has come.
  await eventually(async () => {
    sent += 1
    await node.execute('counter', 'acc-1', { type: 'Add', data: { by: 1 } })
    return client.decoded().some(message => eventsOf(message).length > 0)
  }, 'events arrive')

  t.test('receives what is committed, and decodes it with the published schema', async t => {
    const outcome = await node.execute('counter', 'acc-2', { type: 'Add', data: { by: 7 } })
    if (outcome.type !== 'accepted') throw new Error(outcome.message)
    const { commandId, position } = outcome
    const find = (): Decoded | undefined =>
      client.decoded().find(message => eventsOf(message).some(event => event.commandId === commandId))
    await eventually(() => find() !== undefined, 'the event arrives')
    const message = find()
    if (message === undefined) throw new Error('it was there')
    t.equal(message.clusterId, node.clusterId)
    t.strictSame(
      eventsOf(message).find(event => event.commandId === commandId),
      { aggregate: 'counter/acc-2', sequence: 1, type: 'Added', data: { by: 7 }, commandId },
    )
    const head = message.heads.find(({ partition }) => partition === position.partition)
    t.ok(head !== undefined && head.index >= position.index && head.term >= 1, JSON.stringify(head))
    const sequences = client
      .decoded()
      .flatMap(eventsOf)
      .filter(({ aggregate }) => aggregate === 'counter/acc-1')
      .map(({ sequence }) => sequence)
    t.ok(sequences.every(sequence => sequence >= 1 && sequence <= sent))
    const author = client.messages.at(-1)
    t.ok(author?.type === 'signed' && author.from.toString() === node.peerId, 'signed by the node')
  })

  t.test('receives messages to queries', async t => {
    const aggregate = { type: 'counter', id: 'acc-1' }
    const { id } = await node.publish({ type: 'Look', data: { deep: [1] }, aggregate })
    const find = () =>
      client
        .decoded()
        .flatMap(({ messages }) => messages)
        .find(message => message['id'] === id)
    await eventually(() => find() !== undefined, 'the message arrives')
    t.match(find(), {
      type: 'Look',
      data: '{"deep":[1]}',
      aggregateType: 'counter',
      aggregateId: 'acc-1',
      timeMs: Number,
    })
  })

  t.test(
    'may not publish: what it says is heard by nobody, not even in the words of the cluster',
    async t => {
      const other = await startPlainClient(t, topic, address)
      await eventually(async () => {
        await node.publish({ type: 'AreYouThere' })
        return other.messages.length > 0
      }, 'the other client is there')
      const before = await node.status()
      const messages = [{ id: 'forged', type: 'Forged', data: '{}', timeMs: Date.now() }]
      const heads = [{ partition: 1, term: 99, index: 1_000_000 }]
      for (const forged of [{ messages }, { heads }, { heads, messages }]) {
        const bytes = topicMessage.encode(topicMessage.fromObject({ clusterId: node.clusterId, ...forged }))
        const { recipients } = await client.publish(bytes.finish())
        t.equal(recipients.length, 1, 'it was sent to the node')
      }
      // What the node publishes after it has come, in order, on the same streams.
      const { id } = await node.publish({ type: 'AfterTheForged' })
      const has = (messages: readonly Decoded[], wanted: string): boolean =>
        messages.flatMap(message => message.messages).some(message => message['id'] === wanted)
      await eventually(
        () => has(other.decoded(), id) && heard.some(message => message.id === id),
        'what is real arrives',
      )
      t.notOk(has(other.decoded(), 'forged'), 'not passed on')
      t.notOk(heard.some(message => message.id === 'forged'))
      const after = await node.status()
      t.strictSame(
        after.partitions.map(({ term, commitIndex }) => [term, commitIndex]),
        before.partitions.map(({ term, commitIndex }) => [term, commitIndex]),
      )
    },
  )
})
