// A node whose forming was cut short by a crash finishes it when it starts again. Over real libp2p and SQLite.
import t from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createNode } from '../../src/node/create-node.ts'
import { openDataDirectory } from '../../src/node/data-directory.ts'
import type { NodeOptions } from '../../src/node/node-options.ts'
import { clusterSettingsRow } from '../../src/node/node-settings.ts'
import { bootstrapEntry } from '../../src/raft/bootstrap-entry.ts'
import { hashEntry } from '../../src/store/hash-entry.ts'
import { directoryOf } from '../support/directory-of.ts'
import { counter } from './memory-cluster.ts'
import { add } from './steering.ts'

const optionsOf = (dataDirectory: string): NodeOptions => ({
  topic: 'test',
  scope: 'default',
  dataDirectory,
  configDirectory: null,
  listen: ['/ip4/127.0.0.1/tcp/0'],
  bootstrap: [],
  partitions: 4,
  replicas: 3,
  role: 'full',
  mdns: false,
  log: silentLog,
  aggregates: [counter],
  timing: { tickMs: 20, electionTicks: 10, heartbeatTicks: 1 },
})

t.test('a forming that was interrupted after its first write is finished', async t => {
  const path = directoryOf(t)
  const directory = await openDataDirectory(path, silentLog)
  const { store, identity } = directory
  const configuration = { voters: [`${identity.peerId}/${store.storageId}`], learners: [] }
  const settings = { clusterId: 'half-formed', topic: 'test', scope: 'default', partitions: 4, replicas: 3 }
  // What the first transaction of a forming writes; the crash comes before the controller's first command.
  await store.write({
    partitions: [0, 1, 2, 3, 4].map(partition => ({
      partition,
      hardState: { term: 1, vote: null, commit: 1 },
      truncateFrom: null,
      entries: [bootstrapEntry({ configuration, hashEntry })],
    })),
    snapshots: [],
    settings: clusterSettingsRow(settings),
  })
  await directory.close()

  const node = await createNode({ ...optionsOf(path), signal: AbortSignal.timeout(60_000) })
  t.teardown(() => node.close())
  t.equal(node.clusterId, 'half-formed')
  const { members, partitions } = await node.status()
  t.same(
    members.map(({ peerId, state }) => [peerId, state]),
    [[identity.peerId, 'active']],
  )
  t.equal(partitions.filter(({ id }) => id > 0).length, 4)
  t.match(await node.execute('counter', 'a', add(3)), { type: 'accepted', sequence: 1 })
})

t.test('a node that comes back remembers its cluster, and refuses another topic or scope', async t => {
  const path = directoryOf(t)
  const first = await createNode(optionsOf(path))
  const { clusterId, peerId } = first
  const [address] = first.addresses()
  await first.execute('counter', 'a', add(3), { commandId: 'once' })
  await first.close()
  await t.rejects(createNode({ ...optionsOf(path), topic: 'orders' }), {
    code: 'CLUSTER_MISMATCH',
    message: /with the topic test, but topic is orders; start it with --topic test/,
  })
  const again = await createNode(optionsOf(path))
  t.teardown(() => again.close())
  t.same([again.clusterId, again.peerId, again.addresses()[0]], [clusterId, peerId, address])
  t.match(await again.loadAggregate('counter', 'a'), { state: { total: 3 }, sequence: 1 })
  t.match(await again.execute('counter', 'a', add(3), { commandId: 'once' }), { replayed: true, sequence: 1 })
})
