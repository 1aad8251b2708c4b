// Yamux, made safe: a stream that is opened as its connection closes must not end the process.
import type { StreamMuxerFactory } from '@libp2p/interface'
import { yamux } from '@libp2p/yamux'

/** The method of a muxer that writes, which its interface does not show. Streams bind it when they are made. */
interface WithSendFrame {
  sendFrame(header: unknown, data?: unknown): boolean
}

/**
 * `@libp2p/yamux` 8.0.3 writes the first frame of a stream in a microtask. When the connection closes in between, the
 * write throws where nobody can catch it, and the process dies. Here such a frame is dropped: the stream itself is told
 * of the close as all streams are.
 */
export function sturdyYamux(init: Parameters<typeof yamux>[0]): () => StreamMuxerFactory {
  const create = yamux(init)
  return () => {
    const factory = create()
    const createStreamMuxer = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = connection => {
      const muxer = createStreamMuxer(connection)
      const writer = muxer as unknown as WithSendFrame
      const sendFrame = writer.sendFrame.bind(muxer)
      writer.sendFrame = (header, data) => {
        if (connection.status !== 'open' && connection.status !== 'closing') return false
        try {
          return sendFrame(header, data)
        } catch (error) {
          if (error instanceof Error && error.name === 'StreamStateError') return false
          throw error
        }
      }
      return muxer
    }
    return factory
  }
}
