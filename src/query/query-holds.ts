// Why a query begins no further batch, and who waits until none is under way.
import type { ToRunner } from './runner-messages.ts'

export type HoldReason = 'pause' | 'swap'

export interface QueryHoldsInit {
  /** Its thread is at work: else there is nothing to hold, until it is. */
  isOpen(): boolean
  post(message: ToRunner): void
}

export interface QueryHolds {
  has(why: HoldReason): boolean
  isHeld(): boolean
  /** Resolves when no batch is under way. */
  hold(why: HoldReason): Promise<void>
  /** Says whether batches begin again. */
  release(why: HoldReason): boolean
  /** The reason is over; batches begin again when the thread has opened a read model anew. */
  drop(why: HoldReason): void
  /** No batch is under way: the thread says so, or it is gone. */
  settle(): void
}

export function createQueryHolds(init: QueryHoldsInit): QueryHolds {
  const reasons = new Set<HoldReason>()
  let waiting: (() => void)[] = []
  return {
    has: why => reasons.has(why),
    isHeld: () => reasons.size > 0,
    hold(why) {
      reasons.add(why)
      if (!init.isOpen()) return Promise.resolve()
      init.post({ type: 'hold' })
      return new Promise(resolve => waiting.push(resolve))
    },
    release(why) {
      if (!reasons.delete(why) || reasons.size > 0 || !init.isOpen()) return false
      init.post({ type: 'release' })
      return true
    },
    drop: why => void reasons.delete(why),
    settle() {
      const settled = waiting
      waiting = []
      for (const resolve of settled) resolve()
    },
  }
}
