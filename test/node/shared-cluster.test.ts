// Three nodes on one shared store in memory: Raft elects, the store orders.
import t from 'tap'
import type { EventEnvelope } from '../../src/core/event.ts'
import { subscribeToFeed } from '../../src/node/subscription.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import { send } from '../../src/reaction/actions.ts'
import { defineHandler } from '../../src/reaction/define-handler.ts'
import { defineProcess } from '../../src/reaction/define-process.ts'
import {
  createMemorySharedStore,
  createSharedMemory,
  type SharedMemory,
} from '../../src/store/memory/memory-shared-store.ts'
import type { SharedStore } from '../../src/store/shared-store.ts'
import { createMemoryCluster, eventually, type MemoryNode } from './memory-cluster.ts'

const partitions = 4
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1)
const add = (by: number) => ({ type: 'Add', data: { by } })

async function open(memory: SharedMemory): Promise<SharedStore> {
  const store = createMemorySharedStore({ memory })
  await store.open({ scope: 'default', partitions })
  return store
}

const leads = (node: MemoryNode): number[] =>
  range(partitions).filter(partition => node.parts.table.leaderOf(partition).leader === node.peerId)

async function seen(node: MemoryNode, count: number): Promise<readonly EventEnvelope[]> {
  const stop = AbortSignal.timeout(30_000)
  const events: EventEnvelope[] = []
  const all = subscribeToFeed(node.parts.feed, {
    from: 'start',
    signal: stop,
    partitions: node.parts.dataPartitions(),
    clock: systemClock,
  })
  for await (const event of all) if (events.push(event) >= count) break
  return events
}

t.test(
  'any node takes commands, every node sees each event once, and the leaders of a dead one are others',
  async t => {
    const memory = createSharedMemory()
    const cluster = createMemoryCluster({ partitions, replicas: 3 })
    t.teardown(() => cluster.stop())
    for (const name of ['n0', 'n1', 'n2']) await cluster.start(name, { shared: await open(memory) })
    const [first, second, third] = cluster.nodes as [MemoryNode, MemoryNode, MemoryNode]
    await eventually(() => cluster.nodes.every(node => leads(node).length > 0), 'each leads some')
    const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    await Promise.all(ids.flatMap(id => cluster.nodes.map(node => node.execute(id, add(1)))))
    for (const node of cluster.nodes) {
      const events = await seen(node, 24)
      t.equal(new Set(events.map(({ id }) => id)).size, 24)
      for (const partition of range(partitions)) {
        const indexes = events
          .filter(({ position }) => position.partition === partition)
          .map(({ position }) => position.index)
        t.same(indexes, range(indexes.length), 'in the order of the store, without gaps')
      }
    }
    const victim = leads(second).length > 0 ? second : third
    victim.crash()
    const outcomes = await Promise.all(ids.map(id => first.execute(id, add(1), { commandId: `after-${id}` })))
    t.ok(outcomes.every(outcome => outcome.type === 'accepted' && outcome.sequence === 4))
    const again = await Promise.all(ids.map(id => first.execute(id, add(1), { commandId: `after-${id}` })))
    t.ok(again.every(outcome => outcome.type === 'accepted' && outcome.replayed))
    for (const id of ids) t.same((await first.load(id)).state, { total: 4 })
    t.equal(memory.events, 32)
  },
)

t.test('what others write to the store is seen, and decided on', async t => {
  const memory = createSharedMemory()
  const cluster = createMemoryCluster({ partitions, replicas: 1 })
  t.teardown(() => cluster.stop())
  const node = await cluster.start('n0', { shared: await open(memory) })
  await node.execute('a', add(1))
  const outside = await open(memory)
  const [row] = await outside.readStream({ type: 'counter', id: 'a' }, { fromSequence: 1, limit: 1 })
  await outside.append([
    {
      partition: row?.partition ?? 0,
      aggregate: { type: 'counter', id: 'a' },
      expectedSequence: 1,
      commandId: 'from-outside',
      timeMs: 1,
      metadata: '{}',
      events: [{ type: 'Added', version: 1, data: '{"by":41}' }],
    },
  ])
  t.match((await seen(node, 2)).at(-1), { commandId: 'from-outside' })
  t.same((await node.load('a')).state, { total: 42 })
  t.match(await node.execute('a', { type: 'Add', data: { by: -42 } }), { type: 'accepted', sequence: 3 })
})

t.test('handlers and processes run where their partition leads, and go on from where they were', async t => {
  const memory = createSharedMemory()
  const handled: string[] = []
  const handler = defineHandler({
    name: 'mail',
    startFrom: 'beginning',
    handle: event => void handled.push(event.id),
  })
  const process = defineProcess<{ count: number }>({
    name: 'mirror',
    startFrom: 'beginning',
    emptyState: { count: 0 },
    correlate: event => (event.aggregate.id.startsWith('m-') ? null : event.aggregate.id),
    react: (state, event) => ({
      state: { count: state.count + 1 },
      do: [send('counter', `m-${event.aggregate.id}`, add(1))],
    }),
  })
  const cluster = createMemoryCluster({ partitions, replicas: 3 })
  t.teardown(() => cluster.stop())
  const hosted = { handlers: [handler], processes: [{ definition: process, file: null }] }
  for (const name of ['n0', 'n1', 'n2']) await cluster.start(name, { shared: await open(memory), ...hosted })
  const [first, second] = cluster.nodes as [MemoryNode, MemoryNode, MemoryNode]
  for (const id of ['a', 'b', 'c', 'd']) for (const _ of range(3)) await first.execute(id, add(1))
  const isMirrored = async (count: number): Promise<boolean> => {
    for (const id of ['a', 'b', 'c', 'd']) if ((await first.load(`m-${id}`)).sequence !== count) return false
    return true
  }
  await eventually(() => isMirrored(3), 'every event is mirrored once')
  second.crash()
  for (const id of ['a', 'b', 'c', 'd']) await first.execute(id, add(1))
  await eventually(() => isMirrored(4), 'the next leader goes on')
  await eventually(
    () => new Set(handled).size === 32,
    () => `${new Set(handled).size} of 32 handled`,
  )
  t.equal(memory.events > 32, true, 'how far they are rests in the store')
})

t.test('a store that is away is waited for: nodes stay, and answer when it is back', async t => {
  const memory = createSharedMemory()
  const { GlynError } = await import('../../src/core/errors.ts')
  const store = await open(memory)
  let isAway = false
  const guarded = Object.fromEntries(
    Object.entries(store).map(([name, method]) => [
      name,
      typeof method !== 'function'
        ? method
        : async (...given: unknown[]) => {
            if (isAway) throw new GlynError('UNAVAILABLE', 'store memory: connection refused')
            return await (method as (...all: unknown[]) => unknown)(...given)
          },
    ]),
  ) as unknown as SharedStore
  const cluster = createMemoryCluster({ partitions, replicas: 1 })
  t.teardown(() => cluster.stop())
  const node = await cluster.start('n0', { shared: guarded })
  await node.execute('a', add(1))
  isAway = true
  await t.rejects(node.execute('a', add(1), { commandId: 'x', timeoutMs: 300 }), {
    code: 'UNAVAILABLE',
    message: /connection refused/,
  })
  const waiting = node.execute('a', add(1), { commandId: 'x' })
  isAway = false
  t.match(await waiting, { type: 'accepted', sequence: 2 })
  t.same(node.failures, [])
})
