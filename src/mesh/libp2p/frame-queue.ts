// What waits for one peer on one channel, and its way onto a stream: the frames of a turn in one write.
import type { Cancel, Clock } from '../../core/clock.ts'
import { meshLimits } from '../mesh-limits.ts'
import { headerBytes } from './frame-parser.ts'

/** A write gathers frames up to this. More per write gains nothing (a noise message has at most 64 KiB). */
const writeBytesMax = 64 * 1024

/** The stream, as far as the queue needs it. */
export interface FrameSink {
  /** False: wait for `drained`. Throws when the stream is closed. */
  send(bytes: Uint8Array): boolean
}

export interface FrameQueue {
  /** False: it would hold more than `meshLimits.queueBytesMax`. */
  push(frame: Uint8Array): boolean
  /** Writes from now on go here; what waits goes first. */
  attach(sink: FrameSink): void
  /** The stream is gone: what comes waits for the next one. */
  detach(): void
  /** The sink takes more. */
  drained(): void
  /** Forgets what waits; returns how many frames. */
  clear(): number
  waitingBytes(): number
}

export function createFrameQueue(clock: Clock): FrameQueue {
  let frames: Uint8Array[] = []
  let next = 0
  let bytes = 0
  let sink: FrameSink | undefined
  let isFull = false
  let scheduled: Cancel | undefined

  /** The next write: several small frames in one buffer, or one large frame by itself. */
  const takeWrite = (): { readonly parts: readonly Uint8Array[]; readonly size: number } => {
    const first = frames[next] as Uint8Array
    if (first.length + headerBytes > writeBytesMax) {
      next += 1
      const header = new Uint8Array(headerBytes)
      writeLength(header, 0, first.length)
      return { parts: [header, first], size: first.length + headerBytes }
    }
    let end = next
    let total = 0
    for (; end < frames.length; end += 1) {
      const size = (frames[end] as Uint8Array).length + headerBytes
      if (total + size > writeBytesMax) break
      total += size
    }
    const write = Buffer.allocUnsafeSlow(total)
    for (let at = 0; next < end; next += 1) {
      const frame = frames[next] as Uint8Array
      writeLength(write, at, frame.length)
      write.set(frame, at + headerBytes)
      at += headerBytes + frame.length
    }
    return { parts: [write], size: total }
  }

  const flush = (): void => {
    scheduled = undefined
    while (sink !== undefined && !isFull && next < frames.length) {
      const { parts, size } = takeWrite()
      bytes -= size
      for (const part of parts) {
        if (sink === undefined) break
        isFull = !sink.send(part)
      }
    }
    if (next === frames.length) {
      frames = []
      next = 0
    } else if (next > 1024) {
      frames = frames.slice(next)
      next = 0
    }
  }
  const schedule = (): void => {
    if (scheduled === undefined && sink !== undefined && !isFull) scheduled = clock.soon(flush)
  }

  return {
    push: frame => {
      const size = frame.length + headerBytes
      if (bytes + size > meshLimits.queueBytesMax) return false
      frames.push(frame)
      bytes += size
      schedule()
      return true
    },
    attach: to => {
      sink = to
      isFull = false
      schedule()
    },
    detach: () => {
      sink = undefined
    },
    drained: () => {
      isFull = false
      schedule()
    },
    clear: () => {
      const count = frames.length - next
      scheduled?.()
      scheduled = undefined
      frames = []
      next = 0
      bytes = 0
      return count
    },
    waitingBytes: () => bytes,
  }
}

function writeLength(target: Uint8Array, at: number, length: number): void {
  target[at] = length >>> 24
  target[at + 1] = length >>> 16
  target[at + 2] = length >>> 8
  target[at + 3] = length
}
