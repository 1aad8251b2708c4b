// Streams over our yamux: all bytes arrive, in both directions and beyond every window, and few frames say how far.
import type { MultiaddrConnection, Stream, StreamMuxer } from '@libp2p/interface'
import { multiaddrConnectionPair } from '@libp2p/utils'
import t, { type Test } from 'tap'
import type { Uint8ArrayList } from 'uint8arraylist'
import { sturdyYamux } from '../../src/mesh/libp2p/sturdy-yamux.ts'

const kibibyte = 1024
const windowUpdate = 1

interface Side {
  readonly muxer: StreamMuxer
  /** Frames that this side has written. */
  readonly counts: { data: number; updates: number }
}

function sideOn(connection: MultiaddrConnection): Side {
  const muxer = sturdyYamux({
    streamOptions: { maxReadBufferLength: 8 * kibibyte * kibibyte },
  })().createStreamMuxer(connection)
  const counts = { data: 0, updates: 0 }
  const send = connection.send.bind(connection)
  connection.send = data => {
    const bytes = data instanceof Uint8Array ? data : data.subarray()
    if (bytes[1] === windowUpdate) counts.updates += 1
    else counts.data += 1
    return send(data)
  }
  return { muxer, counts }
}

async function connected(t: Test): Promise<{ a: Side; b: Side; near: Stream; far: Stream }> {
  const [outbound, inbound] = multiaddrConnectionPair({ delay: 0 })
  const [a, b] = [sideOn(outbound), sideOn(inbound)]
  t.teardown(() => {
    for (const connection of [outbound, inbound]) connection.abort(new Error('the test has ended'))
  })
  const incoming = new Promise<Stream>(resolve => {
    b.muxer.addEventListener('stream', ({ detail }) => resolve(detail), { once: true })
  })
  const near = await a.muxer.createStream()
  near.send(new Uint8Array(1))
  return { a, b, near, far: await incoming }
}

/** Sends so many pieces, as fast as the stream takes them. */
async function pour(stream: Stream, pieces: number, bytes: number): Promise<void> {
  for (let piece = 0; piece < pieces; piece += 1) {
    if (!stream.send(new Uint8Array(bytes).fill(piece)))
      await stream.onDrain({ signal: AbortSignal.timeout(20_000) })
  }
}

function arrived(stream: Stream, bytesMin: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  let sum = 0
  stream.addEventListener('message', ({ data }: { data: Uint8Array | Uint8ArrayList }) => {
    sum += data.byteLength
    if (sum >= bytesMin) resolve(sum)
  })
  return promise
}

for (const bytes of [3 * kibibyte, 100 * kibibyte, 700 * kibibyte]) {
  const pieces = Math.ceil((6 * kibibyte * kibibyte) / bytes)
  t.test(`${pieces} frames of ${bytes} bytes in each direction`, async t => {
    const { near, far } = await connected(t)
    const there = arrived(far, pieces * bytes)
    const back = arrived(near, pieces * bytes)
    await Promise.all([pour(near, pieces, bytes), pour(far, pieces, bytes)])
    t.ok((await there) >= pieces * bytes)
    t.equal(await back, pieces * bytes)
  })
}

t.test('frames that come one by one are not answered one by one', async t => {
  const { a, b, near, far } = await connected(t)
  far.addEventListener('message', () => void far.send(new Uint8Array(1000)))
  for (let number = 0; number < 600; number += 1) {
    const answer = arrived(near, 1)
    near.send(new Uint8Array(1000))
    await answer
  }
  t.ok(a.counts.data >= 600 && b.counts.data >= 600)
  const updates = a.counts.updates + b.counts.updates
  t.ok(updates >= 4 && updates <= 60, `${updates} window updates for ${a.counts.data + b.counts.data} frames`)
})
