// What the parts of a memory network know of each other.
import type { Cancel, Clock, Random } from '../../core/clock.ts'
import type { Channel, Mesh } from '../mesh.ts'

/** Something on its way from one peer to another. */
export interface Transfer {
  readonly from: string
  readonly to: string
  readonly kind: 'dial' | 'frame' | 'gossip' | 'record'
  /** Of frames only. */
  readonly channel?: Channel
  readonly bytes: number
}

/** `lost`, or the milliseconds it takes. Zero: the next turn. */
export type Fate = 'lost' | number

/** A mesh as its network and its peers see it. */
export interface MemoryNode {
  readonly peerId: string
  readonly scope: string
  readonly mode: 'node' | 'client'
  readonly mesh: Mesh
  admits(peerId: string): boolean
  isLinked(peerId: string): boolean
  linkedPeers(): readonly string[]
  isSubscribed(topic: string): boolean
  /** Both sides take the same connection. */
  take(peerId: string, connection: MemoryConnection): void
  /** Drops the connection to the peer, on both sides. */
  disconnect(peerId: string): void
  receiveFrame(from: string, channel: Channel, frame: Uint8Array): void
  receiveGossip(message: GossipMessage): void
  /** Throws what the rules throw. */
  storeRecord(key: string, value: Uint8Array): Promise<void>
  recordOf(key: string): Uint8Array | undefined
  halt(): void
}

export interface MemoryConnection {
  isOpen(): boolean
  /** Bytes on their way in one direction of one channel. */
  waitingBytes(from: string, channel: string): number
  /** Runs `arrive` when the transfer gets there, after all that went before it on its lane. Lost ones never arrive. */
  carry(transfer: Transfer, arrive: () => void): void
  /** What is on its way is lost. */
  close(): void
}

/** One message on its way through the network. */
export interface GossipMessage {
  readonly author: string
  readonly topic: string
  readonly data: Uint8Array
  /** The peers that have had it. */
  readonly seenBy: Set<string>
}

/** What a mesh sees of its network. */
export interface NetworkView {
  readonly clock: Clock
  readonly random: Random
  readonly redialMs: number
  find(peerId: string): MemoryNode | undefined
  isCut(a: string, b: string): boolean
  /** Milliseconds, or undefined when it is lost. */
  delayOf(transfer: Transfer): number | undefined
  /** Runs the action after the delay, in the next turn when it is zero. */
  later(delayMs: number, action: () => void): Cancel
  /** A secret that only this peer signs with. The network itself vouches for it. */
  secretOf(peerId: string): string
  join(node: MemoryNode): void
  leave(node: MemoryNode): void
}
