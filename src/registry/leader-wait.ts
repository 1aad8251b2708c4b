// A change of leader takes some milliseconds: a replica that is asked meanwhile answers when it is over. Whoever asked
// then follows one redirect, where polling would cost several and find the new leader later.
import type { Clock } from '../core/clock.ts'
import { type GlynError, hasCode } from '../core/errors.ts'
import type { LeaderTable } from './leader-table.ts'

/** More than a transfer takes. An election after a crash is longer: whoever asks tries another replica meanwhile. */
const waitMsMax = 200

export interface LeaderWaitInit {
  readonly table: LeaderTable
  readonly clock: Clock
  readonly isReplica: (partition: number) => boolean
}

export interface LeaderWait {
  /** Runs the action again, for a bounded time, as long as it says NOT_LEADER without the name of one. */
  run<T>(partition: number, action: () => Promise<T>): Promise<T>
  /** Requests that wait. A graceful stop ends when there are none: each is told where to go. */
  waiting(): number
}

export function createLeaderWait({ table, clock, isReplica }: LeaderWaitInit): LeaderWait {
  /** Those who wait for news of a partition. */
  const waiting = new Map<number, Set<() => void>>()
  let count = 0
  table.onChange(partition => {
    const woken = waiting.get(partition)
    waiting.delete(partition)
    for (const wake of woken ?? []) wake()
  })

  /** Resolves at the next news of the partition, at the latest after so long. */
  function news(partition: number, timeoutMs: number): Promise<void> {
    return new Promise(resolve => {
      const set = waiting.get(partition) ?? new Set()
      waiting.set(partition, set)
      const wake = (): void => {
        cancel()
        set.delete(wake)
        resolve()
      }
      const cancel = clock.after(timeoutMs, wake)
      set.add(wake)
    })
  }

  return {
    async run(partition, action) {
      const deadline = clock.now() + waitMsMax
      for (;;) {
        try {
          return await action()
        } catch (error) {
          const left = deadline - clock.now()
          if (left <= 0 || !isLeaderless(error) || !isReplica(partition)) throw error
          count += 1
          await news(partition, left)
          count -= 1
        }
      }
    },
    waiting: () => count,
  }
}

function isLeaderless(error: unknown): error is GlynError {
  return hasCode(error, 'NOT_LEADER') && (error.details as { leader?: unknown } | undefined)?.leader === null
}
