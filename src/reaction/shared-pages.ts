// The reactions of one partition mostly stand at the same place: what one of them reads, the others need not read again.
import type { Clock } from '../core/clock.ts'
import type { ReactionLog } from './reaction.ts'

/** Keeps the page that was read last for as long as this turn lasts. */
export function sharePages(
  store: Pick<ReactionLog, 'readPartition'>,
  clock: Clock,
): Pick<ReactionLog, 'readPartition'> {
  let last: { readonly name: string; readonly rows: ReturnType<ReactionLog['readPartition']> } | undefined
  return {
    readPartition(partition, range) {
      const name = `${partition} ${range.afterIndex} ${range.throughIndex} ${range.limit}`
      if (last?.name === name) return last.rows
      const rows = store.readPartition(partition, range)
      if (last === undefined)
        clock.soon(() => {
          last = undefined
        })
      last = { name, rows }
      return rows
    },
  }
}
