// Leaving: what a node holds moves away first, whoever crashes meanwhile; then it is removed, and knows it.
import t from 'tap'
import type { LeaveProgress } from '../../src/cluster/leaving.ts'
import { controllerPartition } from '../../src/core/partition-of.ts'
import { peerIdOf } from '../../src/core/replica-id.ts'
import { eventually, type MemoryCluster, type MemoryNode } from '../node/memory-cluster.ts'
import { settle } from '../node/settle.ts'
import { add, leaderOf, required, startCluster } from '../node/steering.ts'

const partitions = 6

/** Adds one to eight counters in turn through this node, until it is stopped. */
function steadyClient(node: MemoryNode) {
  let isOver = false
  const counts = new Map<string, number>()
  const loops = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map(async id => {
    while (!isOver) {
      await node.execute(id, add(1), { timeoutMs: 60_000 })
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
  })
  return {
    total: () => [...counts.values()].reduce((sum, count) => sum + count, 0),
    async stop() {
      isOver = true
      await Promise.all(loops)
      return counts
    },
  }
}

const stateOf = (cluster: MemoryCluster, peerId: string): string | undefined =>
  required(cluster.nodes.find(node => node.peerId !== peerId))
    .parts.state()
    .nodes.get(peerId)?.state

const isSeatedAnywhere = (cluster: MemoryCluster, peerId: string): boolean =>
  Array.from({ length: partitions + 1 }, (_, partition) => leaderOf(cluster, partition)).some(leader => {
    if (leader === undefined) return true
    return leader.parts.engine.partitions().some(partition => {
      const status = leader.parts.engine.status(partition)
      if (status?.role !== 'leader') return false
      const { voters, learners } = status.configuration
      return [...voters, ...learners].some(id => peerIdOf(id) === peerId)
    })
  })

const isGone = (cluster: MemoryCluster, peerId: string): Promise<void> =>
  eventually(
    () => stateOf(cluster, peerId) === 'removed' && !isSeatedAnywhere(cluster, peerId),
    `${peerId} is removed and has no seat`,
  )

t.test('what a node holds moves away first, while commands go on', async t => {
  const cluster = await startCluster(4, { partitions })
  t.teardown(() => cluster.stop())
  const leaver = required(leaderOf(cluster, 1))
  const client = steadyClient(required(cluster.nodes.find(node => node !== leaver)))
  const told: LeaveProgress[] = []
  const before = client.total()
  await leaver.parts.leaving.leave({ onProgress: progress => told.push(progress) })
  t.match(leaver.removals, [{ hasLeft: true, error: { code: 'MEMBER_REMOVED' } }])
  t.equal(leaver.removals.length, 1, 'told once')
  leaver.crash()
  await settle(cluster)
  await eventually(() => client.total() > before, 'commands went on')
  const counts = await client.stop()
  t.ok((told[0]?.total ?? 0) > 0, 'it had replicas')
  t.ok(
    told.every(({ replicas }, place) => replicas <= (told[place - 1]?.replicas ?? Number.POSITIVE_INFINITY)),
    'and ever fewer',
  )
  for (const node of cluster.nodes)
    for (const [id, count] of counts)
      t.same((await node.load(id)).state, { total: count }, `${node.peerId} ${id}`)
  const back = await cluster.start(leaver.peerId, { store: leaver.store })
  await eventually(() => back.removals.length > 0, 'its identity is refused for ever')
})

t.test('the leader of the controller leaves, and so does the next one', async t => {
  const cluster = await startCluster(4, { partitions })
  t.teardown(() => cluster.stop())
  for (let n = 0; n < 2; n += 1) {
    const leader = required(leaderOf(cluster, controllerPartition))
    await required(cluster.nodes.find(node => node !== leader)).execute('a', add(1))
    await leader.parts.leaving.leave({})
    t.match(leader.removals, [{ hasLeft: true }])
    leader.crash()
    await settle(cluster)
  }
  t.match(await required(cluster.nodes[0]).load('a'), { state: { total: 2 } })
})

t.test(
  'a node that crashes while it leaves is gone all the same, and learns it when it comes back',
  async t => {
    const cluster = await startCluster(4, { partitions })
    t.teardown(() => cluster.stop())
    const leaver = required(cluster.nodes[3])
    const leaving = leaver.parts.leaving.leave({})
    leaving.catch(() => {})
    await eventually(() => stateOf(cluster, 'node-4') === 'draining', 'it leaves')
    leaver.crash()
    await isGone(cluster, 'node-4')
    const back = await cluster.start('node-4', { store: leaver.store })
    await eventually(() => back.removals.length > 0, 'it is told')
    t.match(back.removals, [
      { error: { code: 'MEMBER_REMOVED', message: /node-4 was removed from cluster test-cluster/ } },
    ])
    back.crash()
    await settle(cluster)
    t.match(await required(cluster.nodes[0]).execute('a', add(1)), { type: 'accepted' })
  },
)

t.test('a leader of the controller that crashes while another leaves only delays it', async t => {
  const cluster = await startCluster(5, { partitions })
  t.teardown(() => cluster.stop())
  const leader = required(leaderOf(cluster, controllerPartition))
  const leaver = required(cluster.nodes.find(node => node !== leader))
  const leaving = leaver.parts.leaving.leave({})
  await eventually(() => stateOf(cluster, leaver.peerId) !== 'active', 'it leaves')
  const { peerId, store } = leader
  leader.crash()
  await cluster.start(peerId, { store })
  await leaving
  t.match(leaver.removals, [{ hasLeft: true }])
  leaver.crash()
  await settle(cluster)
})

t.test('a leave waits for who shall take over, names it, and can be called off', async t => {
  const cluster = await startCluster(4, { partitions })
  t.teardown(() => cluster.stop())
  // The leaver holds partition 1, and the one that is down does not: it shall take the leaver's place.
  const leaver = required(leaderOf(cluster, 1))
  const heir = required(cluster.nodes.find(node => !node.parts.isLocal(1)))
  const wanted = [...leaver.parts.state().wanted]
  const { peerId, store } = heir
  heir.crash()
  let waitsFor: readonly string[] = []
  const leaving = leaver.parts.leaving.leave({
    onProgress: progress => {
      waitsFor = progress.waitsFor
    },
  })
  leaving.catch(() => {})
  await eventually(
    () => waitsFor.includes(`node ${peerId} (${peerId}) cannot be reached, and shall take replicas over`),
    () => `it says that it waits for ${peerId}, not ${waitsFor.join()}`,
  )
  t.match(await leaver.execute('a', add(1)), { type: 'accepted' }, 'commands go on')
  await leaver.parts.leaving.cancel()
  await t.rejects(leaving, { code: 'INVALID_ARGUMENT', message: /told to stay/ })
  await cluster.start(peerId, { store })
  await settle(cluster)
  t.same([...leaver.parts.state().wanted], wanted)
  t.same(leaver.removals, [])
})

t.test('the last node that holds replicas does not leave; a query node leaves at once', async t => {
  const cluster = await startCluster(1, { partitions: 2 })
  t.teardown(() => cluster.stop())
  const only = required(cluster.nodes[0])
  const query = await cluster.start('query-1', { role: 'query' })
  await settle(cluster)
  await t.rejects(only.parts.leaving.leave({}), {
    code: 'INVALID_ARGUMENT',
    message: /node-1 is the last one that holds replicas/,
  })
  t.equal(only.parts.state().nodes.get('node-1')?.state, 'active')
  const told: LeaveProgress[] = []
  await query.parts.leaving.leave({ onProgress: progress => told.push(progress) })
  t.match(query.removals, [{ hasLeft: true }])
  t.ok(
    told.every(({ total }) => total === 0),
    'there was nothing to move',
  )
  t.match(await only.execute('a', add(1)), { type: 'accepted' })
})

t.test('of two nodes one leaves, and the other has everything', async t => {
  const cluster = await startCluster(2, { partitions })
  t.teardown(() => cluster.stop())
  const [first, second] = cluster.nodes.map(required)
  const ids = ['a', 'b', 'c', 'd', 'e', 'f']
  for (const id of ids) await required(first).execute(id, add(1))
  await required(first).parts.leaving.leave({})
  required(first).crash()
  await settle(cluster)
  for (const id of ids) t.match(await required(second).load(id), { state: { total: 1 } })
  t.match(await required(second).execute('a', add(1)), { replicas: 1 })
})
