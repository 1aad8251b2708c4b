// The two rules of consensus that tests replace by a planted bug, to prove that they would be found.

export interface RaftRules {
  /** Whether a leader may commit `index` because a majority holds it (Raft 5.4.2, rule R5). */
  mayCommitByCounting(index: number, leadership: { readonly firstOwnIndex: number }): boolean
  /** Whether a leader may append a configuration now (Ongaro, raft-dev 2015: the single-server bug; rule R8). */
  mayChangeConfiguration(leadership: { readonly hasCommittedInTerm: boolean }): boolean
}

export const raftRules: RaftRules = {
  // A leader appends only entries of its own term, so those from its first one on are of its term.
  mayCommitByCounting: (index, { firstOwnIndex }) => index >= firstOwnIndex,
  mayChangeConfiguration: ({ hasCommittedInTerm }) => hasCommittedInTerm,
}
