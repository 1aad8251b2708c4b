// Our half of a channel to one peer: a queue, and a stream that is opened again for as long as there is a connection.
import type { Connection, Stream } from '@libp2p/interface'
import type { Cancel, Clock } from '../../core/clock.ts'
import { withDeadline } from '../deadline.ts'
import { createFrameQueue, type FrameQueue } from './frame-queue.ts'

const openTimeoutMs = 5000
const reopenMs = 100

export interface OutboundChannel {
  readonly queue: FrameQueue
  isOpen(): boolean
  /** Opens the stream unless it is open or being opened. */
  open(): void
  /** Ends the stream and forgets what waits. Returns the number of frames dropped. */
  close(): number
}

export interface OutboundChannelInit {
  readonly clock: Clock
  readonly protocol: string
  /** A connection to open the stream on. */
  readonly connection: () => Connection | undefined
  /** Written first on every new stream, framed. */
  readonly greeting?: Uint8Array
  onOpen(): void
  /** An open stream ended; it is being opened again. */
  onLost(): void
  /** The peer does not speak the protocol. Not tried again until `open` is called. */
  onRefused(error: Error): void
}

export function createOutboundChannel(init: OutboundChannelInit): OutboundChannel {
  const { clock, protocol } = init
  const queue = createFrameQueue(clock)
  let stream: Stream | undefined
  let isOpening = false
  let isClosed = false
  let retry: Cancel | undefined

  const open = (): void => {
    if (isClosed || isOpening || stream !== undefined) return
    const connection = init.connection()
    if (connection === undefined) return
    retry?.()
    retry = undefined
    isOpening = true
    withDeadline(clock, openTimeoutMs, signal => connection.newStream(protocol, { signal }))
      .finally(() => {
        isOpening = false
      })
      .then(use, (error: Error) => {
        if (isClosed) return
        if (error.name === 'UnsupportedProtocolError') init.onRefused(error)
        else retry = clock.after(reopenMs, open)
      })
  }

  const use = (opened: Stream): void => {
    if (isClosed) {
      opened.abort(new Error('the link is closed'))
      return
    }
    if (opened.status !== 'open') {
      retry = clock.after(reopenMs, open)
      return
    }
    stream = opened
    opened.addEventListener('drain', () => {
      if (stream === opened) queue.drained()
    })
    opened.addEventListener('close', () => {
      if (stream !== opened) return
      stream = undefined
      queue.detach()
      if (isClosed) return
      init.onLost()
      retry = clock.after(0, open)
    })
    const write = (bytes: Uint8Array): boolean => {
      try {
        return opened.send(bytes)
      } catch {
        // The stream ends: its close event opens the next one.
        return false
      }
    }
    if (init.greeting !== undefined) write(init.greeting)
    queue.attach({ send: write })
    init.onOpen()
  }

  return {
    queue,
    isOpen: () => stream !== undefined,
    open,
    close: () => {
      isClosed = true
      retry?.()
      const opened = stream
      stream = undefined
      queue.detach()
      opened?.abort(new Error('the link is closed'))
      return queue.clear()
    },
  }
}
