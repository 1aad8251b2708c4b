// The way in for who has no node. The mesh is loaded with the first client, as with the first node.
import type { PeerClient, PeerClientOptions } from './peer-client.ts'

/** Throws PEER_UNREACHABLE when nobody answers at the address, CLUSTER_MISMATCH when it is of another scope. */
export async function createPeerClient(options: PeerClientOptions): Promise<PeerClient> {
  const { startPeerClient } = await import('./start-peer-client.ts')
  return await startPeerClient(options)
}
