// One mesh of a memory network: its connections, its dials, and what it hands to those who use it.
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Cancel } from '../../core/clock.ts'
import { GlynError } from '../../core/errors.ts'
import type { Channel, Mesh, PeerAddress, TopicHandler } from '../mesh.ts'
import { meshLimits } from '../mesh-limits.ts'
import { createRecordRulesTable } from '../record-rules-table.ts'
import { checkFrameSize, checkGossipSize, checkRecordSize } from '../size-checks.ts'
import { createMemoryConnection } from './memory-connection.ts'
import { createMemoryRecords } from './memory-records.ts'
import type { GossipMessage, MemoryConnection, MemoryNode, NetworkView } from './network-view.ts'

interface MemoryNodeInit {
  readonly network: NetworkView
  readonly peerId: string
  readonly scope: string
  readonly mode: 'node' | 'client'
}

export function createMemoryNode(init: MemoryNodeInit): MemoryNode {
  const { network, peerId, scope, mode } = init
  const { clock } = network
  const connections = new Map<string, MemoryConnection>()
  /** Those of which the listeners were told that they are connected. */
  const told = new Set<string>()
  const peerListeners: ((peerId: string, connected: boolean) => void)[] = []
  const channels = new Map<Channel, (from: string, frame: Uint8Array) => void>()
  const topics = new Map<string, TopicHandler>()
  const members = new Map<string, { readonly addresses: readonly string[]; cancel: Cancel | undefined }>()
  const rules = createRecordRulesTable()
  let isAllowed: (peerId: string) => boolean = () => true
  let phase: 'new' | 'running' | 'stopped' = 'new'

  const tell = (peer: string, connected: boolean): void => {
    clock.soon(() => {
      if (phase !== 'running') return
      if (connected) told.add(peer)
      else told.delete(peer)
      for (const listener of peerListeners) if (phase === 'running') listener(peer, connected)
    })
  }

  /** Says what is in the way, or undefined when the two are connected now. */
  const dial = (target: string): string | undefined => {
    const node = network.find(target)
    if (phase !== 'running') return 'this mesh does not run'
    if (target === peerId) return 'it is our own address'
    if (connections.has(target)) return undefined
    if (node === undefined || node.mode === 'client' || network.isCut(peerId, target)) return 'nobody answers'
    if (node.scope !== scope) return `it speaks for scope ${JSON.stringify(node.scope)}`
    if (!isAllowed(target) || !node.admits(peerId)) return 'the gate is closed'
    const connection = createMemoryConnection(network)
    self.take(target, connection)
    node.take(peerId, connection)
    return undefined
  }

  const dialLater = (target: string, waitMs: number): void => {
    const member = members.get(target)
    if (member === undefined || member.cancel !== undefined || phase !== 'running') return
    member.cancel = network.later(waitMs, () => {
      member.cancel = undefined
      if (members.get(target) !== member || connections.has(target)) return
      const reachable = member.addresses.some(address => peerOf(address) === target)
      const delayMs = network.delayOf({ from: peerId, to: target, kind: 'dial', bytes: 0 })
      if (!reachable || delayMs === undefined) return dialLater(target, redialMs())
      member.cancel = network.later(delayMs, () => {
        member.cancel = undefined
        if (members.get(target) === member && dial(target) !== undefined) dialLater(target, redialMs())
      })
    })
  }
  const redialMs = (): number => network.redialMs * (0.5 + network.random())

  const drop = (peer: string): void => {
    const connection = connections.get(peer)
    if (connection === undefined) return
    connections.delete(peer)
    connection.close()
    tell(peer, false)
    dialLater(peer, redialMs())
  }

  const halt = (): void => {
    if (phase !== 'running') return
    phase = 'stopped'
    network.leave(self)
    for (const member of members.values()) member.cancel?.()
    for (const peer of [...connections.keys()]) self.disconnect(peer)
  }

  const spread = (message: GossipMessage): number => {
    let recipients = 0
    for (const [peer, connection] of connections) {
      const node = network.find(peer)
      if (node === undefined || message.seenBy.has(peer) || !node.isSubscribed(message.topic)) continue
      recipients += 1
      const transfer = { from: peerId, to: peer, kind: 'gossip', bytes: message.data.length } as const
      connection.carry(transfer, () => node.receiveGossip(message))
    }
    return recipients
  }

  const records = createMemoryRecords({ network, peerId, rules, self: () => self })

  const mesh: Mesh = {
    peerId,
    addresses: () => (phase === 'running' && mode === 'node' ? [`/memory/${peerId}`] : []),
    start: async () => {
      if (phase !== 'new') throw new GlynError('INVALID_ARGUMENT', `the mesh of ${peerId} was started before`)
      network.join(self)
      phase = 'running'
      for (const target of members.keys()) dialLater(target, 0)
    },
    stop: async () => {
      halt()
      const peers = [...told]
      told.clear()
      for (const peer of peers) for (const listener of peerListeners) listener(peer, false)
    },

    connect: (address, { signal }) =>
      new Promise((resolve, reject) => {
        const fail = (reason: string): void =>
          reject(new GlynError('PEER_UNREACHABLE', `cannot connect to ${address}: ${reason}`))
        if (signal.aborted) return fail('the deadline passed')
        const target = peerOf(address)
        if (target === undefined) return fail('allowed: /memory/<peer id>')
        const abandon = (): void => fail('the deadline passed')
        signal.addEventListener('abort', abandon, { once: true })
        const delayMs = network.delayOf({ from: peerId, to: target, kind: 'dial', bytes: 0 })
        network.later(delayMs ?? 0, () => {
          if (signal.aborted || (delayMs === undefined && !network.isCut(peerId, target))) return
          signal.removeEventListener('abort', abandon)
          const obstacle = dial(target)
          if (obstacle === undefined) resolve(target)
          else fail(obstacle)
        })
      }),
    setMembers: list => {
      const listed = new Map(list.map((member): [string, PeerAddress] => [member.peerId, member]))
      for (const [target, member] of members) {
        if (!listed.has(target)) {
          member.cancel?.()
          members.delete(target)
        }
      }
      for (const [target, { addresses }] of listed) {
        if (target === peerId) continue
        members.get(target)?.cancel?.()
        members.set(target, { addresses, cancel: undefined })
        if (!connections.has(target)) dialLater(target, 0)
      }
    },
    setGate: gate => {
      isAllowed = gate
      for (const peer of [...connections.keys()]) if (!isAllowed(peer)) self.disconnect(peer)
    },
    isConnected: peer => connections.has(peer),
    connectedPeers: () => [...connections.keys()],
    onPeerChange: listener => {
      peerListeners.push(listener)
    },

    send: (to, channel, frame) => {
      checkFrameSize(channel, frame)
      const connection = connections.get(to)
      if (connection === undefined) return false
      if (connection.waitingBytes(peerId, channel) + frame.length > meshLimits.queueBytesMax) return false
      const transfer = { from: peerId, to, kind: 'frame', channel, bytes: frame.length } as const
      connection.carry(transfer, () => network.find(to)?.receiveFrame(peerId, channel, frame))
      return true
    },
    handle: (channel, handler) => {
      if (channels.has(channel)) {
        throw new GlynError('INVALID_ARGUMENT', `channel ${channel} has a handler; allowed: one`)
      }
      channels.set(channel, handler)
    },

    publish: async (topic, data) => {
      checkGossipSize(topic, data)
      return { recipients: spread({ author: peerId, topic, data, seenBy: new Set([peerId]) }) }
    },
    subscribe: (topic, handler) => {
      if (topics.has(topic)) {
        throw new GlynError('INVALID_ARGUMENT', `topic ${JSON.stringify(topic)} has a handler; allowed: one`)
      }
      topics.set(topic, handler)
    },
    hasSubscribers: topic => [...connections.keys()].some(peer => network.find(peer)?.isSubscribed(topic)),

    setRecordRules: rules.set,
    putRecord: async (key, value, { signal }) => {
      checkRecordSize(key, value)
      return { acknowledged: await records.put(key, value, signal) }
    },
    getRecord: (key, { signal }) => records.get(key, signal),

    sign: async data => signatureOf(peerId, data),
    verify: async (author, data, signature) => {
      const expected = signatureOf(author, data)
      return signature.length === expected.length && timingSafeEqual(signature, expected)
    },
  }
  const signatureOf = (author: string, data: Uint8Array): Uint8Array =>
    new Uint8Array(createHmac('sha256', network.secretOf(author)).update(data).digest())

  const self: MemoryNode = {
    peerId,
    scope,
    mode,
    mesh,
    admits: peer => isAllowed(peer),
    linkedPeers: () => [...connections.keys()],
    isSubscribed: topic => topics.has(topic),
    take: (peer, connection) => {
      connections.set(peer, connection)
      members.get(peer)?.cancel?.()
      const member = members.get(peer)
      if (member !== undefined) member.cancel = undefined
      tell(peer, true)
    },
    disconnect: peer => {
      const other = network.find(peer)
      drop(peer)
      if (other?.isLinked(peerId)) other.disconnect(peerId)
    },
    isLinked: peer => connections.has(peer),
    receiveFrame: (from, channel, frame) => {
      if (phase === 'running') channels.get(channel)?.(from, frame)
    },
    receiveGossip: message => {
      const handler = topics.get(message.topic)
      if (phase !== 'running' || handler === undefined || message.seenBy.has(peerId)) return
      message.seenBy.add(peerId)
      if (handler.validate(message.author, message.data) !== 'accept') return
      handler.handle(message.author, message.data)
      spread(message)
    },
    storeRecord: records.store,
    recordOf: records.local,
    halt,
  }
  return self
}

/** The peer id of `/memory/<peer id>`, with or without `/p2p/<peer id>` behind it. */
function peerOf(address: string): string | undefined {
  const match = /^\/memory\/([^/]+)(?:\/p2p\/([^/]+))?$/.exec(address)
  if (match === null || (match[2] !== undefined && match[2] !== match[1])) return undefined
  return match[1]
}
