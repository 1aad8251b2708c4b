// A graceful stop: leaderships go to others first, and clients elsewhere notice nothing.
import t from 'tap'
import { type Log, silentLog } from '../../src/core/log.ts'
import type { Accepted } from '../../src/core/outcome.ts'
import { eventually, type MemoryNode } from './memory-cluster.ts'
import { settle } from './settle.ts'
import { add, leaderOf, logsAgree, required, startCluster } from './steering.ts'

const partitions = 4
const counters = Array.from({ length: 12 }, (_, n) => `c${n}`)

t.test('one node after the other stops and comes back, and no command fails', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  const failures: unknown[] = []
  const sums = new Map<string, number>()
  let slowestMs = 0
  let isOver = false
  let stopping: MemoryNode | undefined
  const clients = counters.map(async (id, client) => {
    for (let n = client; !isOver; n += 1) {
      const nodes = cluster.nodes.filter(node => node !== stopping)
      const node = required(nodes[n % nodes.length])
      const startedAt = performance.now()
      try {
        const outcome = (await node.execute(id, add(1), { timeoutMs: 60_000 })) as Accepted
        sums.set(id, outcome.sequence)
      } catch (error) {
        failures.push(error)
      }
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  })
  for (const name of ['node-1', 'node-2', 'node-3']) {
    const node = required(cluster.nodes.find(({ peerId }) => peerId === name))
    const led = (): number =>
      node.parts.engine
        .partitions()
        .filter(partition => node.parts.engine.status(partition)?.role === 'leader').length
    stopping = node
    const { left } = await node.parts.reconciler.handOver({ timeoutMs: 60_000 })
    t.same([left, led()], [0, 0], `${name} leads nothing any more`)
    await eventually(
      () => node.parts.host.pendingCount() + node.parts.router.underWay() === 0,
      'what was accepted is finished, also what others decide',
    )
    await node.parts.stop()
    node.crash()
    await cluster.start(name, { store: node.store })
    stopping = undefined
    await settle(cluster)
  }
  isOver = true
  await Promise.all(clients)
  t.same(failures, [])
  t.comment(`the slowest command took ${Math.round(slowestMs)} ms`)
  for (const id of counters) {
    t.same((await required(cluster.nodes[0]).load(id)).state, { total: sums.get(id) }, id)
  }
})

t.test('what was handed over does not come back, also where the stopping node is preferred', async t => {
  const given: string[] = []
  const log: Log = {
    ...silentLog,
    debug({ to }, message) {
      if (/goes to its preferred place/.test(message)) given.push(String(to))
    },
  }
  const cluster = await startCluster(3, { partitions: 8, log })
  t.teardown(() => cluster.stop())
  const node = required(leaderOf(cluster, 1))
  const led = (): readonly number[] =>
    node.parts.engine.partitions().filter(partition => node.parts.engine.status(partition)?.role === 'leader')
  t.ok(led().includes(1))
  await node.parts.reconciler.handOver({ timeoutMs: 60_000 })
  given.length = 0
  // The others would move leaderships to their preferred places every 100 ms. Being elected is another matter.
  await new Promise(resolve => setTimeout(resolve, 600))
  t.notOk(given.includes(node.peerId), 'nobody gives it a leadership')
  await node.parts.stop()
  node.crash()
  await cluster.start(node.peerId, { store: node.store })
  await settle(cluster)
  const back = required(cluster.nodes.at(-1))
  t.equal(leaderOf(cluster, 1), back, 'back again, it gets what it is preferred for')
})

t.test('the last node of a cluster has nobody to hand over to, and says so at once', async t => {
  const cluster = await startCluster(1, { partitions })
  t.teardown(() => cluster.stop())
  const node = required(cluster.nodes[0])
  const startedAt = performance.now()
  t.same(await node.parts.reconciler.handOver({ timeoutMs: 60_000 }), { led: 0, left: 0 })
  t.ok(performance.now() - startedAt < 30_000, 'long before its deadline')
  t.match(await node.execute('a', add(1)), { type: 'accepted' }, 'it serves to its end')
})

t.test('a node whose voters are gone gives up handing over at its deadline', async t => {
  const cluster = await startCluster(3, { partitions: 1 })
  t.teardown(() => cluster.stop())
  const leader = required(leaderOf(cluster, 1))
  for (const node of cluster.nodes) {
    if (node !== leader)
      for (const other of cluster.nodes) if (other !== node) cluster.network.mute(node.peerId, other.peerId)
  }
  const startedAt = performance.now()
  await leader.parts.reconciler.handOver({ timeoutMs: 150 })
  t.ok(performance.now() - startedAt < 30_000, 'it does not wait for its voters')
})

t.test('after a rolling restart the logs of all replicas are the same', async t => {
  const cluster = await startCluster(3, { partitions: 2 })
  t.teardown(() => cluster.stop())
  for (const id of counters) await required(cluster.nodes[0]).execute(id, add(1))
  const node = required(leaderOf(cluster, 1))
  await node.parts.reconciler.handOver({ timeoutMs: 60_000 })
  await node.parts.stop()
  node.crash()
  for (const id of counters) await required(cluster.nodes[0]).execute(id, add(1))
  await cluster.start(node.peerId, { store: node.store })
  for (const partition of [0, 1, 2]) {
    await eventually(() => logsAgree(cluster, partition), `the logs of partition ${partition} agree`)
  }
  await settle(cluster)
  t.equal(cluster.nodes.filter(each => each.parts.isLocal(1)).length, 3)
})
