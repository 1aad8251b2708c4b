// A client that is no node: it joins the mesh for as long as it is used.
import type { Log } from '../core/log.ts'
import type { NodeApi } from './node-api.ts'
import type { PeerCalls } from './peer-calls.ts'

/** Where a client without a node gets in. */
export interface PeerClientOptions {
  /** Multiaddr of any member, with or without `/p2p/<peer id>`. */
  readonly peer: string
  readonly scope: string
  /** The bytes of the swarm key file, when the mesh has one. */
  readonly secret?: Uint8Array
  readonly log: Log
}

/** What a client without a node can do, by names; `connect` has the same with types. */
export interface PeerClient extends PeerCalls, Pick<NodeApi, 'execute' | 'loadAggregate' | 'loadEvents'> {
  /** Hangs up. */
  close(): Promise<void>
}
