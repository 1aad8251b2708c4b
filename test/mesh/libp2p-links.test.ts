import { createServer, type Socket } from 'node:net'
import { multiaddr } from '@multiformats/multiaddr'
import t from 'tap'
import type { Libp2pMesh } from '../../src/mesh/libp2p/libp2p-mesh.ts'
import { meshLimits } from '../../src/mesh/mesh-limits.ts'
import { introduce, settingsOf, startCluster, startMesh, untilConnected } from './libp2p-cluster.ts'
import { until } from './real-clock.ts'

type Pair = [Libp2pMesh, Libp2pMesh]
const asMember = (mesh: Libp2pMesh) => ({ peerId: mesh.peerId, addresses: mesh.addresses() })
const number = (n: number): Uint8Array => {
  const frame = Buffer.alloc(4)
  frame.writeUInt32BE(n)
  return frame
}
/** Notes changes and frames. */
const observe = (changes: string[], frames: number[]) => (mesh: Libp2pMesh) => {
  mesh.onPeerChange((_, connected) => changes.push(connected ? 'up' : 'down'))
  mesh.handle('raft', (_, frame) => frames.push(Buffer.from(frame).readUInt32BE(0)))
}

t.test('two connections at once do no harm, and the end of one is no disconnect', async t => {
  const changes: string[] = []
  const frames: number[] = []
  const [a, b] = [
    await startMesh(t, {}, observe(changes, frames)),
    await startMesh(t, {}, observe(changes, frames)),
  ]
  const force = { force: true }
  await Promise.all([
    a.libp2p.dial(multiaddr(b.addresses()[0]), force),
    b.libp2p.dial(multiaddr(a.addresses()[0]), force),
  ])
  await untilConnected([a, b])
  await until('there are two connections', () => a.libp2p.getConnections().length === 2)
  for (let round = 0; round < 2; round += 1) {
    // The one that carries our frames, whichever it is: end one, and have a second again.
    const used = a.libp2p
      .getConnections()
      .find(one => one.streams.some(stream => stream.protocol.includes('/raft/')))
    used?.abort(new Error('the test ends one of two'))
    await until('one is left', () => b.libp2p.getConnections().length === 1)
    frames.length = 0
    // Frames on their way are lost with a connection: send until one arrives.
    let sent = 0
    await until('frames flow', () => {
      sent += 1
      return (
        a.send(b.peerId, 'raft', number(sent)) && b.send(a.peerId, 'raft', number(sent)) && frames.length > 4
      )
    })
    t.same(changes, ['up', 'up'])
    await a.libp2p.dial(multiaddr(b.addresses()[0]), force)
    await until('there are two again', () => b.libp2p.getConnections().length === 2)
  }
})

t.test('a channel stream that is reset is opened again, without a disconnect', async t => {
  const changes: string[] = []
  const frames: number[] = []
  const [a, b] = (await startCluster(t, 2, {}, observe(changes, frames))) as Pair
  a.send(b.peerId, 'raft', number(1))
  await until('the first is there', () => frames.length === 1)
  const raftStream = (mesh: Libp2pMesh) =>
    mesh.libp2p
      .getConnections()
      .flatMap(one => one.streams)
      .find(one => one.protocol.includes('/raft/') && one.direction === 'outbound' && one.status === 'open')
  const old = [raftStream(a), raftStream(b)]
  for (const stream of old) stream?.abort(new Error('the test resets the stream'))
  // By itself: nothing is sent meanwhile.
  await until('the streams are back', () =>
    [a, b].every((mesh, n) => raftStream(mesh) !== undefined && raftStream(mesh) !== old[n]),
  )
  let sent = 1
  await until('frames flow both ways', () => {
    sent += 1
    a.send(b.peerId, 'raft', number(sent))
    b.send(a.peerId, 'raft', number(sent))
    return frames.length > 20
  })
  t.same(changes, ['up', 'up'])
})

