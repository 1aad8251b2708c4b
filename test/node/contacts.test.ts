// What a node that joined remembers of the others, for the time before its own copy of the log has come.
import t from 'tap'
import { readClusterSettings, readContacts, writeClusterSettings } from '../../src/node/node-settings.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { eventually } from './memory-cluster.ts'
import { settle } from './settle.ts'
import { required, startCluster } from './steering.ts'

const settings = { clusterId: 'c', topic: 'test', scope: 'default', partitions: 1, replicas: 3 }

t.test('the members are written together with the cluster, and read again', async t => {
  const store = createMemoryStore()
  t.same(readContacts(store), [])
  const cluster = await startCluster(2, { partitions: 1 })
  t.teardown(() => cluster.stop())
  const nodes = [...required(cluster.nodes[0]).parts.state().nodes.values()]
  await writeClusterSettings(store, settings, nodes)
  t.same(readClusterSettings(store), settings)
  t.same(readContacts(store), nodes)
})

t.test('with these alone a node that restarts before it saw the log finds the others', async t => {
  const cluster = await startCluster(2, { partitions: 1 })
  t.teardown(() => cluster.stop())
  const [first] = cluster.nodes.map(required)
  const store = createMemoryStore()
  // Others cannot dial it, and nothing of any log comes to it in its first life.
  const addresses = ['/memory/nowhere']
  cluster.network.setFate(({ to, channel }) => (to === 'node-3' && channel === 'raft' ? 'lost' : 0))
  const joined = await cluster.start('node-3', { store, addresses })
  const nodes = [...required(first).parts.state().nodes.values()]
  joined.crash()
  cluster.network.setFate(() => 0)
  const back = await cluster.start('node-3', { store, addresses })
  t.equal(back.parts.state().nodes.size, 0)
  back.parts.membership.learn(nodes)
  await eventually(() => back.parts.state().nodes.has('node-3'), 'the log comes')
  await settle(cluster)
})
