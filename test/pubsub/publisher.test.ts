// The publisher: few and full messages, only of what is committed.
import t from 'tap'
import { limits } from '../../src/core/limits.ts'
import { silentLog } from '../../src/core/log.ts'
import { createMemoryNetwork } from '../../src/mesh/memory/memory-mesh.ts'
import { createPublisher, type Publisher } from '../../src/pubsub/publisher.ts'
import { decodeTopicMessage, type TopicMessage, type WireMessage } from '../../src/pubsub/topic-message.ts'
import type { Entry } from '../../src/raft/entry.ts'
import { createManualClock, type ManualClock } from '../mesh/manual-clock.ts'
import { entryAt } from './entries.ts'

const gossipBytesMax = 64 * 1024

interface Setting {
  readonly clock: ManualClock
  readonly publisher: Publisher
  /** What another peer heard, with its size. */
  readonly heard: { readonly message: TopicMessage; readonly bytes: number }[]
  /** How often entries were read. */
  reads(): number
  /** Breaks the connection to the other peer, or makes it again. */
  setConnected(isConnected: boolean): Promise<void>
}

async function setting(entryOf: (index: number) => Entry = entryAt): Promise<Setting> {
  const clock = createManualClock()
  const network = createMemoryNetwork({ clock })
  const [mesh, other] = [network.createMesh({ peerId: 'a' }), network.createMesh({ peerId: 'b' })]
  const heard: Setting['heard'] = []
  const topic = '/glyn/s/t'
  other.subscribe(topic, {
    validate: () => 'accept',
    handle: (_, data) => heard.push({ message: decodeTopicMessage(data), bytes: data.length }),
  })
  await Promise.all([mesh.start(), other.start()])
  mesh.setMembers([{ peerId: 'b', addresses: ['/memory/b'] }])
  await clock.advance(1)
  let reads = 0
  const setConnected = async (isConnected: boolean): Promise<void> => {
    if (isConnected) network.heal('a', 'b')
    else network.cut('a', 'b')
    await clock.advance(60_000)
  }
  const publisher = createPublisher({
    mesh,
    clock,
    log: silentLog,
    topic,
    clusterId: () => 'c1',
    entries(_, { from, to, bytesMax }) {
      reads += 1
      const entries: Entry[] = []
      let bytes = 0
      for (let index = from; index <= to; index += 1) {
        const entry = entryOf(index)
        bytes += entry.payload.length
        if (bytes > bytesMax && entries.length > 0) break
        entries.push(entry)
      }
      return entries
    },
  })
  return { clock, publisher, heard, reads: () => reads, setConnected }
}

const indexesOf = (message: TopicMessage | undefined): string =>
  (message?.groups ?? [])
    .map(({ partition, entries }) => `${partition}:${entries.map(({ index }) => index).join('+')}`)
    .join(' ')

t.test('nothing is published before something is committed', async t => {
  const { clock, heard } = await setting()
  await clock.advance(10_000)
  t.equal(heard.length, 0)
})

t.test('an idle node tells at once', async t => {
  const { clock, publisher, heard } = await setting()
  await clock.advance(1000)
  publisher.committed(3, { from: 5, to: 6, term: 2 })
  await clock.advance(6)
  t.equal(heard.length, 1)
  t.same(heard[0]?.message.heads, [{ partition: 3, term: 2, index: 6 }])
  t.equal(heard[0]?.message.clusterId, 'c1')
  t.equal(indexesOf(heard[0]?.message), '3:5+6')
})

t.test(
  'a node that nobody listens to reads and signs nothing; from then on that somebody does, all is told',
  async t => {
    const { clock, publisher, heard, reads, setConnected } = await setting()
    await setConnected(false)
    publisher.committed(1, { from: 1, to: 1, term: 1 })
    await clock.advance(1000)
    t.same([heard.length, reads()], [0, 0])
    await setConnected(true)
    publisher.committed(1, { from: 2, to: 2, term: 1 })
    await clock.advance(6)
    t.equal(indexesOf(heard[0]?.message), '1:2')
  },
)

t.test('all partitions and all commits of a flush travel in one message', async t => {
  const { clock, publisher, heard } = await setting()
  await clock.advance(1000)
  publisher.committed(1, { from: 1, to: 1, term: 2 })
  publisher.committed(2, { from: 9, to: 9, term: 4 })
  publisher.committed(1, { from: 2, to: 3, term: 2 })
  await clock.advance(6)
  t.equal(heard.length, 1)
  t.same(heard[0]?.message.heads, [
    { partition: 1, term: 2, index: 3 },
    { partition: 2, term: 4, index: 9 },
  ])
  t.equal(indexesOf(heard[0]?.message), '1:1+2+3 2:9')
})

