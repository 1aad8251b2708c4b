// What one version of a query has seen, against what there is to see.
import type { Clock } from '../core/clock.ts'
import type { HeadHistory } from './head-history.ts'
import { isAbreast, lagOf, partitionsBehind, progressOf } from './lag.ts'
import type { BuildProgress, EventSource } from './query.ts'
import { createQueryPace } from './query-pace.ts'
import type { FromRunner } from './runner-messages.ts'

/** A query this far behind is catching up, even if it had caught up before. */
const catchingUpLag = 1000
/** A version that is built has caught up, nearly, when no more than this is left. */
const nearlyShare = 0.05

export interface QueryProgressInit {
  readonly source: Pick<EventSource, 'heads'>
  readonly headHistory: HeadHistory
  readonly clock: Clock
}

export interface QueryProgress {
  /** By partition: the last index that it has seen. */
  readonly positions: ReadonlyMap<number, number>
  /** 0 where it has seen nothing. */
  indexOf(partition: number): number
  /** Once since it was opened it had seen everything. */
  readonly hasCaughtUp: boolean
  /** Its read model says where it stands. */
  open(positions: Extract<FromRunner, { type: 'opened' }>['positions']): void
  /** It has seen more. */
  move(seen: Extract<FromRunner, { type: 'progress' }>): void
  /** It has seen everything. */
  catchUp(): void
  /** Entries that it has not seen, over all partitions. */
  lag(): number
  /** As in the status of a query. */
  lagSeconds(): number
  /** As in the status of a query. */
  ratePerSecond(): number
  done(): BuildProgress
  /** It had seen everything, and has not fallen far behind since; or it sees everything now. */
  isUpToDate(): boolean
  /** It had seen everything, or nearly so. */
  isNearlyThere(): boolean
  /** Partitions with entries that it has not seen. */
  partitionsBehind(): readonly number[]
  /** It has seen everything that these have. */
  isAbreastOf(positions: ReadonlyMap<number, number>): boolean
}

export function createQueryProgress({ source, headHistory, clock }: QueryProgressInit): QueryProgress {
  const pace = createQueryPace({ clock, history: headHistory })
  let positions = new Map<number, number>()
  let hasCaughtUp = false
  const lag = (): number => lagOf(source.heads(), positions)
  const done = (): BuildProgress => progressOf(source.heads(), positions)

  return {
    get positions() {
      return positions
    },
    indexOf: partition => positions.get(partition) ?? 0,
    get hasCaughtUp() {
      return hasCaughtUp
    },
    open(found) {
      positions = new Map(found)
      hasCaughtUp = false
    },
    move({ partition, index, events, timeMs }) {
      positions.set(partition, index)
      pace.handled(events, timeMs)
    },
    catchUp() {
      hasCaughtUp = true
    },
    lag,
    lagSeconds: () => pace.lagSeconds(positions, lag()),
    ratePerSecond: () => pace.perSecond(),
    done,
    isUpToDate: () => lag() <= (hasCaughtUp ? catchingUpLag : 0),
    isNearlyThere() {
      if (hasCaughtUp) return true
      // Under steady commits it may never be without any.
      const { done: seen, total } = done()
      return total - seen <= Math.min(catchingUpLag, total * nearlyShare)
    },
    partitionsBehind: () => partitionsBehind(source.heads(), positions),
    isAbreastOf: other => isAbreast(positions, other),
  }
}
