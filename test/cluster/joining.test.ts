// Forming, joining, coming back, being removed: on a cluster in memory, with the real parts.
import t from 'tap'
import type { LogFields } from '../../src/core/log.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Accepted } from '../../src/core/outcome.ts'
import { createRpc } from '../../src/mesh/create-rpc.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { createMemoryCluster, eventually } from '../node/memory-cluster.ts'
import { settle } from '../node/settle.ts'
import { add, leaderOf, required, startCluster } from '../node/steering.ts'

t.test('one node is a cluster; a second listens, a third makes three voters', async t => {
  const cluster = createMemoryCluster({ partitions: 3 })
  t.teardown(() => cluster.stop())
  const sizes = async (): Promise<readonly string[]> => {
    await settle(cluster)
    return [1, 2, 3].map(partition => {
      const { voters, learners } = required(
        leaderOf(cluster, partition)?.parts.engine.status(partition),
      ).configuration
      return `${voters.length}+${learners.length}`
    })
  }
  await cluster.start('node-1')
  t.same(await sizes(), ['1+0', '1+0', '1+0'])
  const before = (await required(cluster.nodes[0]).execute('a', add(1))) as Accepted
  t.equal(before.replicas, 1)
  await cluster.start('node-2')
  t.same(await sizes(), ['1+1', '1+1', '1+1'])
  await cluster.start('node-3')
  t.same(await sizes(), ['3+0', '3+0', '3+0'])
  const newest = required(cluster.nodes[2])
  t.match(await newest.load('a'), { state: { total: 1 } }, 'what was there before it came')
  const after = (await newest.execute('a', add(1))) as Accepted
  t.ok(after.replicas >= 2)
})

t.test('commands go on while nodes join', async t => {
  const cluster = createMemoryCluster({ partitions: 3 })
  t.teardown(() => cluster.stop())
  const first = await cluster.start('node-1')
  let isOver = false
  let count = 0
  const client = (async () => {
    while (!isOver) {
      await first.execute('a', add(1))
      count += 1
    }
  })()
  for (const name of ['node-2', 'node-3', 'node-4']) {
    const before = count
    await cluster.start(name)
    await settle(cluster)
    t.ok(count > before, `${count - before} commands while ${name} joined`)
  }
  isOver = true
  await client
  for (const node of cluster.nodes) t.same((await node.load('a')).state, { total: count }, node.peerId)
})

t.test('who asks for another topic or scope is refused with both', async t => {
  const cluster = createMemoryCluster({ partitions: 1 })
  t.teardown(() => cluster.stop())
  await cluster.start('node-1')
  const wrong = [
    {
      wanted: { topic: 'orders', scope: 'default' },
      message: /test-cluster has the topic test, the joining node asks for orders; .*--topic test/,
    },
    {
      wanted: { topic: 'test', scope: 'shop' },
      message: /the scope default, the joining node asks for shop/,
    },
  ]
  for (const [place, { wanted, message }] of wrong.entries()) {
    await t.rejects(cluster.start(`wrong-${place}`, { wanted }), { code: 'CLUSTER_MISMATCH', message })
    t.equal(required(cluster.nodes[0]).parts.state().nodes.has(`wrong-${place}`), false)
  }
})

t.test('a known identity with another storage is refused: it forgot its votes', async t => {
  const cluster = await startCluster(2, { partitions: 1 })
  t.teardown(() => cluster.stop())
  const second = required(cluster.nodes[1])
  const { storageId } = second.store
  second.crash()
  const store = createMemoryStore()
  await t.rejects(cluster.start('node-2', { store }), {
    code: 'IDENTITY_MISMATCH',
    message: new RegExp(`node-2 is known with storage ${storageId} and comes with ${store.storageId}`),
  })
})

