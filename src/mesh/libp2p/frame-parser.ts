// Frames on a stream: four bytes of length, big-endian, then the frame.
import { meshLimits } from '../mesh-limits.ts'

export const headerBytes = 4

/** The bytes on a stream are not what a sender of ours writes. */
export class FrameFormatError extends Error {
  override readonly name = 'FrameFormatError'
}

export interface FrameParser {
  /**
   * Takes the next bytes of the stream and yields every frame they complete. A frame that lies within one chunk is
   * a view of it; others are copied once. Throws FrameFormatError on a length that no sender of ours writes.
   */
  push(chunk: Uint8Array): void
}

export function createFrameParser(onFrame: (frame: Uint8Array) => void): FrameParser {
  const header = new Uint8Array(headerBytes)
  let headerFilled = 0
  /** A frame that spans chunks. */
  let partial: Uint8Array | undefined
  let partialFilled = 0

  const checkLength = (length: number): number => {
    if (length <= meshLimits.frameBytesMax) return length
    throw new FrameFormatError(`a frame of ${length} bytes; allowed: ${meshLimits.frameBytesMax}`)
  }

  return {
    push: chunk => {
      let at = 0
      while (at < chunk.length) {
        if (partial !== undefined) {
          const part = chunk.subarray(at, at + partial.length - partialFilled)
          partial.set(part, partialFilled)
          partialFilled += part.length
          at += part.length
          if (partialFilled < partial.length) return
          const frame = partial
          partial = undefined
          onFrame(frame)
          continue
        }
        if (headerFilled === 0 && at + headerBytes <= chunk.length) {
          const length = checkLength(readLength(chunk, at))
          at += headerBytes
          if (at + length <= chunk.length) {
            onFrame(chunk.subarray(at, at + length))
            at += length
            continue
          }
          partial = new Uint8Array(length)
          partialFilled = 0
          continue
        }
        header[headerFilled] = chunk[at] ?? 0
        headerFilled += 1
        at += 1
        if (headerFilled < headerBytes) continue
        headerFilled = 0
        const length = checkLength(readLength(header, 0))
        if (length === 0) onFrame(new Uint8Array(0))
        else {
          partial = new Uint8Array(length)
          partialFilled = 0
        }
      }
    },
  }
}

const readLength = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] ?? 0) << 24) |
    ((bytes[at + 1] ?? 0) << 16) |
    ((bytes[at + 2] ?? 0) << 8) |
    (bytes[at + 3] ?? 0)) >>>
  0