t.test('a busy node publishes a bounded number of messages, whatever it commits', async t => {
  const { clock, publisher, heard } = await setting()
  for (let index = 1; index <= 1000; index += 1) {
    publisher.committed(1 + (index % 8), { from: Math.ceil(index / 8), to: Math.ceil(index / 8), term: 1 })
    await clock.advance(1)
  }
  await clock.advance(100)
  t.ok(heard.length <= 20, `${heard.length} messages in a second`)
  const said = new Set(
    heard.flatMap(({ message }) => message.heads.map(({ partition, index }) => `${partition}:${index}`)),
  )
  t.ok(said.has('1:125') && said.has('8:125'), 'the last commit of every partition was told')
})

t.test(
  'past the budget a message says only how far the partitions are, and it is never too large',
  async t => {
    const { clock, publisher, heard } = await setting(index => entryAt(index, 10_000))
    await clock.advance(1000)
    for (let partition = 1; partition <= 32; partition += 1)
      publisher.committed(partition, { from: 1, to: 40, term: 1 })
    await clock.advance(6)
    t.equal(heard.length, 1)
    t.equal(heard[0]?.message.heads.length, 32)
    t.ok((heard[0]?.message.groups.length ?? 0) < 32)
    t.ok((heard[0]?.bytes ?? 0) <= gossipBytesMax, `${heard[0]?.bytes} bytes`)
  },
)

t.test('one entry larger than a message is told by its head', async t => {
  const { clock, publisher, heard } = await setting(index => entryAt(index, 900_000))
  await clock.advance(1000)
  publisher.committed(1, { from: 1, to: 1, term: 1 })
  await clock.advance(6)
  t.same(heard[0]?.message, {
    clusterId: 'c1',
    heads: [{ partition: 1, term: 1, index: 1 }],
    groups: [],
    messages: [],
  })
})

t.test('entries that do not join on to what waits replace it: a message holds no gap', async t => {
  const { clock, publisher, heard } = await setting()
  await clock.advance(1000)
  publisher.committed(1, { from: 1, to: 2, term: 1 })
  publisher.committed(1, { from: 7, to: 8, term: 3 })
  await clock.advance(6)
  t.equal(indexesOf(heard[0]?.message), '1:7+8')
  t.same(heard[0]?.message.heads, [{ partition: 1, term: 3, index: 8 }])
})

const wire = (n: number, bytes = 2): WireMessage => ({
  id: `m-${n}`,
  type: 'Look',
  data: JSON.stringify('x'.repeat(bytes - 2)),
  aggregate: null,
  timeMs: n,
})

t.test(
  'messages to queries travel with what was committed, in order, and say when they are sent',
  async t => {
    const { clock, publisher, heard } = await setting()
    await clock.advance(1000)
    const sent = [publisher.publish(wire(1)), publisher.publish(wire(2))]
    publisher.committed(1, { from: 1, to: 1, term: 2 })
    await clock.advance(6)
    t.same(await Promise.all(sent), [1, 1])
    t.equal(heard.length, 1)
    t.same(heard[0]?.message.messages, [wire(1), wire(2)])
    t.equal(indexesOf(heard[0]?.message), '1:1')
  },
)

t.test('many messages take many flushes, in order; too many are refused', async t => {
  const { clock, publisher, heard } = await setting()
  const size = limits.messageBytesMax
  const outcomes: (number | string)[] = []
  for (let n = 0; n < 40; n += 1) {
    void publisher.publish(wire(n, size)).then(
      peers => outcomes.push(peers),
      (error: { code: string }) => outcomes.push(error.code),
    )
  }
  await clock.advance(10_000)
  const refused = outcomes.filter(outcome => outcome === 'OVERLOADED').length
  const arrived = heard.flatMap(({ message }) => message.messages.map(({ id }) => id))
  t.ok(refused > 20 && arrived.length + refused === 40, `${refused} refused, ${arrived.length} arrived`)
  t.same(
    arrived,
    arrived.map((_, n) => `m-${n}`),
  )
  t.ok(heard.length >= arrived.length, `${heard.length} flushes`)
  t.ok(heard.every(({ bytes }) => bytes < 300 * 1024))
  // What was sent makes room.
  const late = publisher.publish(wire(99))
  await clock.advance(200)
  t.equal(await late, 1)
})

t.test('a publisher that stopped is silent', async t => {
  const { clock, publisher, heard } = await setting()
  publisher.committed(1, { from: 1, to: 1, term: 1 })
  publisher.stop()
  publisher.committed(1, { from: 2, to: 2, term: 1 })
  await clock.advance(1000)
  t.equal(heard.length, 0)
})

t.test('what waits when it stops is refused', async t => {
  const { publisher } = await setting()
  const waiting = publisher.publish(wire(1))
  publisher.stop()
  await t.rejects(waiting, { code: 'SHUTTING_DOWN' })
  await t.rejects(publisher.publish(wire(2)), { code: 'SHUTTING_DOWN' })
})
