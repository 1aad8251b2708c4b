// Topics over gossipsub. Every message is signed; who may author what, the handlers of the topics decide.
import { type Message, TopicValidatorResult } from '@chainsafe/libp2p-gossipsub'
import type { Connection, PeerId, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { GlynError } from '../../core/errors.ts'
import { type Mesh, meshNames, type TopicHandler } from '../mesh.ts'
import { checkGossipSize } from '../size-checks.ts'
import type { Libp2pNode } from './libp2p-node.ts'

export interface Gossip extends Pick<Mesh, 'publish' | 'subscribe' | 'hasSubscribers'> {
  start(): void
  /**
   * To be called when a peer is connected, and to repair: opens a stream to it unless one is open. gossipsub itself
   * waits for identify, which is tried once and may fail, and keeps streams that ended before it looked.
   */
  meet(peerId: string): void
  /** To be called when a peer is gone. gossipsub itself forgets only those that identify has introduced. */
  part(peerId: string): void
  /** True when open streams to and from the peer exist and it told us its topics. */
  isHealthy(peerId: string): boolean
}

export interface GossipInit {
  readonly libp2p: Libp2pNode
  readonly scope: string
  readonly mode: 'node' | 'client'
  readonly isAllowed: (peerId: string) => boolean
}

/** What gossipsub keeps and does per peer: in its class, not in its interface. */
interface Internals {
  readonly streamsInbound: ReadonlyMap<string, { readonly rawStream: Stream }>
  readonly streamsOutbound: Map<string, { readonly rawStream: Stream }>
  onPeerConnected(peerId: PeerId, connection: Connection): void
  onPeerDisconnected(peerId: PeerId): void
}

/** Every node subscribes to it and nobody publishes: who is listed for it has a working stream to us. */
const aliveTopic = 'mesh-alive'

const results = {
  accept: TopicValidatorResult.Accept,
  reject: TopicValidatorResult.Reject,
  ignore: TopicValidatorResult.Ignore,
} as const

export function createGossip({ libp2p, scope, mode, isAllowed }: GossipInit): Gossip {
  const { pubsub } = libp2p.services
  const handlers = new Map<string, TopicHandler>()
  const alive = meshNames.topic(scope, aliveTopic)
  const internals = pubsub as unknown as Internals
  const { streamsInbound, streamsOutbound } = internals
  let isStarted = false

  const validate = (handler: TopicHandler, message: Message): TopicValidatorResult => {
    if (message.type !== 'signed') return TopicValidatorResult.Reject
    const author = message.from.toString()
    return isAllowed(author) ? results[handler.validate(author, message.data)] : TopicValidatorResult.Ignore
  }

  pubsub.topicValidators.set(alive, () => TopicValidatorResult.Reject)
  pubsub.addEventListener('message', ({ detail: message }) => {
    if (message.type === 'signed') handlers.get(message.topic)?.handle(message.from.toString(), message.data)
  })

  return {
    start: () => {
      isStarted = true
      if (mode === 'node') pubsub.subscribe(alive)
      for (const name of handlers.keys()) pubsub.subscribe(name)
    },
    publish: async (topic, data) => {
      checkGossipSize(topic, data)
      const { recipients } = await pubsub.publish(meshNames.topic(scope, topic), data)
      return { recipients: recipients.length }
    },
    subscribe: (topic, handler) => {
      const name = meshNames.topic(scope, topic)
      if (handlers.has(name) || name === alive) {
        throw new GlynError('INVALID_ARGUMENT', `topic ${JSON.stringify(topic)} has a handler; allowed: one`)
      }
      handlers.set(name, handler)
      pubsub.topicValidators.set(name, (_, message) => validate(handler, message))
      if (isStarted) pubsub.subscribe(name)
    },
    hasSubscribers: topic => pubsub.getSubscribers(meshNames.topic(scope, topic)).length > 0,
    meet: peerId => {
      if (streamsOutbound.get(peerId)?.rawStream.status === 'open') return
      streamsOutbound.delete(peerId)
      const id = peerIdFromString(peerId)
      const connection = libp2p.getConnections(id).find(one => one.status === 'open')
      if (connection !== undefined) internals.onPeerConnected(id, connection)
    },
    part: peerId => {
      internals.onPeerDisconnected(peerIdFromString(peerId))
    },
    isHealthy: peerId =>
      streamsInbound.get(peerId)?.rawStream.status === 'open' &&
      streamsOutbound.get(peerId)?.rawStream.status === 'open' &&
      pubsub.getSubscribers(alive).some(subscriber => subscriber.toString() === peerId),
  }
}
