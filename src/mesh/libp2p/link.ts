// The link to one peer: up when both sides have greeted each other, over whichever connections there are.
import type { Connection, Stream, StreamMessageEvent } from '@libp2p/interface'
import type { Cancel, Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { type Channel, meshNames } from '../mesh.ts'
import { createFrameParser, FrameFormatError } from './frame-parser.ts'
import { decodeHello, encodeHello } from './hello.ts'
import { createOutboundChannel, type OutboundChannel } from './outbound-channel.ts'

/** A link that lost its greeting streams while a connection lives has this long to get new ones. */
const repairMs = 5000

export interface Link {
  readonly peerId: string
  isUp(): boolean
  /** Why the peer will not be up on the connections there are, if that is known. */
  refusal(): string | undefined
  /** A new connection is there, or an old one ended while others live. */
  refresh(): void
  accept(channel: Channel, stream: Stream, connection: Connection): void
  send(channel: Channel, frame: Uint8Array): boolean
  /** Ends all streams. Returns the number of frames dropped. */
  close(): number
}

export interface LinkInit {
  readonly peerId: string
  readonly scope: string
  readonly session: string
  readonly clock: Clock
  readonly log: Log
  /** Open connections to the peer, oldest first. */
  readonly connections: () => readonly Connection[]
  readonly deliver: (channel: Channel, frame: Uint8Array) => void
  readonly onUp: () => void
  readonly onDown: () => void
  readonly onRefused: () => void
  /** The link cannot be repaired: its connections are of no use. */
  readonly onBroken: (reason: string) => void
}

interface Inbound {
  readonly stream: Stream
  /** Frames that came before the link was up. The stream is paused meanwhile. */
  held: Uint8Array[]
}

export function createLink(init: LinkInit): Link {
  const { peerId, clock, log } = init
  const inbound = new Map<Channel, Inbound>()
  const outbound = new Map<Channel, OutboundChannel>()
  let session: string | undefined
  let isGreeted = false
  let isUp = false
  let isClosed = false
  let refusal: string | undefined
  let repair: Cancel | undefined

  const out = (channel: Channel): OutboundChannel => {
    let known = outbound.get(channel)
    if (known === undefined) {
      known = createOutboundChannel({
        clock,
        protocol: meshNames.channel(init.scope, channel),
        connection: () => init.connections()[0],
        ...(channel === 'raft' ? { greeting: greetingOf(init.session) } : {}),
        onOpen: channel === 'raft' ? maybeBecomeUp : () => {},
        onLost: channel === 'raft' ? armRepair : () => {},
        onRefused: error => {
          if (channel !== 'raft') return
          refusal = `it does not speak ${meshNames.channel(init.scope, channel)}`
          log.debug({ peerId, err: error }, 'mesh: a peer of another scope or version is connected')
          init.onRefused()
        },
      })
      outbound.set(channel, known)
    }
    return known
  }

  const maybeBecomeUp = (): void => {
    if (isClosed || !isGreeted || !out('raft').isOpen()) return
    repair?.()
    repair = undefined
    if (isUp) return
    isUp = true
    init.onUp()
    for (const [channel, one] of inbound) {
      const frames = one.held
      one.held = []
      for (const frame of frames) init.deliver(channel, frame)
      if (one.stream.readStatus === 'paused') one.stream.resume()
    }
  }
  const becomeDown = (): void => {
    if (!isUp) return
    isUp = false
    init.onDown()
  }
  const armRepair = (): void => {
    if (isClosed || repair !== undefined) return
    repair = clock.after(repairMs, () => {
      repair = undefined
      init.onBroken(`its streams did not come back within ${repairMs} ms`)
    })
  }

  const greet = (hello: { readonly session: string }, connection: Connection): void => {
    const isAnotherRun = session !== undefined && session !== hello.session
    session = hello.session
    isGreeted = true
    if (isAnotherRun) {
      // The peer started anew before we saw its old connections end: what waits was for the old run.
      becomeDown()
      for (const one of outbound.values()) one.close()
      outbound.clear()
      for (const old of init.connections()) {
        if (old.id !== connection.id) old.abort(new Error('the peer was started anew'))
      }
      out('raft').open()
    }
    maybeBecomeUp()
  }

  const accept = (channel: Channel, stream: Stream, connection: Connection): void => {
    // The peer opens a stream anew only when its old one is dead: nothing of that may come after this.
    const old = inbound.get(channel)
    const current: Inbound = { stream, held: [] }
    inbound.set(channel, current)
    old?.stream.abort(new Error('the peer opened this channel anew'))
    if (channel === 'raft') isGreeted = false
    let expectsHello = channel === 'raft'

    const parser = createFrameParser(frame => {
      if (inbound.get(channel) !== current) return
      if (expectsHello) {
        expectsHello = false
        greet(decodeHello(frame), connection)
      } else if (isUp && current.held.length === 0) init.deliver(channel, frame)
      else current.held.push(frame)
    })
    stream.addEventListener('message', (event: StreamMessageEvent) => {
      try {
        const { data } = event
        if (data instanceof Uint8Array) parser.push(data)
        else for (const chunk of data) parser.push(chunk)
      } catch (error) {
        if (!(error instanceof FrameFormatError)) throw error
        log.warn({ peerId, channel, err: error }, 'mesh: a stream is closed, what came on it is no frame')
        stream.abort(error)
      }
      if (!isUp && !expectsHello && stream.readStatus === 'readable') stream.pause()
    })
    stream.addEventListener('close', () => {
      if (inbound.get(channel) !== current) return
      inbound.delete(channel)
      if (channel !== 'raft') return
      isGreeted = false
      armRepair()
    })
    if (channel !== 'raft' && !isUp) stream.pause()
    else if (channel === 'raft') armRepair()
  }

  return {
    peerId,
    isUp: () => isUp,
    refusal: () => refusal,
    refresh: () => {
      refusal = undefined
      out('raft').open()
    },
    accept,
    send: (channel, frame) => {
      if (!isUp) return false
      const { queue, open } = out(channel)
      open()
      return queue.push(frame)
    },
    close: () => {
      isClosed = true
      repair?.()
      let dropped = 0
      for (const one of outbound.values()) dropped += one.close()
      const streams = [...inbound.values()]
      inbound.clear()
      for (const { stream } of streams) stream.abort(new Error('the link is closed'))
      becomeDown()
      return dropped
    },
  }
}

/** The hello as the first frame of a stream. */
function greetingOf(session: string): Uint8Array {
  const hello = encodeHello(session)
  return Uint8Array.of(0, 0, 0, hello.length, ...hello)
}
