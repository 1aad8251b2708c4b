// Yamux, made safe and thrifty: a stream that is opened as its connection closes must not end the process, and not every
// frame is answered with a window update.
import type { StreamMuxerFactory } from '@libp2p/interface'
import { yamux } from '@libp2p/yamux'

interface FrameHeader {
  readonly type: number
  readonly flag: number
  readonly streamID: number
  /** Of a window update: the bytes that the peer may send beyond those it was told of before. */
  readonly length: number
}

/** What a muxer has that its interface does not show. Streams bind `sendFrame` when they are made. */
interface MuxerInside {
  sendFrame(header: FrameHeader, data?: unknown): boolean
  closeStream(id: number): void
}

/** `Window Update` of the yamux specification, and no flag: it opens, confirms and ends nothing. */
const windowUpdate = 1
const noFlag = 0

/**
 * Half of the window that every stream begins with. The specification leaves open when to send an update; so does
 * hashicorp's own. Less than half is never held back from a peer that has used up its window.
 */
const updateBytesMin = 128 * 1024

/**
 * `@libp2p/yamux` 8.0.3 writes the first frame of a stream in a microtask. When the connection closes in between, the
 * write throws where nobody can catch it, and the process dies. Here such a frame is dropped: the stream itself is told
 * of the close as all streams are.
 *
 * It also sends a window update for every data frame: each is encrypted, written, read and decrypted by itself, which
 * costs as much as a frame of data. Here they are added up until half a window is used.
 */
export function sturdyYamux(init: Parameters<typeof yamux>[0]): () => StreamMuxerFactory {
  const create = yamux(init)
  return () => {
    const factory = create()
    const createStreamMuxer = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = connection => {
      const muxer = createStreamMuxer(connection)
      const inside = muxer as unknown as MuxerInside
      const sendFrame = inside.sendFrame.bind(muxer)
      const closeStream = inside.closeStream.bind(muxer)
      /** By stream: the bytes of window that its peer was not told of yet. */
      const unsaid = new Map<number, number>()
      inside.sendFrame = (header, data) => {
        if (connection.status !== 'open' && connection.status !== 'closing') return false
        const due = thrifty(header, unsaid)
        if (due === undefined) return true
        try {
          return sendFrame(due, data)
        } catch (error) {
          if (error instanceof Error && error.name === 'StreamStateError') return false
          throw error
        }
      }
      inside.closeStream = id => {
        unsaid.delete(id)
        closeStream(id)
      }
      return muxer
    }
    return factory
  }
}

/** The frame to send; undefined for a window update that can wait, and is added to the next one. */
function thrifty(header: FrameHeader, unsaid: Map<number, number>): FrameHeader | undefined {
  const { type, flag, streamID, length } = header
  if (type !== windowUpdate || flag !== noFlag) return header
  const sum = (unsaid.get(streamID) ?? 0) + length
  if (sum < updateBytesMin) {
    unsaid.set(streamID, sum)
    return undefined
  }
  unsaid.delete(streamID)
  return { ...header, length: sum }
}
