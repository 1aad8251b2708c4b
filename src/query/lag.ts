// How far positions are from heads.
import type { BuildProgress } from './query.ts'

type Indexes = ReadonlyMap<number, number>

/** Entries that were not seen, over all partitions. */
export function lagOf(heads: Indexes, positions: Indexes): number {
  let lag = 0
  for (const [partition, index] of heads) lag += Math.max(0, index - (positions.get(partition) ?? 0))
  return lag
}

export function progressOf(heads: Indexes, positions: Indexes): BuildProgress {
  let total = 0
  for (const index of heads.values()) total += index
  return { done: total - lagOf(heads, positions), total }
}

/** Partitions with entries that were not seen. */
export function partitionsBehind(heads: Indexes, positions: Indexes): readonly number[] {
  return [...heads].flatMap(([partition, index]) =>
    index > (positions.get(partition) ?? 0) ? [partition] : [],
  )
}

/** All that `other` has seen was seen. */
export function isAbreast(positions: Indexes, other: Indexes): boolean {
  return [...other].every(([partition, index]) => (positions.get(partition) ?? 0) >= index)
}
