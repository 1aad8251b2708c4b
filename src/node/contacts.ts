// Since when this node is in contact with each peer, or is not. For people: nothing is decided by it.
import type { Clock } from '../core/clock.ts'
import type { Mesh } from '../mesh/mesh.ts'

export interface Contact {
  readonly isConnected: boolean
  /** Wall time. Of a peer that was never connected: since this node runs. */
  readonly sinceMs: number
}

export interface Contacts {
  /** This node is always in contact with itself. */
  of(peerId: string): Contact
}

export function createContacts(init: {
  readonly mesh: Pick<Mesh, 'peerId' | 'isConnected' | 'onPeerChange'>
  readonly clock: Clock
}): Contacts {
  const { mesh, clock } = init
  const startedAtMs = clock.wallTime()
  const changedAtMs = new Map<string, number>()
  mesh.onPeerChange(peerId => {
    // Peers that are no members come and go too; who is forgotten was here since the start, for all we say.
    if (changedAtMs.size >= peersMax) changedAtMs.clear()
    changedAtMs.set(peerId, clock.wallTime())
  })
  return {
    of: peerId => ({
      isConnected: peerId === mesh.peerId || mesh.isConnected(peerId),
      sinceMs: changedAtMs.get(peerId) ?? startedAtMs,
    }),
  }
}

const peersMax = 10_000
