// The mesh on libp2p: tcp, noise and yamux below; channels, members, topics and records above.
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { Clock, Random } from '../../core/clock.ts'
import { GlynError } from '../../core/errors.ts'
import { type Log, silentLog } from '../../core/log.ts'
import { parseListenAddress } from '../listen-address.ts'
import type { Channel, Mesh, PeerAddress } from '../mesh.ts'
import { createRecordRulesTable } from '../record-rules-table.ts'
import { checkFrameSize } from '../size-checks.ts'
import { createDhtRecords } from './dht-records.ts'
import { createGate } from './gate.ts'
import { createGossip } from './gossip.ts'
import { createGossipWatchdog } from './gossip-watchdog.ts'
import { createLibp2pNode, type Libp2pNode } from './libp2p-node.ts'
import { createLinks } from './links.ts'
import { createMemberDialer, type RedialInit } from './member-dialer.ts'
import { parseSwarmKey } from './swarm-key.ts'

export interface Libp2pMeshInit {
  /** As `loadOrCreateIdentity` or `createEphemeralIdentity` make it. */
  readonly privateKey: PrivateKey
  readonly scope: string
  /** Multiaddrs, tcp only: `/ip4/127.0.0.1/tcp/0`. Not used by clients. */
  readonly listen: readonly string[]
  /** What others are told instead of what we listen on: multiaddrs. */
  readonly announce?: readonly string[]
  /** The bytes of a mesh secret file. Without it there is no pre-shared key. */
  readonly secret?: Uint8Array
  /** Look for peers on the local network. Off when left out. */
  readonly mdns?: boolean
  /** Tells clusters apart on one local network. `_glyn._udp.local` when left out. */
  readonly mdnsServiceTag?: string
  /** Told of peers that mdns found. When left out, they are dialled once. */
  readonly onDiscovered?: (peer: PeerAddress) => void
  readonly clock: Clock
  /** Jitter of redials. `Math.random` when left out. */
  readonly random?: Random
  readonly log?: Log
  /** A client listens nowhere, keeps no records and takes part in no topic of its own accord. `node` when left out. */
  readonly mode?: 'node' | 'client'
  readonly redial?: RedialInit
}

/** A mesh, and what a metrics page wants to know of it. */
export interface Libp2pMesh extends Mesh {
  counters(): { readonly framesDropped: number; readonly hangUps: number }
  /** For tests that break things below the mesh. */
  readonly libp2p: Libp2pNode
}

