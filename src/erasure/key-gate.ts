// Holds up a change of a group's voters until the keys of its events are where the events will be: an event outlives its old
// voters only with its key.
import type { Clock } from '../core/clock.ts'
import type { KeyExchange } from './key-exchange.ts'

export interface KeyGate {
  /**
   * Asked by the leader before each change of voters. True when this node, since it leads, has compared with a majority of
   * the voters (so that it has the key of every event that was acknowledged), and after that with a majority of those who
   * will be voters.
   */
  mayChange(
    partition: number,
    voters: { readonly now: readonly string[]; readonly next: readonly string[] },
  ): boolean
  /** This node leads the partition now, or no more. */
  roleChanged(partition: number, isLeader: boolean): void
}

export function createKeyGate(init: {
  readonly self: string
  readonly exchange: Pick<KeyExchange, 'hasAgreedSince'>
  readonly clock: Clock
  /** There are no subjects: nothing is held up. */
  readonly isUsed: () => boolean
}): KeyGate {
  const { self, exchange, clock } = init
  /** Since when this node leads, and since when it has all keys of the partition. */
  const led = new Map<number, { readonly since: number; completeSince: number | undefined }>()

  const hasMajority = (voters: readonly string[], since: number): boolean => {
    const agreed = voters.filter(peerId => peerId === self || exchange.hasAgreedSince(peerId, since))
    return 2 * agreed.length > voters.length
  }

  return {
    mayChange(partition, { now, next }) {
      if (!init.isUsed()) return true
      const leadership = led.get(partition)
      if (leadership === undefined) return false
      if (leadership.completeSince === undefined && hasMajority(now, leadership.since)) {
        leadership.completeSince = clock.now()
      }
      return leadership.completeSince !== undefined && hasMajority(next, leadership.completeSince)
    },
    roleChanged(partition, isLeader) {
      if (!isLeader) led.delete(partition)
      else if (!led.has(partition)) led.set(partition, { since: clock.now(), completeSince: undefined })
    },
  }
}