t.test('a peer that was started anew under our eyes is told as down and up', async t => {
  const changes: string[] = []
  const a = await startMesh(t, {}, observe(changes, []))
  const b = await startMesh(t)
  await a.connect(b.addresses()[0] ?? '', { signal: AbortSignal.timeout(60_000) })
  // The same identity elsewhere, while the old one still lives: as after a crash that nobody has noticed yet.
  const again = await startMesh(t, { ...settingsOf(b), listen: ['/ip4/127.0.0.1/tcp/0'] })
  await again.connect(a.addresses()[0] ?? '', { signal: AbortSignal.timeout(60_000) })
  await until('a was told', () => changes.length >= 3)
  t.same(changes, ['up', 'down', 'up'])
  let heard = 0
  again.handle('raft', () => (heard += 1))
  await until('frames reach the new one', () => a.send(b.peerId, 'raft', number(1)) && heard > 0)
})

t.test('the dialer goes on after more failures than libp2p would', async t => {
  const redial = { backoffMsMin: 5, backoffMsMaxAtFirst: 20, politenessMs: 0 }
  const b = await startMesh(t)
  const { port } = new URL(b.addresses()[0]?.replace(/.*\/tcp\/(\d+).*/, 'http://x:$1') ?? '')
  const [peerId, addresses] = [b.peerId, [`/ip4/127.0.0.1/tcp/${port}`]]
  await b.stop()
  // Somebody who hangs up on every caller listens where the member was, and counts them.
  let calls = 0
  const rude = createServer((socket: Socket) => {
    calls += 1
    socket.destroy()
  })
  await new Promise<void>(resolve => rude.listen(Number(port), '127.0.0.1', resolve))
  const a = await startMesh(t, { redial })
  a.setMembers([{ peerId, addresses }])
  await until('it was tried twelve times', () => calls >= 12)
  await new Promise(resolve => rude.close(resolve))
  const again = await startMesh(t, { ...settingsOf(b) })
  await until('a and b are connected', () => a.isConnected(peerId) && again.isConnected(a.peerId))
  await again.stop()
  await until('b is gone', () => !a.isConnected(peerId))
  a.setMembers([])
  const third = await startMesh(t, { ...settingsOf(b) })
  const before = performance.now()
  await until('some backoffs have passed', () => performance.now() - before > 200)
  t.notOk(third.isConnected(a.peerId), 'who is no member any more is not dialled')
})

t.test('addresses that do not answer do not keep a member from being reached at its good one', async t => {
  const [a, b] = [await startMesh(t, { redial: { addressTimeoutMs: 200 } }), await startMesh(t)]
  const silent = createServer(() => {})
  t.teardown(() => silent.close())
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
  const { port } = silent.address() as { port: number }
  const dead = `/ip4/127.0.0.1/tcp/${port}`
  a.setMembers([{ peerId: b.peerId, addresses: [dead, dead, dead, ...b.addresses()] }])
  await until('it is reached', () => a.isConnected(b.peerId), 20_000)
})

t.test('the frames of one turn are one write', async t => {
  const frames: number[] = []
  const [a, b] = (await startCluster(t, 2, {}, observe([], frames))) as Pair
  const [stream] = a.libp2p
    .getConnections()
    .flatMap(one => one.streams)
    .filter(one => one.protocol.includes('/raft/') && one.direction === 'outbound')
  if (stream === undefined) return t.fail('no stream')
  const writes: number[] = []
  const send = stream.send.bind(stream)
  stream.send = data => {
    writes.push(data.byteLength)
    return send(data)
  }
  for (let n = 0; n < 100; n += 1) a.send(b.peerId, 'raft', number(n))
  await until('they are there', () => frames.length === 100)
  t.same(writes, [800])
  for (let n = 0; n < 20_000; n += 1) a.send(b.peerId, 'raft', number(n))
  await until('they are there', () => frames.length === 20_100)
  t.same(
    writes.slice(1).filter(size => size > 65_536),
    [],
  )
  t.equal(writes.length, 1 + Math.ceil((20_000 * 8) / 65_536))
  return undefined
})

