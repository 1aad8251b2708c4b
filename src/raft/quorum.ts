// The arithmetic of majorities: what a majority reached, and whether a vote is decided.
import type { ReplicaId } from '../core/replica-id.ts'

export const majorityOf = (voters: number): number => Math.floor(voters / 2) + 1

/**
 * The highest value that a majority reached, given the value of every voter: the commit index by match, or the read
 * round by acknowledgement. Without voters nothing is reached: 0 (rule R5).
 */
export function reachedByMajority(values: readonly number[]): number {
  const descending = values.toSorted((a, b) => b - a)
  return descending[majorityOf(values.length) - 1] ?? 0
}

export type VoteResult = 'won' | 'lost' | 'pending'

/** `votes` may hold votes of others than the voters: they do not count. Without voters nobody wins. */
export function voteResult(voters: readonly ReplicaId[], votes: ReadonlyMap<ReplicaId, boolean>): VoteResult {
  const majority = majorityOf(voters.length)
  let granted = 0
  let refused = 0
  for (const voter of voters) {
    const vote = votes.get(voter)
    if (vote === true) granted += 1
    else if (vote === false) refused += 1
  }
  if (granted >= majority) return 'won'
  return voters.length - refused < majority ? 'lost' : 'pending'
}
