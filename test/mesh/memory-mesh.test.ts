import t, { type Test } from 'tap'
import { createMemoryNetwork } from '../../src/mesh/memory/memory-mesh.ts'
import { type MeshHarness, meshConformance } from './conformance.ts'
import { createManualClock } from './manual-clock.ts'
import { realClock } from './real-clock.ts'

const harness: MeshHarness = (() => {
  const network = createMemoryNetwork({ clock: realClock })
  return {
    start: async (test, { as, prepare, ...options } = {}) => {
      const mesh = network.createMesh({ ...options, ...(as === undefined ? {} : { peerId: as.peerId }) })
      prepare?.(mesh)
      await mesh.start()
      test.teardown(() => mesh.stop())
      return mesh
    },
  }
})()

t.test('a memory mesh keeps the promises of every mesh', async t => meshConformance(t as Test, harness))

const setup = async (options: Omit<Parameters<typeof createMemoryNetwork>[0], 'clock'> = {}) => {
  const clock = createManualClock()
  const network = createMemoryNetwork({ clock, ...options })
  const [a, b] = [network.createMesh({ peerId: 'a' }), network.createMesh({ peerId: 'b' })]
  const got: string[] = []
  b.handle('raft', (from, frame) => got.push(`${clock.now()} ${from} ${Buffer.from(frame)}`))
  a.onPeerChange((peerId, connected) => got.push(`${clock.now()} ${peerId} ${connected}`))
  await a.start()
  await b.start()
  a.setMembers([{ peerId: 'b', addresses: b.addresses() }])
  await clock.advance(1)
  got.length = 0
  return { clock, network, a, b, got }
}
const frame = (text: string): Uint8Array => Buffer.from(text)

t.test('delays keep the order of a channel', async t => {
  const { clock, network, a, got } = await setup()
  const delays = [30, 10, 20]
  network.setFate(() => delays.shift() ?? 0)
  for (const one of ['x', 'y', 'z']) a.send('b', 'raft', frame(one))
  await clock.advance(100)
  t.same(got, ['31 a x', '31 a y', '31 a z'])
})

t.test('what is lost or muted never arrives, and nobody notices', async t => {
  const { clock, network, a, b, got } = await setup()
  network.setFate(transfer => (transfer.kind === 'frame' && transfer.bytes === 4 ? 'lost' : 0))
  for (const one of ['this', 'arrives']) a.send('b', 'raft', frame(one))
  await clock.advance(5)
  network.mute('a', 'b')
  t.equal(a.send('b', 'raft', frame('muted')), true)
  await clock.advance(5)
  t.ok(a.isConnected('b') && b.isConnected('a'))
  t.same(got, ['1 a arrives'])
})

t.test('a cut breaks the connection and holds until it is healed', async t => {
  const { clock, network, a, got } = await setup()
  a.send('b', 'raft', frame('on its way'))
  network.cut('a', 'b')
  t.equal(a.send('b', 'raft', frame('x')), false)
  await clock.advance(1000)
  t.notOk(a.isConnected('b'))
  network.heal('a', 'b')
  await clock.advance(1000)
  t.ok(a.isConnected('b'))
  t.equal(got[0], '1 b false')
  t.match(got[1], /^1\d\d\d b true$/)
  t.equal(got.length, 2)
})

t.test('a crashed node does nothing any more', async t => {
  const { clock, network, a, b, got } = await setup()
  b.send('a', 'raft', frame('last words'))
  network.crash('b')
  await clock.advance(1000)
  t.same(got, ['1 b false'])
  t.same([b.connectedPeers(), b.send('a', 'raft', frame('x'))], [[], false])
  const again = network.createMesh({ peerId: 'b' })
  await again.start()
  await clock.advance(1000)
  t.ok(a.isConnected('b') && again.isConnected('a'))
})

t.test('the same calls give the same history', async t => {
  const run = async () => {
    const { clock, network, a, got } = await setup({ random: () => 0.25 })
    network.setFate(transfer => (transfer.bytes % 3 === 0 ? 'lost' : transfer.bytes))
    for (let n = 1; n < 20; n += 1) a.send('b', 'raft', frame('x'.repeat(n)))
    await clock.advance(10)
    network.cut('a', 'b')
    await clock.advance(10)
    network.heal('a', 'b')
    await clock.advance(500)
    return got
  }
  t.same(await run(), await run())
})