t.test('nobody joins in the name of another', async t => {
  const cluster = await startCluster(2, { partitions: 1 })
  t.teardown(() => cluster.stop())
  const [first, second] = cluster.nodes
  const known = required(required(first).parts.state().nodes.get(required(second).peerId))
  const mesh = cluster.network.createMesh({ peerId: 'stranger' })
  await mesh.start()
  const rpc = createRpc({ mesh, clock: systemClock })
  t.teardown(async () => {
    rpc.close()
    await mesh.stop()
  })
  await mesh.connect('/memory/node-1', { signal: AbortSignal.timeout(60_000) })
  const node = { ...known, addresses: ['/memory/stranger'] }
  const body = new TextEncoder().encode(JSON.stringify({ topic: 'test', scope: 'default', node }))
  await t.rejects(rpc.request('node-1', 'cluster.join', body, { timeoutMs: 60_000 }), {
    code: 'INVALID_ARGUMENT',
    message: 'peerId is node-2; allowed: stranger, who asks to join',
  })
  t.same(required(first).parts.state().nodes.get('node-2'), known)
})

t.test('a node that the others cannot do without is not removed', async t => {
  const cluster = createMemoryCluster({ partitions: 12 })
  t.teardown(() => cluster.stop())
  const first = await cluster.start('node-1')
  const remove = (peerId: string): Promise<void> =>
    required(cluster.nodes[0]).parts.controller.submit({ type: 'remove-node', peerId }, { timeoutMs: 60_000 })
  await t.rejects(remove('node-1'), {
    code: 'INVALID_ARGUMENT',
    message: /node-1 is the last one that holds replicas/,
  })
  // Of two nodes one votes: its partitions would be gone with it.
  await cluster.start('node-2')
  await settle(cluster)
  const voted = first.parts
    .dataPartitions()
    .filter(partition => first.parts.state().wanted.get(partition)?.voters[0]?.startsWith('node-2/') === true)
  t.ok(voted.length > 0)
  await t.rejects(remove('node-2'), {
    code: 'INVALID_ARGUMENT',
    message: new RegExp(`no majority of the voters is left of partition (0, the controller, )?${voted[0]}`),
  })
  t.equal(first.parts.state().nodes.get('node-2')?.state, 'active')
  t.match(await first.execute('a', add(1)), { type: 'accepted' })
  // Of three nodes three vote, and two of them go on, unless one of those is down.
  await cluster.start('node-3')
  await settle(cluster)
  const third = required(cluster.nodes[2])
  third.crash()
  await eventually(() => leaderOf(cluster, 0) !== undefined, 'the controller is led')
  await t.rejects(remove('node-2'), { code: 'INVALID_ARGUMENT', message: /node-2 is needed/ })
  // The last step of a move may not have come to the controller's leader when the third crashed.
  const isRemoved = (): Promise<boolean> =>
    remove('node-3').then(
      () => true,
      () => false,
    )
  await eventually(isRemoved, 'node-3 may be removed')
  await eventually(() => first.parts.state().nodes.get('node-3')?.state === 'removed', 'node-3 is removed')
})

t.test('a removed identity is refused for ever, and its replicas move', async t => {
  const cluster = await startCluster(4, { partitions: 4 })
  t.teardown(() => cluster.stop())
  const [first, , , last] = cluster.nodes
  await required(first).execute('a', add(1))
  const { store } = required(last)
  required(last).crash()
  const remove = (): Promise<boolean> =>
    required(first)
      .parts.controller.submit({ type: 'remove-node', peerId: 'node-4' }, { timeoutMs: 60_000 })
      .then(
        () => true,
        () => false,
      )
  await eventually(remove, 'node-4 is removed')
  await settle(cluster)
  for (const partition of [0, 1, 2, 3, 4]) {
    await eventually(() => {
      const status = leaderOf(cluster, partition)?.parts.engine.status(partition)
      if (status === undefined) return false
      const { voters, learners } = status.configuration
      return ![...voters, ...learners].some(id => id.startsWith('node-4/'))
    }, `node-4 has no seat in partition ${partition}`)
  }
  await t.rejects(
    cluster.start('node-4', { join: true, signal: AbortSignal.timeout(800) }),
    'with another disk',
  )
  const logged: string[] = []
  const back = await cluster.start('node-4', {
    store,
    log: { ...silentLog, error: (_: LogFields, message: string) => void logged.push(message) },
  })
  await new Promise(resolve => setTimeout(resolve, 300))
  t.same(back.parts.engine.status(1)?.role === 'leader', false)
  for (const node of cluster.nodes.slice(0, 3))
    t.notOk(node.parts.state().nodes.get('node-4')?.state !== 'removed')
  await t.rejects(back.execute('a', add(1), { timeoutMs: 500 }), { code: 'UNAVAILABLE' })
  back.crash()
  t.match(await required(first).execute('a', add(1)), { type: 'accepted', sequence: 2 })
})

