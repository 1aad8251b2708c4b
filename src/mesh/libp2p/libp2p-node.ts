// libp2p with the parts and the settings of this mesh. Each setting that is not a default has its reason beside it.
import { type GossipSub, gossipsub } from '@chainsafe/libp2p-gossipsub'
import { type Identify, identify } from '@libp2p/identify'
import type { ConnectionGater, Libp2p, PrivateKey, ServiceMap } from '@libp2p/interface'
import { type KadDHT, type KadDHTInit, kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { type Ping, ping } from '@libp2p/ping'
import { createLibp2p } from 'libp2p'
import { meshNames } from '../mesh.ts'
import { privateNetwork } from './private-network.ts'
import { sturdyYamux } from './sturdy-yamux.ts'
import { thriftyNoise } from './thrifty-noise.ts'
import { tcpInWholeWrites } from './whole-writes.ts'

export interface MeshServices extends ServiceMap {
  readonly identify: Identify
  readonly ping: Ping
  readonly pubsub: GossipSub
  readonly dht: KadDHT
}

export type Libp2pNode = Libp2p<MeshServices>

export interface Libp2pNodeInit {
  readonly privateKey: PrivateKey
  readonly scope: string
  readonly mode: 'node' | 'client'
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  readonly secret: Uint8Array | undefined
  readonly mdnsServiceTag: string | undefined
  readonly gater: ConnectionGater
  readonly validators: NonNullable<KadDHTInit['validators']>
  readonly selectors: NonNullable<KadDHTInit['selectors']>
}

const mebibyte = 1024 * 1024
const noBytes = new Uint8Array()

/** Not started. */
export function createLibp2pNode(init: Libp2pNodeInit): Promise<Libp2pNode> {
  const { privateKey, scope, mode, listen, announce, secret, mdnsServiceTag, gater } = init
  return createLibp2p<MeshServices>({
    start: false,
    privateKey,
    addresses: { listen: mode === 'client' ? [] : [...listen], announce: [...announce] },
    transports: [tcpInWholeWrites()],
    connectionEncrypters: [thriftyNoise()],
    streamMuxers: [
      // A paused stream must be able to hold what the peer may still send.
      sturdyYamux({
        streamOptions: { maxStreamWindowSize: 4 * mebibyte, maxReadBufferLength: 8 * mebibyte },
      }),
    ],
    ...(secret === undefined ? {} : { connectionProtector: privateNetwork(secret) }),
    ...(mdnsServiceTag === undefined ? {} : { peerDiscovery: [mdns({ serviceTag: mdnsServiceTag })] }),
    connectionGater: gater,
    // By default a host may open five connections a second, and ten may be under way: a whole cluster that starts
    // on one machine, or behind one router, would be refused.
    connectionManager: {
      maxConnections: 1000,
      maxIncomingPendingConnections: 100,
      inboundConnectionThreshold: 100,
      // Our dialer has deadlines of its own, short ones where other addresses wait.
      addressDialTimeout: 10_000,
    },
    // A frozen peer is noticed in seconds; a killed one at once, by its socket. Shorter would end healthy connections
    // on a busy machine. The upper bound is needed: the timeout doubles with each failure.
    connectionMonitor: { pingInterval: 2000, pingTimeout: { minTimeout: 5000, maxTimeout: 10_000 } },
    services: {
      identify: identify(),
      // The monitor, the DHT and others ping over one protocol: with the default of one stream they clash, and the
      // monitor takes the clash for a dead connection.
      ping: ping({ maxInboundStreams: 32, maxOutboundStreams: 64 }),
      pubsub: gossipsub({
        globalSignaturePolicy: 'StrictSign',
        // Who has checked a message's signature does not check that of each copy that others forward. A message that was
        // not found good is not remembered.
        fastMsgIdFn: ({ from, seqno }) =>
          Buffer.concat([from ?? noBytes, seqno ?? noBytes]).toString('latin1'),
        emitSelf: false,
        floodPublish: true,
        allowPublishToZeroTopicPeers: true,
        fallbackToFloodsub: false,
        doPX: false,
        D: 8,
        Dlo: 6,
        Dhi: 16,
        Dout: 2,
        Dlazy: 8,
        gossipFactor: 1,
        heartbeatInterval: 1000,
        mcacheLength: 10,
        mcacheGossip: 6,
        // Members may share an address (one machine, one router) and may stall: neither is a fault.
        scoreParams: { IPColocationFactorWeight: 0, behaviourPenaltyWeight: 0 },
        // One RPC may answer for several messages of the largest size.
        maxInboundDataLength: 4 * mebibyte,
        awaitRpcHandler: true,
        awaitRpcMessageHandler: true,
      }),
      dht: kadDHT({
        protocol: meshNames.dht(scope),
        clientMode: mode === 'client',
        // By default private addresses are dropped, and with them every peer of a local network.
        peerInfoMapper: passthroughMapper,
        validators: init.validators,
        selectors: init.selectors,
        // Without these a node that knows nobody yet waits for its first query of itself.
        allowQueryWithZeroPeers: true,
        initialQuerySelfInterval: 100,
        networkDialTimeout: { minTimeout: 1000, maxTimeout: 2000 },
      }),
    },
  })
}
