// A gossip stream that dies while its connection lives is never opened again by js-libp2p
// (https://github.com/libp2p/js-libp2p/pull/3531 leaves it open). Look after the streams: open ours again where it is
// gone, and hang up where that does not help.
import type { Cancel, Clock } from '../../core/clock.ts'

const lookMs = 500
/** Looks in vain, each with a repair, before we hang up. */
const badLooksMax = 8

export interface GossipWatchdog {
  start(): void
  stop(): void
}

export interface GossipWatchdogInit {
  readonly clock: Clock
  /** Connected members. Others, clients for example, need no gossip. */
  readonly peers: () => readonly string[]
  readonly isHealthy: (peerId: string) => boolean
  /** Opens our stream again. The other half is for the watchdog of the peer. */
  readonly repair: (peerId: string) => void
  readonly hangUp: (peerId: string, reason: string) => void
}

export function createGossipWatchdog(init: GossipWatchdogInit): GossipWatchdog {
  const { clock, peers, isHealthy, repair, hangUp } = init
  let badLooks = new Map<string, number>()
  let timer: Cancel | undefined

  let dueMs = 0

  const schedule = (): void => {
    dueMs = clock.now() + lookMs
    timer = clock.after(lookMs, look)
  }
  const look = (): void => {
    // A process that is late itself must not blame others: it would hang up on everybody at the worst moment.
    const isLate = clock.now() - dueMs > lookMs / 2
    schedule()
    const next = new Map<string, number>()
    for (const peerId of peers()) {
      if (isHealthy(peerId)) continue
      const count = (badLooks.get(peerId) ?? 0) + (isLate ? 0 : 1)
      if (count < badLooksMax) {
        next.set(peerId, count)
        repair(peerId)
      } else hangUp(peerId, `its gossip stream was missing for ${badLooksMax * lookMs} ms`)
    }
    badLooks = next
  }

  return {
    start: schedule,
    stop: () => timer?.(),
  }
}
