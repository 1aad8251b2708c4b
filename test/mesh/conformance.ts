// What every mesh promises, whatever carries it. Run by the test of each adapter.
import type { Test } from 'tap'
import { hasCode } from '../../src/core/errors.ts'
import type { Channel, Mesh, RecordRules, TopicHandler } from '../../src/mesh/mesh.ts'
import { meshLimits } from '../../src/mesh/mesh-limits.ts'
import { until } from './real-clock.ts'

export interface MeshHarness {
  /** A started mesh that stops with its test. `prepare` sees it before it starts. */
  start(
    t: Pick<Test, 'teardown'>,
    options?: {
      readonly scope?: string
      readonly mode?: 'node' | 'client'
      /** Come back as this one, which was stopped. */
      readonly as?: Mesh
      readonly prepare?: (mesh: Mesh) => void
    },
  ): Promise<Mesh>
}

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString()
const soon = (): AbortSignal => AbortSignal.timeout(60_000)
const addressOf = (mesh: Mesh): string => mesh.addresses()[0] ?? 'none'
const asMember = (mesh: Mesh) => ({ peerId: mesh.peerId, addresses: mesh.addresses() })

/** Values `<number>`: the higher wins, a lower one than known is refused. */
export function numberedRecords(prefix: string): RecordRules {
  const known = new Map<string, number>()
  return {
    prefix,
    validate: async (key, value) => {
      const number = Number(text(value))
      if (!Number.isInteger(number)) throw new Error('no number')
      if (number < (known.get(key) ?? 0)) throw new Error(`older than ${known.get(key)}`)
      known.set(key, number)
    },
    select: (_, values) => {
      const numbers = values.map(value => Number(text(value)))
      return numbers.indexOf(Math.max(...numbers))
    },
  }
}

