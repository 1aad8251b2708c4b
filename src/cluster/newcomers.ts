// Who came into contact only just now. A process that has started is busy with that for a while: its code is not compiled
// yet, its streams open, its replicas catch up. A leadership that it is given in this time stalls for its callers.
import type { Clock } from '../core/clock.ts'

export interface Newcomers {
  /** Called with the peers of the cluster, often enough that no reconnection falls between two calls. */
  watch(peerIds: Iterable<string>): void
  /** True for one that is not in contact, too. */
  has(peerId: string): boolean
}

export function createNewcomers(init: {
  readonly clock: Clock
  /** From the first contact until a node counts as settled. */
  readonly settlingMs: number
  readonly isConnected: (peerId: string) => boolean
}): Newcomers {
  const since = new Map<string, number>()
  return {
    watch(peerIds) {
      const now = init.clock.now()
      const connected = new Set([...peerIds].filter(init.isConnected))
      for (const peerId of since.keys()) if (!connected.has(peerId)) since.delete(peerId)
      for (const peerId of connected) if (!since.has(peerId)) since.set(peerId, now)
    },
    has(peerId) {
      const at = since.get(peerId)
      return at === undefined || init.clock.now() - at < init.settlingMs
    },
  }
}
