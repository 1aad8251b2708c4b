// The port of the network: long-lived channels between peers, pubsub, and signed records. Adapters: libp2p/, memory/.

/**
 * One long-lived stream per peer and channel. `raft`: consensus and heartbeats. `bulk`: appends that carry much.
 * `rpc`: requests and answers. Frames of one turn travel in one write.
 */
export type Channel = 'raft' | 'bulk' | 'rpc'

/** A member as the dialer needs it. Addresses are multiaddrs without or with `/p2p/<peer id>`. */
export interface PeerAddress {
  readonly peerId: string
  readonly addresses: readonly string[]
}

export interface TopicHandler {
  /** Asked before a message is passed on or handled. `from` is the verified author. Must not throw. */
  validate(from: string, data: Uint8Array): 'accept' | 'reject' | 'ignore'
  handle(from: string, data: Uint8Array): void
}

/** The rules of the records under one key prefix, for example `/glyn/<scope>/`. */
export interface RecordRules {
  readonly prefix: string
  /** Throws when the value must not be stored under the key, or is older than the one known. */
  validate(key: string, value: Uint8Array): Promise<void>
  /** The index of the best of several values. */
  select(key: string, values: readonly Uint8Array[]): number
}

export interface Mesh {
  /** Our identity: a libp2p peer id in text. */
  readonly peerId: string
  /** Where others reach us: multiaddrs with `/p2p/<peer id>`. Empty before `start`. */
  addresses(): readonly string[]
  start(): Promise<void>
  stop(): Promise<void>

  /** Dials an address once and says who answered. Throws PEER_UNREACHABLE. */
  connect(address: string, options: { readonly signal: AbortSignal }): Promise<string>
  /** From now on, keep a connection to each of these, redialling with backoff for as long as they are listed. */
  setMembers(members: readonly PeerAddress[]): void
  /**
   * Peers for which this answers false are refused and hung up. Asked at connect, and about all who are
   * connected when this is called: call it again, with the same function too, when its answers changed.
   */
  setGate(isAllowed: (peerId: string) => boolean): void
  isConnected(peerId: string): boolean
  connectedPeers(): readonly string[]
  onPeerChange(listener: (peerId: string, connected: boolean) => void): void

  /**
   * Queues a frame. False: the peer is not connected or its queue is full, and the frame was dropped and counted.
   * True promises nothing: frames are lost when a connection breaks. The mesh does not copy the frame; leave it alone.
   */
  send(peerId: string, channel: Channel, frame: Uint8Array): boolean
  /** One handler per channel. Frames of one peer and channel arrive in order. */
  handle(channel: Channel, handler: (from: string, frame: Uint8Array) => void): void

  /** Resolves with the number of peers it was sent to. Throws MESSAGE_TOO_LARGE. */
  publish(topic: string, data: Uint8Array): Promise<{ readonly recipients: number }>
  subscribe(topic: string, handler: TopicHandler): void
  /** Whether anybody connected has said that it listens. Without one, a message would be signed for nobody. */
  hasSubscribers(topic: string): boolean

  setRecordRules(rules: RecordRules): void
  /** Resolves with the number of other peers that stored it; 0 means that nobody did. */
  putRecord(
    key: string,
    value: Uint8Array,
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly acknowledged: number }>
  /** The best value found, or undefined. */
  getRecord(key: string, options: { readonly signal: AbortSignal }): Promise<Uint8Array | undefined>

  /** Signs with the key of our identity. */
  sign(data: Uint8Array): Promise<Uint8Array>
  /** True if `signature` over `data` was made by `peerId`. */
  verify(peerId: string, data: Uint8Array, signature: Uint8Array): Promise<boolean>
}

/** Names of the protocols and topics of a scope, so that scopes never meet. */
export const meshNames = {
  channel: (scope: string, channel: Channel): string => `/glyn/${scope}/${channel}/1.0.0`,
  dht: (scope: string): string => `/glyn/${scope}/kad/1.0.0`,
  topic: (scope: string, topic: string): string => `/glyn/${scope}/${topic}`,
  record: (scope: string, name: string): string => `/glyn/${scope}/${name}`,
}
