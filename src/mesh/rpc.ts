// Requests and answers over the `rpc` channel of a mesh, with deadlines. Works the same on every adapter.
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Mesh } from './mesh.ts'

export interface RequestOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

export type RpcHandler = (from: string, body: Uint8Array) => Promise<Uint8Array> | Uint8Array

export interface Rpc {
  /**
   * Sends a request and waits for its answer. Throws the GlynError that the handler threw, TIMEOUT after the
   * deadline, PEER_UNREACHABLE when the peer is not connected (nothing was sent) and OUTCOME_UNKNOWN when the
   * connection broke, or `close` was called, while it was under way.
   */
  request(peerId: string, method: string, body: Uint8Array, options: RequestOptions): Promise<Uint8Array>
  serve(method: string, handler: RpcHandler): void
  close(): void
}

export interface RpcInit {
  readonly mesh: Mesh
  readonly clock: Clock
  /** Requests under way to all peers; more are refused with OVERLOADED. */
  readonly pendingMax?: number
  /** Told of handlers that threw what is not a GlynError, and of dropped answers. Silent when left out. */
  readonly log?: Log
}