t.test('membership and placement outlive a restart of all nodes', async t => {
  const cluster = await startCluster(3, { partitions: 2 })
  t.teardown(() => cluster.stop())
  const nodes = cluster.nodes.map(({ peerId, store }) => ({ peerId, store }))
  const state = required(cluster.nodes[0]).parts.state()
  for (const node of [...cluster.nodes]) node.crash()
  for (const { peerId, store } of nodes) await cluster.start(peerId, { store })
  await settle(cluster)
  for (const node of cluster.nodes) t.same(node.parts.state(), state, node.peerId)
})

t.test('a node that comes back with other addresses is recorded with them, everywhere', async t => {
  const cluster = await startCluster(3, { partitions: 1 })
  t.teardown(() => cluster.stop())
  const last = required(cluster.nodes[2])
  last.crash()
  const addresses = ['/memory/node-3/p2p/node-3']
  await cluster.start('node-3', { store: last.store, addresses })
  for (const node of cluster.nodes) {
    await eventually(
      () => node.parts.state().nodes.get('node-3')?.addresses.join() === addresses.join(),
      `${node.peerId} knows the new address`,
    )
  }
  t.equal(required(cluster.nodes[0]).parts.state().nodes.get('node-3')?.state, 'active')
})

t.test('two clusters that meet refuse each other, and both ids are named on both sides', async t => {
  const one = createMemoryCluster({ partitions: 1, clusterId: 'cluster-one' })
  const two = createMemoryCluster({ partitions: 1, clusterId: 'cluster-two', network: one.network })
  t.teardown(async () => {
    await one.stop()
    await two.stop()
  })
  const logged: string[] = []
  const log = {
    ...silentLog,
    error: (fields: LogFields, message: string) => void logged.push(`${message} ${JSON.stringify(fields)}`),
  }
  const a = await one.start('one-1')
  const b = await two.start('two-1', { log })
  await b.execute('a', add(1))
  b.parts.membership.greet(['/memory/one-1'])
  await eventually(() => logged.length > 0, 'the stranger is named')
  t.match(logged[0], /cluster-one/)
  t.match(logged[0], /cluster-two/)
  t.match(logged[0], /two clusters do not merge/)
  t.equal(a.parts.state().nodes.has('two-1'), false)
  t.equal(b.parts.state().nodes.has('one-1'), false)
  t.match(await a.load('a'), { state: { total: 0 } })
  // A node of one cluster does not join another: its directory belongs to the first.
  t.match(await b.load('a'), { state: { total: 1 } })
})

t.test('joining through a node that does not lead the controller finds the one that does', async t => {
  const cluster = await startCluster(3, { partitions: 1 })
  t.teardown(() => cluster.stop())
  const leader = required(leaderOf(cluster, 0))
  const contact = required(cluster.nodes.find(node => node !== leader))
  cluster.nodes.sort((a, b) => Number(b === contact) - Number(a === contact))
  await cluster.start('node-4')
  await eventually(
    () => leader.parts.state().nodes.get('node-4')?.state === 'active',
    'who led the controller knows it',
  )
})

t.test('a query node belongs to the cluster and holds no data', async t => {
  const cluster = await startCluster(3, { partitions: 3 })
  t.teardown(() => cluster.stop())
  const query = await cluster.start('query-1', { role: 'query' })
  t.match(await query.execute('a', add(2)), { type: 'accepted', sequence: 1 })
  t.same((await query.load('a')).state, { total: 2 })
  await eventually(
    () => query.parts.state().nodes.get('query-1')?.role === 'query',
    'it has the cluster state',
  )
  await eventually(
    () => query.parts.engine.status(0)?.configuration.learners.some(id => id.startsWith('query-1/')) === true,
    'it listens to the controller',
  )
  t.same(query.parts.engine.partitions(), [0])
})