t.test('a peer that does not read costs a bounded queue, and others nothing', async t => {
  const frames: number[] = []
  const [a, b, c] = (await startCluster(t, 3, {}, observe([], frames))) as [
    Libp2pMesh,
    Libp2pMesh,
    Libp2pMesh,
  ]
  a.send(b.peerId, 'bulk', number(0))
  const bulk = () =>
    b.libp2p
      .getConnections()
      .flatMap(one => one.streams)
      .find(one => one.protocol.includes('/bulk/'))
  await until('the stream is there', () => bulk() !== undefined)
  bulk()?.pause()
  const frame = new Uint8Array(256 * 1024)
  let taken = 0
  let refusals = 0
  // A refusal may be short: until nothing is taken for a while.
  for (let quiet = 0; quiet < 50; ) {
    if (a.send(b.peerId, 'bulk', frame)) {
      taken += frame.length
      quiet = 0
    } else {
      refusals += 1
      quiet += 1
      await new Promise(resolve => setTimeout(resolve, 2))
    }
  }
  const most = meshLimits.queueBytesMax + 3 * 4 * 1024 * 1024
  t.ok(taken <= most, `${taken} bytes were taken; allowed: ${most}`)
  t.equal(a.counters().framesDropped, refusals)
  t.ok(a.isConnected(b.peerId), 'b stays connected')
  t.ok(a.send(b.peerId, 'raft', number(7)) && a.send(c.peerId, 'raft', number(8)))
  await until('other channels and peers go on', () => frames.includes(7) && frames.includes(8))
  bulk()?.resume()
  await until('it is taken again', () => a.send(b.peerId, 'bulk', frame))
})

t.test('what is no frame closes the stream, not the node', async t => {
  const changes: string[] = []
  const frames: number[] = []
  const [a, b] = (await startCluster(t, 2, {}, observe(changes, frames))) as Pair
  const garbage = [
    Uint8Array.of(255, 255, 255, 255, 0),
    Uint8Array.of(0, 0, 0, 2, 255, 255),
    new Uint8Array(5),
  ]
  for (const bytes of garbage) {
    for (const channel of ['raft', 'rpc']) {
      const [connection] = a.libp2p.getConnections()
      const stream = await connection?.newStream(`/glyn/default/${channel}/1.0.0`)
      stream?.send(bytes)
    }
  }
  await until('frames still flow', () => {
    a.send(b.peerId, 'raft', number(1))
    b.send(a.peerId, 'raft', number(2))
    return frames.includes(1) && frames.includes(2)
  })
})

t.test('a forged member, and one that was removed, cannot stay', async t => {
  const changes: string[] = []
  const [a, b] = (await startCluster(t, 2, {}, observe(changes, []))) as Pair
  const forger = await startMesh(t)
  // It answers where b is said to be, with a key of its own.
  a.setMembers([{ peerId: b.peerId, addresses: forger.addresses().map(one => one.replace(/\/p2p\/.*/, '')) }])
  b.setMembers([])
  await b.stop()
  await until('b is gone', () => !a.isConnected(b.peerId))
  const before = performance.now()
  await until('it was dialled', () => performance.now() - before > 800)
  t.same(a.connectedPeers(), [])
  const stranger = await startMesh(t)
  a.setGate(() => false)
  stranger.setMembers([asMember(a)])
  await t.rejects(stranger.connect(a.addresses()[0] ?? '', { signal: AbortSignal.timeout(3000) }), {
    code: 'PEER_UNREACHABLE',
  })
  await until('no connection is left', () => a.libp2p.getConnections().length === 0)
  introduce([a, stranger])
  t.same(a.connectedPeers(), [])
})
