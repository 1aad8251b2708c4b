import type { Stream } from '@libp2p/interface'
import t from 'tap'
import type { Libp2pMesh } from '../../src/mesh/libp2p/libp2p-mesh.ts'
import { meshNames } from '../../src/mesh/mesh.ts'
import { introduce, scope, startCluster, startMesh, untilConnected } from './libp2p-cluster.ts'
import { until } from './real-clock.ts'

interface Heard {
  readonly by: string
  readonly from: string
  readonly text: string
}
const listen = (heard: Heard[]) => (mesh: Libp2pMesh) =>
  mesh.subscribe('money', {
    validate: () => 'accept',
    handle: (from, data) => void heard.push({ by: mesh.peerId, from, text: Buffer.from(data).toString() }),
  })

/** The gossip stream from one node to another, which no interface shows. */
function gossipStream(from: Libp2pMesh, to: Libp2pMesh): Stream | undefined {
  const { streamsOutbound } = from.libp2p.services.pubsub as unknown as {
    readonly streamsOutbound: ReadonlyMap<string, { readonly rawStream: Stream }>
  }
  return streamsOutbound.get(to.peerId)?.rawStream
}

const untilHeardFrom = async (from: Libp2pMesh, by: readonly Libp2pMesh[], heard: readonly Heard[]) => {
  let tries = 0
  await until('everybody hears a message', () => {
    tries += 1
    if (tries % 20 === 1) void from.publish('money', Buffer.from(`try ${tries}`))
    return by.every(mesh => heard.some(one => one.by === mesh.peerId && one.from === from.peerId))
  })
}

t.test('a gossip stream that died under a living connection is opened again, in both directions', async t => {
  const heard: Heard[] = []
  const [a, b, c] = (await startCluster(t, 3, {}, listen(heard))) as [Libp2pMesh, Libp2pMesh, Libp2pMesh]
  await untilHeardFrom(a, [b, c], heard)
  // c must not pass on what a says to b.
  await c.stop()
  await until('c is gone', () => !a.isConnected(c.peerId) && !b.isConnected(c.peerId))
  gossipStream(a, b)?.abort(new Error('the test resets the stream'))
  t.ok(a.isConnected(b.peerId), 'the connection is there')
  t.equal((await a.publish('money', Buffer.from('lost'))).recipients, 0)
  heard.length = 0
  await untilHeardFrom(a, [b], heard)
  await untilHeardFrom(b, [a], heard)
  t.equal(a.counters().hangUps + b.counters().hangUps, 0, 'without a disconnect')
  t.notOk(heard.some(one => one.text === 'lost'))
})

t.test('sixteen nodes on one address around a hub all hear each other', async t => {
  const heard: Heard[] = []
  const hub = await startMesh(t, {}, listen(heard))
  const others: Libp2pMesh[] = []
  for (let n = 0; n < 16; n += 1) {
    const mesh = await startMesh(t, {}, listen(heard))
    others.push(mesh)
    introduce([hub, mesh])
  }
  hub.setMembers(others.map(mesh => ({ peerId: mesh.peerId, addresses: mesh.addresses() })))
  await until('the hub is connected to all', () => hub.connectedPeers().length === 16)
  await until('the gossip streams are there', () =>
    others.every(mesh => gossipStream(mesh, hub) !== undefined && gossipStream(hub, mesh) !== undefined),
  )
  const subscribersOf = (mesh: Libp2pMesh): number =>
    mesh.libp2p.services.pubsub.getSubscribers(meshNames.topic(scope, 'money')).length
  await until(
    'all know who listens',
    () => subscribersOf(hub) === 16 && others.every(mesh => subscribersOf(mesh) === 1),
  )
  // Scores are counted once a second.
  const startMs = performance.now()
  await until('three heartbeats have passed', () => performance.now() - startMs > 3000)
  heard.length = 0
  t.equal((await hub.publish('money', Buffer.from('from the hub'))).recipients, 16)
  await Promise.all(others.map((mesh, n) => mesh.publish('money', Buffer.from(`from ${n}`))))
  await until('each of 17 heard 16', () => heard.length >= 17 * 16)
  t.equal(new Set(heard.map(one => `${one.by} ${one.from}`)).size, 17 * 16)
})

