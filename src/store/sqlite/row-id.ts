// The key of a row in `log`: partition, index and offset in one integer, so that the rows of a partition lie together and
// in order, and large rows lie in the leaves of the tree as in any table. (Without rowids every inner page would hold
// whole rows: measured as fast to append to, but deeper, and rows above a kilobyte would need pages of their own.)
import { invariant } from '../../core/assert.ts'

/** Bits of the offset and of the index; the partition has the rest, without the sign. */
const offsetBits = 10
const indexBits = 42

export const rowPartitionMax = 2 ** (63 - indexBits - offsetBits) - 1
export const rowIndexMax = 2 ** indexBits - 2
export const rowOffsetMax = 2 ** offsetBits - 1

/** SQL for the key of (partition, index, offset); each part is SQL too. */
export const rowId = (partition: string, index: string, offset: string): string =>
  `((${partition} << ${indexBits + offsetBits}) | (${index} << ${offsetBits}) | ${offset})`

/**
 * SQL for the rows with `after` < index <= `through`, with four parameters: partition, after, partition, through.
 * Both have to go through {@link boundedIndex}.
 */
export const rowsBetween = `id > ${rowId('?', '?', String(rowOffsetMax))} and id <= ${rowId('?', '?', String(rowOffsetMax))}`

/** An index that fits its bits: callers say "through the largest number" when they mean the end. */
export const boundedIndex = (index: number): number => Math.min(Math.max(0, index), rowIndexMax)

/** Throws an InvariantError for an entry whose rows would have the keys of others. */
export function checkPlace(place: {
  readonly partition: number
  readonly index: number
  readonly rows: number
}): void {
  const { partition, index, rows } = place
  const fits =
    partition >= 0 && partition <= rowPartitionMax && index <= rowIndexMax && rows <= rowOffsetMax + 1
  invariant(fits, () => {
    const allowed = `partitions 0 to ${rowPartitionMax}, indexes to ${rowIndexMax}, ${rowOffsetMax + 1} events`
    return `partition ${partition}, index ${index} with ${rows} events cannot be stored; allowed: ${allowed}`
  })
}