export function meshConformance(t: Test, harness: MeshHarness): void {
  const pair = async (t: Pick<Test, 'teardown'>, prepare: (mesh: Mesh) => void = () => {}) => {
    const [a, b] = [await harness.start(t, { prepare }), await harness.start(t, { prepare })]
    a.setMembers([asMember(b)])
    b.setMembers([asMember(a)])
    await until('both are connected', () => a.isConnected(b.peerId) && b.isConnected(a.peerId))
    return [a, b] as const
  }

  t.test('members connect, and each change is told once', async t => {
    const changes: string[] = []
    const [a, b] = await pair(t, mesh =>
      mesh.onPeerChange((peerId, connected) => changes.push(`${mesh.peerId} ${peerId} ${connected}`)),
    )
    t.same(a.connectedPeers(), [b.peerId])
    await until('both were told', () => changes.length >= 2)
    await b.stop()
    await until('a sees b go', () => !a.isConnected(b.peerId))
    await until('all changes are told', () => changes.length >= 4)
    t.same(
      changes.toSorted(),
      [true, false]
        .flatMap(up => [`${a.peerId} ${b.peerId} ${up}`, `${b.peerId} ${a.peerId} ${up}`])
        .toSorted(),
    )
    t.same(a.connectedPeers(), [])
  })

  t.test('a mesh that stops tells the end of those connections of which it told the beginning', async t => {
    for (let round = 0; round < 5; round += 1) {
      const changes: boolean[] = []
      const [a, b] = [
        await harness.start(t, { prepare: mesh => mesh.onPeerChange((_, up) => changes.push(up)) }),
        await harness.start(t),
      ]
      a.setMembers([asMember(b)])
      // Also in the turn in which they connect.
      for (const end = performance.now() + 60_000; !a.isConnected(b.peerId) && performance.now() < end; )
        await new Promise(resolve => setImmediate(resolve))
      t.ok(a.isConnected(b.peerId))
      await a.stop()
      await b.stop()
      t.ok(changes.join() === 'true,false' || changes.length === 0, `told ${changes.join()}`)
    }
  })

  t.test('a member that comes back is connected again', async t => {
    const [a, b] = await pair(t)
    await b.stop()
    await until('a sees b go', () => !a.isConnected(b.peerId))
    const again = await harness.start(t, { as: b })
    t.equal(again.peerId, b.peerId)
    await until('a sees b again', () => a.isConnected(b.peerId) && again.isConnected(a.peerId))
  })

  t.test('connect says who answered, or that nobody did', async t => {
    const [a, b] = [await harness.start(t), await harness.start(t, { mode: 'client' })]
    t.same(b.addresses(), [])
    t.equal(await b.connect(addressOf(a), { signal: soon() }), a.peerId)
    await until('both are connected', () => a.isConnected(b.peerId) && b.isConnected(a.peerId))
    const address = addressOf(a)
    await a.stop()
    await until('b sees a go', () => !b.isConnected(a.peerId))
    await t.rejects(b.connect(address, { signal: soon() }), { code: 'PEER_UNREACHABLE' })
    await t.rejects(b.connect(address, { signal: AbortSignal.abort() }), { code: 'PEER_UNREACHABLE' })
    await t.rejects(b.connect('/nonsense', { signal: soon() }), { code: 'PEER_UNREACHABLE' })
  })

  t.test('frames of one peer and channel arrive whole and in order, of any size', async t => {
    const channels: readonly Channel[] = ['raft', 'bulk', 'rpc']
    const got = new Map<string, number[]>()
    const [a, b] = await pair(t, mesh => {
      for (const channel of channels) {
        mesh.handle(channel, (from, frame) => {
          const numbers = got.get(`${from} ${channel}`) ?? []
          got.set(`${from} ${channel}`, numbers)
          numbers.push(frame.length === 0 ? -1 : Buffer.from(frame).readUInt32BE(frame.length - 4))
        })
      }
    })
    const sizes = [4, 200, 5, 70_000, 65_532, 65_531, 65_536, 1_000_000, 4, meshLimits.frameBytesMax]
    const expected: number[] = []
    for (let n = 0; n < 2000; n += 1) {
      const size = n < sizes.length ? (sizes[n] ?? 4) : 4 + (n % 300)
      const frame = Buffer.alloc(size)
      frame.writeUInt32BE(n, size - 4)
      for (const channel of channels) {
        if (!a.send(b.peerId, channel, frame) || !b.send(a.peerId, channel, frame)) t.fail(`refused ${n}`)
      }
      expected.push(n)
    }
    a.send(b.peerId, 'rpc', new Uint8Array(0))
    const all = () => [...got.values()].reduce((sum, numbers) => sum + numbers.length, 0)
    await until('all frames are there', () => all() === 12_001)
    t.same(got.get(`${a.peerId} rpc`), [...expected, -1])
    for (const channel of ['raft', 'bulk']) t.same(got.get(`${b.peerId} ${channel}`), expected)
    t.throws(() => a.send(b.peerId, 'raft', new Uint8Array(meshLimits.frameBytesMax + 1)), {
      code: 'MESSAGE_TOO_LARGE',
    })
  })

  t.test('what is sent as soon as a peer is told as connected arrives, on every channel', async t => {
    const channels: readonly Channel[] = ['rpc', 'bulk', 'raft']
    for (let round = 0; round < 5; round += 1) {
      const got: string[] = []
      await pair(t, mesh => {
        for (const channel of channels) {
          mesh.handle(channel, (_, frame) => got.push(`${mesh.peerId} ${channel} ${text(frame)}`))
        }
        mesh.onPeerChange((peerId, connected) => {
          if (!connected) return
          for (const channel of channels) for (const one of ['1', '2']) mesh.send(peerId, channel, bytes(one))
        })
      })
      await until(`all twelve frames of round ${round} are there`, () => got.length === 12)
      t.equal(new Set(got).size, 12)
    }
  })

  t.test('a frame to one who is not connected is refused', async t => {
    const a = await harness.start(t)
    const b = await harness.start(t)
    t.equal(a.send(b.peerId, 'raft', bytes('x')), false)
  })

  t.test('a full queue refuses frames, and takes more when it has drained', async t => {
    let received = 0
    const [a, b] = await pair(t, mesh => mesh.handle('bulk', () => (received += 1)))
    const frame = new Uint8Array(meshLimits.frameBytesMax)
    let accepted = 0
    while (a.send(b.peerId, 'bulk', frame)) accepted += 1
    t.ok(accepted >= 3 && accepted <= 8, `${accepted} frames of 4 MiB were taken`)
    await until('what was taken arrives', () => received === accepted)
    t.equal(a.send(b.peerId, 'bulk', frame), true)
    await until('and the next', () => received === accepted + 1)
  })

  t.test('the gate refuses and hangs up, until it opens', async t => {
    const [a, b] = await pair(t)
    a.setGate(peerId => peerId !== b.peerId)
    t.notOk(a.isConnected(b.peerId))
    await until('b notices', () => !b.isConnected(a.peerId))
    await t.rejects(a.connect(addressOf(b), { signal: soon() }), { code: 'PEER_UNREACHABLE' })
    await t.rejects(b.connect(addressOf(a), { signal: soon() }), { code: 'PEER_UNREACHABLE' })
    t.notOk(a.isConnected(b.peerId))
    a.setGate(() => true)
    await until('both are connected again', () => a.isConnected(b.peerId) && b.isConnected(a.peerId))
  })

  t.test('a message reaches every subscriber once, but not its author, and no other topic', async t => {
    const all: string[] = []
    // Late copies of what was tried while the subscriptions spread do not count.
    const got = (): string[] => all.filter(one => !/ try \d+$/.test(one))
    const meshes: Mesh[] = []
    for (let n = 0; n < 3; n += 1) {
      const prepare = (mesh: Mesh): void => {
        const handle = (topic: string) => (from: string, data: Uint8Array) =>
          void all.push(`${topic} ${mesh.peerId} ${from} ${text(data)}`)
        const validate = (_: string, data: Uint8Array) =>
          text(data) === 'bad' ? 'reject' : text(data) === 'odd' ? 'ignore' : 'accept'
        mesh.subscribe('money', { validate, handle: handle('money') })
        mesh.subscribe('other', { validate, handle: handle('other') })
      }
      meshes.push(await harness.start(t, { prepare }))
    }
    for (const mesh of meshes) mesh.setMembers(meshes.map(asMember))
    const [a, b, c] = meshes as [Mesh, Mesh, Mesh]
    await until('a knows that others listen', () => a.hasSubscribers('money'))
    t.notOk(a.hasSubscribers('nothing'), 'of a topic that nobody listens to, nobody does')
    let recipients = 0
    // A subscription needs a moment after the connection.
    for (let n = 0; recipients < 2; n += 1) {
      await until('a is connected', () => a.connectedPeers().length === 2)
      recipients = (await a.publish('money', bytes(`try ${n}`))).recipients
      if (recipients < 2) await new Promise(resolve => setTimeout(resolve, 20))
    }
    t.equal(recipients, 2)
    await until('b and c have it', () =>
      [b, c].every(mesh => all.some(one => one.includes(` ${mesh.peerId} `))),
    )
    for (const one of ['bad', 'odd', 'one', 'two']) await a.publish('money', bytes(one))
    await until('b and c have them', () => got().length >= 4)
    const expected = [b, c].flatMap(mesh =>
      ['one', 'two'].map(one => `money ${mesh.peerId} ${a.peerId} ${one}`),
    )
    t.same(got().toSorted(), expected.toSorted())
    const large = new Uint8Array(meshLimits.gossipBytesMax + 1)
    await t.rejects(a.publish('money', large), { code: 'MESSAGE_TOO_LARGE' })
    await a.publish('money', large.subarray(1))
    await until('the largest message passes', () => got().length === 6)
  })

  t.test('another scope never connects, hears or speaks', async t => {
    const heard: string[] = []
    const prepare = (mesh: Mesh): void => {
      mesh.handle('raft', from => void heard.push(from))
      mesh.subscribe('money', { validate: () => 'accept', handle: from => void heard.push(from) })
      mesh.onPeerChange(peerId => void heard.push(peerId))
    }
    const a = await harness.start(t, { scope: 'one', prepare })
    const b = await harness.start(t, { scope: 'two', prepare })
    await t.rejects(a.connect(addressOf(b), { signal: soon() }), { code: 'PEER_UNREACHABLE' })
    b.setMembers([asMember(a)])
    await t.rejects(b.connect(addressOf(a), { signal: soon() }), { code: 'PEER_UNREACHABLE' })
    t.equal((await a.publish('money', bytes('x'))).recipients, 0)
    t.equal(a.send(b.peerId, 'raft', bytes('x')), false)
    t.same([a.connectedPeers(), b.connectedPeers(), heard], [[], [], []])
  })

  t.test('a record is found by others, and an older one does not replace it', async t => {
    const prefix = '/glyn/default/'
    const key = `${prefix}7`
    const [a, b] = await pair(t, mesh => mesh.setRecordRules(numberedRecords(prefix)))
    const c = await harness.start(t, {
      mode: 'client',
      prepare: mesh => mesh.setRecordRules(numberedRecords(prefix)),
    })
    await c.connect(addressOf(a), { signal: soon() })
    const put = async (mesh: Mesh, value: string) =>
      (await mesh.putRecord(key, bytes(value), { signal: soon() })).acknowledged
    // The routing tables of a DHT fill a moment after the connection, and a busy peer may not answer in time.
    const putUntilStored = async (mesh: Mesh, value: string): Promise<number> => {
      for (const end = performance.now() + 60_000; ; ) {
        const acknowledged = await put(mesh, value)
        if (acknowledged > 0 || performance.now() > end) return acknowledged
      }
    }
    t.ok((await putUntilStored(a, '2')) > 0, 'somebody stores the record')
    t.equal(text(await b.getRecord(key, { signal: soon() })), '2')
    let found = ''
    for (const end = performance.now() + 60_000; found === '' && performance.now() < end; ) {
      found = text(await c.getRecord(key, { signal: soon() }))
    }
    t.equal(found, '2')
    await t.rejects(put(b, '1'), { message: /older/ })
    t.equal(await putUntilStored(b, '3'), 1)
    t.equal(text(await a.getRecord(key, { signal: soon() })), '3')
    t.equal(await a.getRecord(`${prefix}8`, { signal: soon() }), undefined)
    await t.rejects(a.putRecord('/glyn/elsewhere/1', bytes('1'), { signal: soon() }), {
      code: 'INVALID_ARGUMENT',
    })
    const large = new Uint8Array(meshLimits.recordBytesMax + 1)
    await t.rejects(a.putRecord(key, large, { signal: soon() }), { code: 'MESSAGE_TOO_LARGE' })
    return undefined
  })

  t.test('a record that nobody else stores is acknowledged by none, at once', async t => {
    const a = await harness.start(t, {
      prepare: mesh => mesh.setRecordRules(numberedRecords('/glyn/default/')),
    })
    const startMs = performance.now()
    t.same(await a.putRecord('/glyn/default/1', bytes('1'), { signal: soon() }), { acknowledged: 0 })
    t.equal(text(await a.getRecord('/glyn/default/1', { signal: soon() })), '1')
    t.equal(await a.getRecord('/glyn/default/2', { signal: soon() }), undefined)
    t.ok(performance.now() - startMs < 30_000, 'without waiting for the deadline')
  })

  t.test('a signature tells who made it, over what', async t => {
    const [a, b] = [await harness.start(t), await harness.start(t)]
    const signature = await a.sign(bytes('hello'))
    t.ok(await b.verify(a.peerId, bytes('hello'), signature))
    t.notOk(await b.verify(a.peerId, bytes('hullo'), signature))
    t.notOk(await b.verify(b.peerId, bytes('hello'), signature))
    t.notOk(await b.verify(a.peerId, bytes('hello'), signature.subarray(1)))
    t.notOk(await b.verify('nobody', bytes('hello'), signature))
  })

  t.test('a second handler for one channel or topic is a mistake', async t => {
    const a = await harness.start(t)
    const handler: TopicHandler = { validate: () => 'accept', handle: () => {} }
    a.handle('raft', () => {})
    a.subscribe('money', handler)
    for (const again of [() => a.handle('raft', () => {}), () => a.subscribe('money', handler)]) {
      try {
        again()
        t.fail('it was taken')
      } catch (error) {
        t.ok(hasCode(error, 'INVALID_ARGUMENT'))
      }
    }
  })

  t.test('stop is quiet afterwards and may be called twice', async t => {
    const [a, b] = await pair(t)
    await a.stop()
    await a.stop()
    t.same([a.addresses(), a.connectedPeers(), a.send(b.peerId, 'raft', bytes('x'))], [[], [], false])
  })
}