t.test('pings of the monitor and of the DHT close no healthy connection of six nodes', async t => {
  const changes: string[] = []
  const closed: string[] = []
  const meshes = await startCluster(t, 6, {}, mesh => {
    mesh.onPeerChange((_, connected) => connected || changes.push('lost'))
  })
  // While nodes dial each other at once, some connections are made twice and one of them is given up.
  await until('no dial is under way', () =>
    meshes.every(
      ({ libp2p }) =>
        libp2p.getDialQueue().length === 0 &&
        libp2p.getConnections().every(({ status }) => status === 'open'),
    ),
  )
  changes.length = 0
  let isOver = false
  for (const mesh of meshes) {
    mesh.libp2p.addEventListener('connection:close', () => isOver || closed.push('closed'))
  }
  const startMs = performance.now()
  while (performance.now() - startMs < 6000) {
    const pings = meshes.flatMap(mesh =>
      meshes
        .filter(other => other !== mesh)
        .map(other => mesh.libp2p.services.ping.ping(other.libp2p.peerId)),
    )
    for (const { status } of await Promise.allSettled(pings))
      if (status === 'rejected') changes.push('no ping')
    await new Promise(resolve => setTimeout(resolve, 500))
  }
  isOver = true
  t.same([changes, closed], [[], []])
})

t.test('a message of the largest size and several at once pass', async t => {
  const heard: Heard[] = []
  const [a, b] = (await startCluster(t, 2, {}, listen(heard))) as [Libp2pMesh, Libp2pMesh]
  await untilHeardFrom(a, [b], heard)
  const large = new Uint8Array(1024 * 1024)
  const results = await Promise.all(Array.from({ length: 8 }, () => a.publish('money', large)))
  t.ok(results.every(({ recipients }) => recipients === 1))
  const largeOnes = (): number => heard.filter(one => one.text.length === large.length).length
  await until('all are there', () => largeOnes() === 8)
  await t.rejects(a.publish('money', new Uint8Array(5 * 1024 * 1024)), { code: 'MESSAGE_TOO_LARGE' })
})

t.test('what a peer that is not allowed wrote is not heard, though others pass it on', async t => {
  const heard: Heard[] = []
  const [a, b, c] = [
    await startMesh(t, {}, listen(heard)),
    await startMesh(t, {}, listen(heard)),
    await startMesh(t, {}, listen(heard)),
  ]
  c.setGate(peerId => peerId !== a.peerId)
  introduce([a, b])
  introduce([b, c])
  b.setMembers([a, c].map(mesh => ({ peerId: mesh.peerId, addresses: mesh.addresses() })))
  await untilConnected([a, b])
  await untilConnected([b, c])
  await untilHeardFrom(a, [b], heard)
  await untilHeardFrom(b, [c], heard)
  await a.publish('money', Buffer.from('secret'))
  await until('b hears it', () => heard.some(one => one.by === b.peerId && one.text === 'secret'))
  await b.publish('money', Buffer.from('after'))
  await until('c hears what b said later', () =>
    heard.some(one => one.by === c.peerId && one.text === 'after'),
  )
  t.notOk(heard.some(one => one.by === c.peerId && one.from === a.peerId))
})

t.test('gossip does not depend on identify, which is tried once and may fail', async t => {
  const heard: Heard[] = []
  const fail = (): Promise<never> => Promise.reject(new Error('the test lets identify fail'))
  let losses = 0
  const [a, b] = (await startCluster(t, 2, {}, mesh => {
    listen(heard)(mesh)
    mesh.onPeerChange((_, connected) => {
      if (!connected) losses += 1
    })
    mesh.libp2p.services.identify.identify = fail
  })) as [Libp2pMesh, Libp2pMesh]
  for (let round = 0; round < 2; round += 1) {
    heard.length = 0
    await untilHeardFrom(a, [b], heard)
    await untilHeardFrom(b, [a], heard)
    const before = losses
    for (const connection of a.libp2p.getConnections())
      connection.abort(new Error('the test ends the connection'))
    // Counted: one may have a new connection before the other notices.
    await until('both noticed', () => losses >= before + 2)
    await untilConnected([a, b])
  }
})
