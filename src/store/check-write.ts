// What a store refuses to write, whichever adapter: gaps, truncation of what is committed, a hard state that goes back.
import { invariant } from '../core/assert.ts'
import type { HardState } from '../raft/raft.ts'
import type { PartitionWrite } from './store.ts'

export interface StoredPartition {
  hardState: HardState
  lastIndex: number
}

export const emptyHardState: HardState = { term: 0, vote: null, commit: 0 }

/** The setting that holds the storage id: never written by callers, never shown in `settings()`. */
export const storageIdSetting = 'storage_id'

export const storageIdIsReserved = `setting: ${storageIdSetting} is the store's own`

/** Throws an InvariantError that names the partition and the rule. `stored` is what was written before. */
export function checkWrite(write: PartitionWrite, stored: Readonly<StoredPartition>): void {
  const { partition, truncateFrom, entries, hardState } = write
  let lastIndex = stored.lastIndex
  if (truncateFrom !== null) {
    invariant(
      truncateFrom > stored.hardState.commit,
      () =>
        `partition ${partition}: truncate from ${truncateFrom}, but ${stored.hardState.commit} is committed`,
    )
    lastIndex = Math.min(lastIndex, truncateFrom - 1)
  }
  for (const entry of entries) {
    invariant(
      entry.index === lastIndex + 1,
      () => `partition ${partition}: append of index ${entry.index} after ${lastIndex}`,
    )
    invariant(
      entry.hash.length === 32,
      () => `partition ${partition}, index ${entry.index}: its hash has ${entry.hash.length} bytes, not 32`,
    )
    lastIndex = entry.index
  }
  if (hardState !== null) checkHardState(write, { before: stored.hardState, after: hardState, lastIndex })
}

function checkHardState(
  { partition }: PartitionWrite,
  change: { readonly before: HardState; readonly after: HardState; readonly lastIndex: number },
): void {
  const { before, after, lastIndex } = change
  invariant(
    after.term >= before.term,
    () => `partition ${partition}: term ${after.term} after ${before.term} was stored`,
  )
  invariant(
    after.term > before.term || before.vote === null || after.vote === before.vote,
    () => `partition ${partition}: vote for ${after.vote} in term ${after.term} after one for ${before.vote}`,
  )
  invariant(
    after.commit >= before.commit && after.commit <= lastIndex,
    () =>
      `partition ${partition}: commit ${after.commit}; allowed: ${before.commit} (stored) to ${lastIndex} (last index)`,
  )
}
