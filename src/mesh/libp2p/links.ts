// The links to all peers: made when a connection opens, gone when the last one closes.
import { randomBytes } from 'node:crypto'
import type { Connection, Libp2pEvents, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Clock } from '../../core/clock.ts'
import { GlynError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import { type Channel, meshNames } from '../mesh.ts'
import type { Libp2pNode } from './libp2p-node.ts'
import { createLink, type Link } from './link.ts'

const channels: readonly Channel[] = ['raft', 'bulk', 'rpc']

export interface Links {
  /** Before libp2p starts, so that no peer finds a protocol missing. */
  start(): Promise<void>
  stop(): void
  isUp(peerId: string): boolean
  upPeers(): readonly string[]
  send(peerId: string, channel: Channel, frame: Uint8Array): boolean
  /** Resolves when the link is up. Throws PEER_UNREACHABLE when it cannot be, or with the signal. */
  whenUp(peerId: string, signal: AbortSignal): Promise<void>
  /** Ends the link and aborts its connections. */
  hangUp(peerId: string, reason: string): void
}

export interface LinksInit {
  readonly libp2p: Libp2pNode
  readonly scope: string
  readonly clock: Clock
  readonly log: Log
  readonly isAllowed: (peerId: string) => boolean
  readonly deliver: (from: string, channel: Channel, frame: Uint8Array) => void
  readonly onPeerChange: (peerId: string, connected: boolean) => void
  readonly onDropped: (frames: number) => void
}

export function createLinks(init: LinksInit): Links {
  const { libp2p, scope, clock, log, isAllowed } = init
  const session = randomBytes(8).toString('hex')
  const links = new Map<string, Link>()
  const waiting = new Map<string, Set<() => void>>()

  const connectionsOf = (peerId: string): readonly Connection[] =>
    libp2p.getConnections(peerIdFromString(peerId)).filter(one => one.status === 'open')

  const wake = (peerId: string): void => {
    for (const look of waiting.get(peerId) ?? []) look()
  }

  const linkTo = (peerId: string): Link => {
    const known = links.get(peerId)
    if (known !== undefined) return known
    const link = createLink({
      peerId,
      scope,
      session,
      clock,
      log,
      connections: () => connectionsOf(peerId),
      deliver: (channel, frame) => init.deliver(peerId, channel, frame),
      onUp: () => {
        init.onPeerChange(peerId, true)
        wake(peerId)
      },
      onDown: () => init.onPeerChange(peerId, false),
      onRefused: () => wake(peerId),
      onBroken: reason => hangUp(peerId, reason),
    })
    links.set(peerId, link)
    return link
  }

  const remove = (peerId: string): void => {
    const link = links.get(peerId)
    if (link === undefined) return
    links.delete(peerId)
    init.onDropped(link.close())
    wake(peerId)
  }

  const hangUp = (peerId: string, reason: string): void => {
    log.info({ peerId, reason }, 'mesh: hanging up')
    remove(peerId)
    for (const connection of libp2p.getConnections(peerIdFromString(peerId)))
      connection.abort(new Error(reason))
  }

  const onOpen = ({ detail: connection }: Libp2pEvents['connection:open']): void => {
    const peerId = connection.remotePeer.toString()
    if (isAllowed(peerId)) linkTo(peerId).refresh()
    else connection.abort(new Error('this peer is not allowed'))
  }
  const onClose = ({ detail: connection }: Libp2pEvents['connection:close']): void => {
    const peerId = connection.remotePeer.toString()
    if (connectionsOf(peerId).length === 0) remove(peerId)
    else links.get(peerId)?.refresh()
  }

  return {
    start: async () => {
      for (const channel of channels) {
        await libp2p.handle(meshNames.channel(scope, channel), (stream: Stream, connection: Connection) => {
          const peerId = connection.remotePeer.toString()
          if (isAllowed(peerId)) linkTo(peerId).accept(channel, stream, connection)
          else connection.abort(new Error('this peer is not allowed'))
        })
      }
      libp2p.addEventListener('connection:open', onOpen)
      libp2p.addEventListener('connection:close', onClose)
    },
    stop: () => {
      libp2p.removeEventListener('connection:open', onOpen)
      libp2p.removeEventListener('connection:close', onClose)
      for (const peerId of [...links.keys()]) remove(peerId)
    },
    isUp: peerId => links.get(peerId)?.isUp() === true,
    upPeers: () => [...links.values()].filter(link => link.isUp()).map(link => link.peerId),
    send: (peerId, channel, frame) => {
      const sent = links.get(peerId)?.send(channel, frame) === true
      if (!sent) init.onDropped(1)
      return sent
    },
    whenUp: (peerId, signal) =>
      new Promise((resolve, reject) => {
        const looks = waiting.get(peerId) ?? new Set()
        waiting.set(peerId, looks)
        const finish = (obstacle: string | undefined): void => {
          signal.removeEventListener('abort', look)
          looks.delete(look)
          if (looks.size === 0 && waiting.get(peerId) === looks) waiting.delete(peerId)
          if (obstacle === undefined) resolve()
          else reject(new GlynError('PEER_UNREACHABLE', `cannot talk to ${peerId}: ${obstacle}`))
        }
        const look = (): void => {
          const link = links.get(peerId)
          if (link?.isUp()) finish(undefined)
          else if (signal.aborted) finish('it did not greet in time')
          else if (link === undefined) finish('it closed the connection')
          else if (link.refusal() !== undefined) finish(link.refusal())
        }
        looks.add(look)
        signal.addEventListener('abort', look, { once: true })
        if (connectionsOf(peerId).length > 0 && isAllowed(peerId) && !links.has(peerId))
          linkTo(peerId).refresh()
        look()
      }),
    hangUp,
  }
}
