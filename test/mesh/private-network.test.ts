import t from 'tap'
import type { Libp2pMesh } from '../../src/mesh/libp2p/libp2p-mesh.ts'
import { createSwarmKey } from '../../src/mesh/libp2p/swarm-key.ts'
import { startCluster, startMesh } from './libp2p-cluster.ts'
import { until } from './real-clock.ts'

t.test('the pre-shared-key stream lives on under 300 MB of mixed frames', async t => {
  const received = { bytes: 0, frames: 0 }
  let disconnects = 0
  const [a, b] = (await startCluster(t, 2, { secret: createSwarmKey() }, mesh => {
    mesh.onPeerChange((_, connected) => {
      if (!connected) disconnects += 1
    })
    mesh.handle('bulk', (_, frame) => {
      received.bytes += frame.length
      received.frames += 1
    })
  })) as [Libp2pMesh, Libp2pMesh]
  const sizes = [200, 65_536, 200, 1_048_576, 200, 65_536]
  const frames = sizes.map(size => new Uint8Array(size).fill(7))
  let sentBytes = 0
  let sentFrames = 0
  while (sentBytes < 300_000_000 && disconnects === 0) {
    const frame = frames[sentFrames % frames.length] as Uint8Array
    if (a.send(b.peerId, 'bulk', frame)) {
      sentBytes += frame.length
      sentFrames += 1
    } else await new Promise(resolve => setTimeout(resolve, 1))
  }
  await until('all is there', () => received.frames === sentFrames || disconnects > 0, 120_000)
  t.same([received, disconnects], [{ bytes: sentBytes, frames: sentFrames }, 0])
})

t.test('without the secret, or with another one, nobody connects', async t => {
  const secret = createSwarmKey()
  const a = await startMesh(t, { secret })
  const address = a.addresses()[0] ?? ''
  for (const other of [{}, { secret: createSwarmKey() }]) {
    const stranger = await startMesh(t, other)
    const attempt = stranger.connect(address, { signal: AbortSignal.timeout(1500) })
    await t.rejects(attempt, { code: 'PEER_UNREACHABLE' })
  }
  t.same(a.connectedPeers(), [])
  const friend = await startMesh(t, { secret })
  t.equal(await friend.connect(address, { signal: AbortSignal.timeout(60_000) }), a.peerId)
})
