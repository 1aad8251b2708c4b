// A shared store belongs to one cluster: with another store a node is refused, before it could lead anything on another history.
import { join } from 'node:path'
import t from 'tap'
import { GlynError } from '../../src/core/errors.ts'
import { createNode } from '../../src/node/create-node.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import {
  createMemorySharedStore,
  createSharedMemory,
  type SharedMemory,
} from '../../src/store/memory/memory-shared-store.ts'
import type { SharedStore } from '../../src/store/shared-store.ts'
import { counter, testTiming } from './memory-cluster.ts'

interface Start {
  readonly dataDirectory?: string
  readonly bootstrap?: readonly string[]
  readonly store?: SharedStore
  readonly role?: 'query'
}

const start = (memory: SharedMemory, more: Start = {}): Promise<NodeApi> =>
  createNode({
    topic: 'test',
    dataDirectory: null,
    partitions: 2,
    aggregates: [counter],
    timing: testTiming,
    store: createMemorySharedStore({ memory }),
    ...more,
  })

const add = (node: NodeApi) => node.execute('counter', 'a', { type: 'Add', data: { by: 1 } })
const mismatch = (message: RegExp) => ({ code: 'CLUSTER_MISMATCH', message })

t.test(
  'a node that joins with an empty store, or that of others, is refused, and claims nothing',
  async t => {
    const memory = createSharedMemory()
    const empty = createSharedMemory()
    const first = await start(memory)
    t.teardown(() => first.close())
    t.equal(memory.cluster, first.clusterId, 'who forms the cluster claims the store')
    const bootstrap = first.addresses()
    await t.rejects(
      start(empty, { bootstrap }),
      mismatch(
        new RegExp(`belongs to no cluster yet, and this node to cluster ${first.clusterId}.*--store.*schema`),
      ),
    )
    t.equal(empty.cluster, null)
    const others = createSharedMemory()
    const other = await start(others)
    t.teardown(() => other.close())
    await t.rejects(
      start(others, { bootstrap }),
      mismatch(
        new RegExp(`belongs to cluster ${other.clusterId}, and this node to cluster ${first.clusterId}`),
      ),
    )
    const second = await start(memory, { bootstrap })
    t.teardown(() => second.close())
    t.match(await add(second), { type: 'accepted', sequence: 1 })
  },
)

t.test('a node that comes back does so with the store of its cluster, and with no other', async t => {
  const dataDirectory = join(t.testdir({}), 'a')
  const memory = createSharedMemory()
  const first = await start(memory, { dataDirectory })
  await add(first)
  await first.close()
  await t.rejects(start(createSharedMemory(), { dataDirectory }), mismatch(/belongs to no cluster yet/))
  const others = { ...createSharedMemory(), cluster: 'another' }
  await t.rejects(start(others, { dataDirectory }), mismatch(/belongs to cluster another/))
  const again = await start(memory, { dataDirectory })
  t.teardown(() => again.close())
  t.match(await add(again), { type: 'accepted', sequence: 2 })
})

t.test('a new cluster is not formed on a store that is claimed, until it is handed over', async t => {
  const dataDirectory = join(t.testdir({}), 'a')
  const memory = createSharedMemory()
  const first = await start(memory, { dataDirectory })
  await add(first)
  await first.close()
  await t.rejects(
    start(memory),
    mismatch(
      new RegExp(`belongs to cluster ${first.clusterId}.*would form a new one; join with --bootstrap`),
    ),
  )
  t.equal(memory.cluster, first.clusterId)
  memory.cluster = null
  await t.rejects(start(memory, { role: 'query' }), { code: 'INVALID_ARGUMENT', message: /it forms none/ })
  t.equal(memory.cluster, null, 'who may not form a cluster claims nothing')
  const next = await start(memory)
  t.teardown(() => next.close())
  t.not(next.clusterId, first.clusterId)
  t.match(await add(next), { type: 'accepted', sequence: 2 })
  await t.rejects(
    start(memory, { dataDirectory }),
    mismatch(/belongs to cluster .*, and this node to cluster/),
  )
})

t.test('of two that form a cluster on one store at once, one does', async t => {
  const memory = createSharedMemory()
  const outcomes = await Promise.allSettled([start(memory), start(memory)])
  const nodes = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  t.teardown(() => Promise.all(nodes.map(node => node.close())))
  t.strictSame(
    nodes.map(node => node.clusterId),
    [memory.cluster],
  )
  t.match(
    outcomes.find(({ status }) => status === 'rejected'),
    { reason: { code: 'CLUSTER_MISMATCH' } },
  )
})

/** Its claims are written, and then `fail` ends the call. */
function failing(memory: SharedMemory, fail: () => void): SharedStore {
  const store = createMemorySharedStore({ memory })
  return {
    ...store,
    async cluster(claim) {
      const found = await store.cluster(claim)
      if (claim !== undefined) fail()
      return found
    },
  }
}

t.test('a claim whose answer is lost is made again', async t => {
  const memory = createSharedMemory()
  let calls = 0
  const store = failing(memory, () => {
    calls += 1
    if (calls === 1) throw new GlynError('UNAVAILABLE', 'the connection was lost')
  })
  const node = await start(memory, { store })
  t.teardown(() => node.close())
  t.equal(calls, 2)
  t.equal(node.clusterId, memory.cluster)
})

t.test('a start that ends after its claim is made good by the next, on this store only', async t => {
  const dataDirectory = join(t.testdir({}), 'a')
  const memory = createSharedMemory()
  const store = failing(memory, () => {
    throw new GlynError('EVENT_STORE_ERROR', 'cut off')
  })
  await t.rejects(start(memory, { store, dataDirectory }), { message: 'cut off' })
  const claimed = memory.cluster
  t.type(claimed, 'string')
  await t.rejects(start(memory), mismatch(/would form a new one/), 'it is nobody else’s')
  const node = await start(memory, { dataDirectory })
  t.equal(node.clusterId, claimed)
  await node.close()

  const cutOff = join(t.testdir({}), 'b')
  const left = createSharedMemory()
  const once = failing(left, () => {
    throw new GlynError('EVENT_STORE_ERROR', 'cut off')
  })
  await t.rejects(start(left, { store: once, dataDirectory: cutOff }), { message: 'cut off' })
  const elsewhere = createSharedMemory()
  const moved = await start(elsewhere, { dataDirectory: cutOff })
  t.teardown(() => moved.close())
  t.not(elsewhere.cluster, left.cluster, 'two stores never have one id')
})
