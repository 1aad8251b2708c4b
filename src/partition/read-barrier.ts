// Linearizable reads: one round of heartbeats confirms the leadership for every read of a turn (Raft thesis 6.4).
import type { Clock } from '../core/clock.ts'
import type { ConfirmedRead } from '../raft/raft.ts'
import { notLeader, unknownOutcome } from './leader-errors.ts'
import type { Leadership } from './leadership.ts'
import type { RaftEngine } from './raft-engine.ts'

export interface ReadBarrier {
  /**
   * Resolves once a majority has confirmed that this node led after the call, and the state includes all before it and
   * the entry at `proposedIndex`.
   */
  pass(leadership: Leadership, proposedIndex?: number): Promise<void>
  /** A round of heartbeats ended. */
  confirmed(leadership: Leadership, read: ConfirmedRead): void
  /** Entries up to the leadership's commit index are committed. */
  committed(leadership: Leadership): void
  /** Reads that wait. */
  count(): number
}

export function createReadBarrier(init: {
  readonly engine: RaftEngine
  readonly clock: Clock
  readonly isCurrent: (leadership: Leadership) => boolean
}): ReadBarrier {
  const { engine, clock, isCurrent } = init
  let total = 0
  let nextContext = 1

  function start(leadership: Leadership): Promise<number> {
    const context = nextContext++
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    // The round begins in the next turn, so that every read of this turn joins it; a later read starts its own.
    clock.soon(() => {
      leadership.readBarrier = undefined
      if (!isCurrent(leadership) || engine.group(leadership.partition)?.readIndex(context) !== true) {
        reject(notLeader(leadership.partition, engine.status(leadership.partition)))
        return
      }
      leadership.reads.set(context, { resolve, reject })
      engine.touch(leadership.partition)
    })
    return promise
  }

  function reached(leadership: Leadership, index: number): Promise<void> {
    if (!isCurrent(leadership)) throw unknownOutcome(leadership.partition)
    if (index <= leadership.commitIndex) return Promise.resolve()
    return new Promise<void>((resolve, reject) => {
      leadership.readsWaiting.push({ index, resolve, reject })
    })
  }

  return {
    async pass(leadership, proposedIndex = 0) {
      total += 1
      try {
        leadership.readBarrier ??= start(leadership)
        await reached(leadership, await leadership.readBarrier)
        await reached(leadership, proposedIndex)
      } finally {
        total -= 1
      }
    },
    confirmed(leadership, read) {
      const waiting = leadership.reads.get(read.context)
      if (waiting === undefined) return
      leadership.reads.delete(read.context)
      if (read.index === null) waiting.reject(unknownOutcome(leadership.partition))
      else waiting.resolve(read.index)
    },
    committed(leadership) {
      if (leadership.readsWaiting.length === 0) return
      const waiting = leadership.readsWaiting.splice(0)
      for (const read of waiting) {
        if (read.index <= leadership.commitIndex) read.resolve()
        else leadership.readsWaiting.push(read)
      }
    },
    count: () => total,
  }
}
