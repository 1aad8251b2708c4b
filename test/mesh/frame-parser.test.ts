import t from 'tap'
import { createFrameParser } from '../../src/mesh/libp2p/frame-parser.ts'
import { createFrameQueue } from '../../src/mesh/libp2p/frame-queue.ts'
import { meshLimits } from '../../src/mesh/mesh-limits.ts'
import { createManualClock } from './manual-clock.ts'

const frames = [0, 1, 3, 200, 70_000, 0, 5, 65_532, 65_533].map((size, n) => new Uint8Array(size).fill(n + 1))

/** What a queue writes for frames that were sent in one turn. */
async function written(list: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const clock = createManualClock()
  const queue = createFrameQueue(clock)
  const writes: Uint8Array[] = []
  queue.attach({ send: bytes => writes.push(bytes) > 0 })
  for (const frame of list) queue.push(frame)
  await clock.advance(0)
  return writes
}

t.test('however a stream is cut, the frames come out as they went in', async t => {
  const stream = Buffer.concat(await written(frames))
  for (const size of [1, 2, 3, 4, 5, 7, 64, 1000, 65_536, stream.length]) {
    const got: Uint8Array[] = []
    const parser = createFrameParser(frame => got.push(frame))
    for (let at = 0; at < stream.length; at += size) parser.push(stream.subarray(at, at + size))
    t.ok(
      got.length === frames.length &&
        got.every((frame, n) => Buffer.compare(frame, frames[n] as Uint8Array) === 0),
      `chunks of ${size}`,
    )
  }
})

t.test('a length past the bound is no frame', async t => {
  const parser = createFrameParser(() => t.fail('a frame'))
  t.throws(() => parser.push(Uint8Array.of(0, 64, 0, 1)), { name: 'FrameFormatError' })
})

t.test('a queue waits while its stream is full or gone, and keeps order and bound', async t => {
  const clock = createManualClock()
  const queue = createFrameQueue(clock)
  const got: number[] = []
  const parser = createFrameParser(frame => got.push(frame[0] ?? -1))
  let takes = 1
  const sink = {
    send: (bytes: Uint8Array) => {
      parser.push(bytes)
      takes -= 1
      return takes > 0
    },
  }
  const large = (n: number) => new Uint8Array(60_000).fill(n)
  for (const n of [1, 2, 3]) t.ok(queue.push(large(n)))
  await clock.advance(1)
  t.same(got, [])
  queue.attach(sink)
  await clock.advance(1)
  t.same(got, [1])
  takes = 1
  queue.drained()
  await clock.advance(1)
  t.same(got, [1, 2])
  queue.detach()
  queue.drained()
  await clock.advance(1)
  t.same(got, [1, 2])
  takes = 9
  queue.attach(sink)
  await clock.advance(1)
  t.same([got, queue.waitingBytes()], [[1, 2, 3], 0])
  queue.detach()
  const most = new Uint8Array(meshLimits.frameBytesMax)
  const taken = [1, 2, 3, 4].map(() => queue.push(most))
  t.same(taken, [true, true, true, false])
  t.equal(queue.clear(), 3)
  t.ok(queue.push(most))
})
