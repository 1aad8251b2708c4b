// The version that was built beside the one that answers takes its place.
import type { Clock } from '../core/clock.ts'
import type { QueryLimits } from './query-limits.ts'
import type { QuerySupervisor } from './query-supervisor.ts'
import { within } from './within.ts'

/** Why a question that the old version had begun, and not answered in time, fails. */
const replaced = 'a new version has taken its place; ask again'

export interface VersionSwapInit {
  readonly clock: Clock
  readonly limits: Pick<QueryLimits, 'swapMsMax' | 'closeMsMax'>
  /** The query is closing. */
  isClosed(): boolean
}

export interface VersionSwap {
  /**
   * The old version sees no more events, until the new one has seen all that it has; from then on new questions wait for
   * the new one, the old one answers what it has begun, and the new read model takes the place of the old. What was read
   * is never older than what was read before. Says whether it was done: if not, the old one goes on.
   */
  swap(
    versions: { readonly old: QuerySupervisor; readonly next: QuerySupervisor },
    options: {
      /** The old one is held: is this still to be done? */
      isWanted(): boolean
      /** The new one is that which serves, from now on. */
      exchange(): void
    },
  ): Promise<boolean>
  /** A version has moved, or the query is closing. */
  maybeGoOn(): void
}

export function createVersionSwap({ clock, limits, isClosed }: VersionSwapInit): VersionSwap {
  let onMove: (() => void) | undefined

  /** Waits a while until `next` has seen all that `old` has. */
  const isAbreast = async (next: QuerySupervisor, old: QuerySupervisor): Promise<boolean> => {
    const isThere = (): boolean => next.isCaughtUp() && next.isAbreastOf(old)
    const moved = new Promise<void>(resolve => {
      onMove = () => {
        if (isThere() || isClosed() || !next.isCaughtUp()) resolve()
      }
      onMove()
    })
    await within(clock, limits.swapMsMax, moved)
    onMove = undefined
    return isThere() && !isClosed()
  }

  return {
    async swap({ old, next }, { isWanted, exchange }) {
      await old.hold('swap')
      if (!isWanted() || !(await isAbreast(next, old))) {
        old.release('swap')
        return false
      }
      exchange()
      next.serve()
      old.handOver(next)
      await within(clock, limits.closeMsMax, old.whenAnswered())
      await old.close(replaced)
      await next.takeOver()
      return true
    },
    maybeGoOn: () => onMove?.(),
  }
}
