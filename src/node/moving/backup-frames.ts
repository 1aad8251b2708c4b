// The bytes of a backup: a line that says what it is, then frames. A frame is four bytes of length, big-endian, then so many
// bytes, the first of which is its kind, then four bytes of CRC-32 over those.
import { crc32 } from 'node:zlib'

export const backupMagic = Buffer.from('glyn-node backup 1\n')

/** `error` stands at the end of a stream that failed, and in no file. */
export const frameKinds = { header: 1, entries: 2, end: 3, error: 4 } as const
export type FrameKind = keyof typeof frameKinds

export interface Frame {
  readonly kind: FrameKind | null
  readonly body: Buffer
  /** Of its first byte. */
  readonly offset: number
  /** All of it. */
  readonly bytes: Buffer
  /** Its checksum fits. */
  readonly isGood: boolean
}

/** The largest entry, and the frame that entries are read in. */
export const frameBytesMax = 16 * 1024 * 1024
const lengthBytes = 4
const sumBytes = 4

export function encodeFrame(kind: FrameKind, body: Uint8Array): Buffer {
  const frame = Buffer.alloc(lengthBytes + 1 + body.length + sumBytes)
  frame.writeUInt32BE(1 + body.length, 0)
  frame.writeUInt8(frameKinds[kind], lengthBytes)
  frame.set(body, lengthBytes + 1)
  const end = frame.length - sumBytes
  frame.writeUInt32BE(crc32(frame.subarray(lengthBytes, end)), end)
  return frame
}

export type Cut = {
  readonly type: 'magic' | 'cut' | 'length'
  /** Where it stops to be one. */
  readonly offset: number
}

/** Yields what is whole. Ends with why it stopped, or null at the end of the last frame. */
export async function* readFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<Frame, Cut | null> {
  let rest: Buffer = Buffer.alloc(0)
  let offset = 0
  let hasBegun = false
  for await (const chunk of source) {
    rest =
      rest.length === 0
        ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
        : Buffer.concat([rest, chunk])
    if (!hasBegun) {
      if (rest.length < backupMagic.length) continue
      if (!rest.subarray(0, backupMagic.length).equals(backupMagic)) return { type: 'magic', offset: 0 }
      rest = rest.subarray(backupMagic.length)
      offset = backupMagic.length
      hasBegun = true
    }
    while (rest.length >= lengthBytes) {
      const length = rest.readUInt32BE(0)
      if (length < 1 || length > frameBytesMax) return { type: 'length', offset }
      const size = lengthBytes + length + sumBytes
      if (rest.length < size) break
      yield toFrame(rest.subarray(0, size), offset)
      rest = rest.subarray(size)
      offset += size
    }
  }
  if (!hasBegun) return { type: 'magic', offset: 0 }
  return rest.length === 0 ? null : { type: 'cut', offset }
}

function toFrame(bytes: Buffer, offset: number): Frame {
  const end = bytes.length - sumBytes
  const number = bytes[lengthBytes]
  const kind = (Object.keys(frameKinds) as FrameKind[]).find(name => frameKinds[name] === number) ?? null
  const isGood = crc32(bytes.subarray(lengthBytes, end)) === bytes.readUInt32BE(end)
  return { kind, body: bytes.subarray(lengthBytes + 1, end), offset, bytes, isGood }
}
