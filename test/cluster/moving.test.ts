// A node comes: about its share moves to it while commands go on, and what moved away rests. Crashes only delay that.
import t from 'tap'
import { controllerPartition } from '../../src/core/partition-of.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { eventually, type MemoryCluster, type MemoryNode } from '../node/memory-cluster.ts'
import { settle } from '../node/settle.ts'
import { add, leaderOf, required, startCluster } from '../node/steering.ts'

const wantedBy = (node: MemoryNode): readonly number[] =>
  node.parts.dataPartitions().filter(partition => {
    const wanted = node.parts.state().wanted.get(partition)
    return wanted !== undefined && [...wanted.voters, ...wanted.learners].includes(node.parts.engine.id)
  })

/** Every node has the groups that it shall have, and no others. */
const haveOnlyTheirs = (cluster: MemoryCluster): Promise<void> =>
  eventually(
    () =>
      cluster.nodes.every(
        node => node.parts.engine.partitions().join() === [controllerPartition, ...wantedBy(node)].join(),
      ),
    () =>
      cluster.nodes
        .map(node => `${node.peerId} has ${node.parts.engine.partitions()}, not ${wantedBy(node)}`)
        .join('; '),
  )

t.test(
  'a node that comes gets about its share; what moved away from others rests, and wakes when it is needed',
  async t => {
    const partitions = 32
    const cluster = await startCluster(3, { partitions })
    t.teardown(() => cluster.stop())
    const [first] = cluster.nodes.map(required)
    const ids = Array.from({ length: 40 }, (_, n) => `counter-${n}`)
    for (const id of ids) await required(first).execute(id, add(1))
    const before = new Map(required(first).parts.state().wanted)
    const newcomer = await cluster.start('node-4')
    for (const id of ids) await required(first).execute(id, add(1))
    await settle(cluster)
    const got = wantedBy(newcomer).length
    const moved = [...newcomer.parts.state().wanted].filter(([partition, { voters }]) =>
      voters.some(id => before.get(partition)?.voters.includes(id) !== true),
    )
    t.equal(moved.length, got, 'only what goes to the newcomer moves')
    t.ok(got > 0, `${got} of ${partitions} partitions have a replica on it`)
    await haveOnlyTheirs(cluster)
    for (const node of cluster.nodes) {
      t.notOk(
        node.parts
          .dataPartitions()
          .some(partition => node.parts.isLocal(partition) !== wantedBy(node).includes(partition)),
        `${node.peerId} counts what it holds`,
      )
    }
    // It goes again: the replicas that rest are taken back with the log they have.
    await newcomer.parts.leaving.leave({})
    newcomer.crash()
    await settle(cluster)
    await haveOnlyTheirs(cluster)
    for (const id of ids) {
      t.match(await required(first).execute(id, add(1)), { type: 'accepted', sequence: 3 })
    }
  },
)

t.test('a replica that rests outlives a restart of its node', async t => {
  const cluster = await startCluster(3, { partitions: 8 })
  t.teardown(() => cluster.stop())
  await cluster.start('node-4')
  await settle(cluster)
  await haveOnlyTheirs(cluster)
  const { peerId, store } = required(cluster.nodes[1])
  required(cluster.nodes[1]).crash()
  await cluster.start(peerId, { store })
  await settle(cluster)
  await haveOnlyTheirs(cluster)
})

t.test('a newcomer that crashes while replicas move to it gets them when it is back', async t => {
  const cluster = await startCluster(3, { partitions: 12 })
  t.teardown(() => cluster.stop())
  const [first] = cluster.nodes.map(required)
  await required(first).execute('a', add(1))
  const store = createMemoryStore()
  const newcomer = await cluster.start('node-4', { store })
  await eventually(() => newcomer.parts.engine.partitions().length > 1, 'replicas come')
  newcomer.crash()
  t.match(await required(first).execute('a', add(1)), { type: 'accepted' }, 'commands go on without it')
  await cluster.start('node-4', { store })
  await settle(cluster)
  t.match(await required(first).load('a'), { state: { total: 2 } })
})

t.test('a leader of the controller that crashes while replicas move only delays them', async t => {
  const cluster = await startCluster(3, { partitions: 12 })
  t.teardown(() => cluster.stop())
  await required(cluster.nodes[0]).execute('a', add(1))
  const newcomer = await cluster.start('node-4')
  await eventually(() => newcomer.parts.engine.partitions().length > 1, 'replicas come')
  const leader = required(leaderOf(cluster, controllerPartition))
  const { peerId, store } = leader
  leader.crash()
  await cluster.start(peerId, { store })
  await settle(cluster)
  t.match(await required(cluster.nodes[0]).load('a'), { state: { total: 1 } })
})
