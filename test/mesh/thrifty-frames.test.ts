// What a frame costs on its way: one write to the socket, a cipher whose key is prepared once, no error at the end of a read,
// one look at a signature. The bytes stay those of noise.
import crypto, { randomBytes } from 'node:crypto'
import { Socket } from 'node:net'
import { defaultCrypto } from '@libp2p/noise/crypto'
import t from 'tap'
import { Uint8ArrayList } from 'uint8arraylist'
import { noiseCipher } from '../../src/mesh/libp2p/noise-cipher.ts'
import { startCluster } from './libp2p-cluster.ts'
import { until } from './real-clock.ts'

t.test('what we seal others open, and what others seal we open', async t => {
  const key = randomBytes(32)
  const ad = new Uint8Array()
  for (const length of [0, 1, 1199, 1200, 65_519]) {
    const nonce = randomBytes(12)
    const plain = randomBytes(length)
    const middle = length >> 1
    const inPieces = new Uint8ArrayList(plain.subarray(0, middle), plain.subarray(middle))
    const ours = noiseCipher.chaCha20Poly1305Encrypt(inPieces, nonce, ad, key).subarray()
    const theirs = defaultCrypto.chaCha20Poly1305Encrypt(plain, nonce, ad, key).subarray()
    t.ok(Buffer.from(ours).equals(theirs), `${length} bytes: sealed the same`)
    for (const sealed of [theirs, new Uint8ArrayList(theirs.subarray(0, 8), theirs.subarray(8))]) {
      const opened = noiseCipher.chaCha20Poly1305Decrypt(sealed, nonce, ad, key).subarray()
      t.ok(plain.equals(opened), 'and opened')
    }
    const damaged = Buffer.from(ours)
    damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1
    t.throws(() => noiseCipher.chaCha20Poly1305Decrypt(damaged, nonce, ad, key), 'a tag that does not fit')
    t.throws(() => noiseCipher.chaCha20Poly1305Decrypt(ours, nonce, ad, randomBytes(32)), 'another key')
  }
})

t.test('a frame is one write', async t => {
  let received = 0
  const [a, b] = await startCluster(t, 2, {}, mesh => {
    mesh.handle('raft', () => {
      received += 1
    })
  })
  if (a === undefined || b === undefined) throw new Error('two meshes')
  const frames = 200
  const write = Socket.prototype.write
  let writes = 0
  /** The length that goes before every message of noise, by itself. */
  let prefixes = 0
  t.teardown(() => {
    Socket.prototype.write = write
  })
  Socket.prototype.write = function (this: Socket, ...args: Parameters<typeof write>) {
    writes += 1
    if ((args[0] as Uint8Array).length === 2) prefixes += 1
    return write.apply(this, args)
  } as typeof write
  for (let frame = 1; frame <= frames; frame += 1) {
    a.send(b.peerId, 'raft', new Uint8Array(100))
    await until('it is there', () => received === frame)
  }
  Socket.prototype.write = write
  t.ok(writes >= frames)
  t.equal(prefixes, 0, `${writes} writes for ${frames} frames`)
})

t.test('no read ends in an error that nobody sees', async t => {
  let received = 0
  const [a, b] = await startCluster(t, 2, {}, mesh => {
    mesh.handle('raft', () => {
      received += 1
    })
  })
  if (a === undefined || b === undefined) throw new Error('two meshes')
  const { RangeError: original } = globalThis
  let errors = 0
  t.teardown(() => {
    globalThis.RangeError = original
  })
  // Noise calls it without `new`.
  globalThis.RangeError = new Proxy(original, {
    apply(target, self, args) {
      errors += 1
      return Reflect.apply(target, self, args) as RangeError
    },
  })
  for (let frame = 1; frame <= 50; frame += 1) {
    a.send(b.peerId, 'raft', new Uint8Array(100))
    await until('it is there', () => received === frame)
  }
  // Longer than a message of noise, and than a read: lengths arrive in pieces too.
  for (const length of [70_000, 1_000_003]) {
    const before = received
    a.send(b.peerId, 'raft', new Uint8Array(length))
    await until('it is there', () => received === before + 1)
  }
  t.equal(errors, 0)
})

t.test('every node verifies a message once, however many copies come', async t => {
  const heard = new Map<string, number>()
  const meshes = await startCluster(t, 3, {}, mesh => {
    mesh.subscribe('news', {
      validate: () => 'accept',
      handle: () => void heard.set(mesh.peerId, (heard.get(mesh.peerId) ?? 0) + 1),
    })
  })
  const [author] = meshes
  if (author === undefined) throw new Error('three meshes')
  const publish = async (): Promise<void> => void (await author.publish('news', randomBytes(100)))
  // Forwarding begins when all have met.
  await until('all hear', () => {
    void publish()
    return heard.size === 2
  })
  await new Promise(resolve => setTimeout(resolve, 2000))
  heard.clear()
  let verified = 0
  const verify = crypto.verify
  t.teardown(() => {
    crypto.verify = verify
  })
  crypto.verify = ((...args: Parameters<typeof verify>) => {
    verified += 1
    return verify(...args)
  }) as typeof verify
  const messages = 50
  for (let message = 1; message <= messages; message += 1) {
    await publish()
    await until('both have heard', () => [...heard.values()].filter(count => count >= message).length === 2)
  }
  // The last copies may still be under way.
  await new Promise(resolve => setTimeout(resolve, 200))
  crypto.verify = verify
  t.ok(verified >= 2 * messages && verified < 2.5 * messages, `${verified} for ${messages} messages`)
})