/** Not started. Throws INVALID_CONFIGURATION for an address or a secret that is not allowed. */
export async function createLibp2pMesh(init: Libp2pMeshInit): Promise<Libp2pMesh> {
  const { privateKey, scope, listen, announce = [], clock, mode = 'node', log = silentLog } = init
  for (const address of [...listen, ...announce]) parseListenAddress(address)
  const peerId = peerIdFromPrivateKey(privateKey).toString()
  const gate = createGate()
  const rules = createRecordRulesTable()
  const records = createDhtRecords(rules, log)
  const libp2p = await createLibp2pNode({
    privateKey,
    scope,
    mode,
    listen,
    announce,
    secret: init.secret === undefined ? undefined : parseSwarmKey(init.secret, 'the secret'),
    mdnsServiceTag: init.mdns === true ? (init.mdnsServiceTag ?? '_glyn._udp.local') : undefined,
    gater: gate.gater,
    validators: records.validators,
    selectors: records.selectors,
  })

  const channels = new Map<Channel, (from: string, frame: Uint8Array) => void>()
  const peerListeners: ((peerId: string, connected: boolean) => void)[] = []
  let phase: 'new' | 'running' | 'stopped' = 'new'
  let framesDropped = 0
  let hangUps = 0

  const links = createLinks({
    libp2p,
    scope,
    clock,
    log,
    isAllowed: gate.isAllowed,
    deliver: (from, channel, frame) => channels.get(channel)?.(from, frame),
    onPeerChange: (peer, connected) => {
      log.debug({ peerId: peer, connected }, connected ? 'mesh: connected' : 'mesh: disconnected')
      if (connected) gossip.meet(peer)
      else gossip.part(peer)
      dialer.onPeerChange(peer, connected)
      for (const listener of peerListeners) listener(peer, connected)
    },
    onDropped: frames => {
      framesDropped += frames
    },
  })
  const hangUp = (peer: string, reason: string): void => {
    hangUps += 1
    links.hangUp(peer, reason)
  }

  const connect = async (address: string, signal: AbortSignal): Promise<string> => {
    try {
      const connection = await libp2p.dial(multiaddr(address), { signal })
      const peer = connection.remotePeer.toString()
      await links.whenUp(peer, signal)
      return peer
    } catch (cause) {
      const reason = signal.aborted
        ? 'the deadline passed'
        : cause instanceof Error
          ? cause.message
          : String(cause)
      throw new GlynError('PEER_UNREACHABLE', `cannot connect to ${address}: ${reason}`, { cause })
    }
  }

  const dialer = createMemberDialer({
    ...init.redial,
    peerId,
    clock,
    random: init.random ?? Math.random,
    log,
    isUp: links.isUp,
    isAllowed: gate.isAllowed,
    hasConnection: peer => libp2p.getConnections(peerIdFromString(peer)).some(one => one.status === 'open'),
    dial: async (address, signal) => {
      await libp2p.dial(multiaddr(address), { signal })
    },
    greet: links.whenUp,
    hangUp,
  })
  const gossip = createGossip({ libp2p, scope, mode, isAllowed: gate.isAllowed })
  const watchdog = createGossipWatchdog({
    clock,
    peers: () => (mode === 'client' ? [] : dialer.members().filter(links.isUp)),
    isHealthy: gossip.isHealthy,
    repair: gossip.meet,
    hangUp,
  })

  if (init.mdns === true) {
    libp2p.addEventListener('peer:discovery', ({ detail: { id, multiaddrs } }) => {
      const found = { peerId: id.toString(), addresses: multiaddrs.map(String) }
      if (init.onDiscovered !== undefined) init.onDiscovered(found)
      else if (phase === 'running') {
        libp2p.dial(multiaddrs).catch((error: unknown) => {
          log.debug({ ...found, err: error }, 'mesh: a peer that mdns found cannot be reached')
        })
      }
    })
  }

  return {
    peerId,
    libp2p,
    counters: () => ({ framesDropped, hangUps }),
    addresses: () => (phase === 'running' ? libp2p.getMultiaddrs().map(String) : []),
    start: async () => {
      if (phase !== 'new') throw new GlynError('INVALID_ARGUMENT', `the mesh of ${peerId} was started before`)
      await links.start()
      try {
        await libp2p.start()
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause)
        const text = `cannot listen on ${listen.join(', ')}: ${reason}`
        throw new GlynError('INVALID_CONFIGURATION', text, { cause })
      }
      phase = 'running'
      gossip.start()
      dialer.start()
      watchdog.start()
    },
    stop: async () => {
      if (phase === 'stopped') return
      phase = 'stopped'
      watchdog.stop()
      dialer.stop()
      links.stop()
      await libp2p.stop()
    },

    connect: (address, { signal }) => connect(address, signal),
    setMembers: dialer.setMembers,
    setGate: isAllowed => {
      gate.set(isAllowed)
      for (const peer of new Set(libp2p.getPeers().map(String))) {
        if (!isAllowed(peer)) hangUp(peer, 'this peer is not allowed any more')
      }
    },
    isConnected: links.isUp,
    connectedPeers: links.upPeers,
    onPeerChange: listener => {
      peerListeners.push(listener)
    },

    send: (peer, channel, frame) => {
      checkFrameSize(channel, frame)
      return links.send(peer, channel, frame)
    },
    handle: (channel, handler) => {
      if (channels.has(channel)) {
        throw new GlynError('INVALID_ARGUMENT', `channel ${channel} has a handler; allowed: one`)
      }
      channels.set(channel, handler)
    },

    publish: gossip.publish,
    subscribe: gossip.subscribe,
    hasSubscribers: gossip.hasSubscribers,

    setRecordRules: rules.set,
    putRecord: async (key, value, { signal }) => ({
      acknowledged: await records.put(libp2p.services.dht, key, value, signal),
    }),
    getRecord: (key, { signal }) => records.get(libp2p.services.dht, key, signal),

    sign: async data => privateKey.sign(data),
    verify: async (author, data, signature) => {
      try {
        const { publicKey } = peerIdFromString(author)
        return publicKey !== undefined && (await publicKey.verify(data, signature))
      } catch {
        // No peer id, or no signature in form: both were made by somebody else.
        return false
      }
    },
  }
}
