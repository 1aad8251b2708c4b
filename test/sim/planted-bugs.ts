// Bugs that others have had, each as a change of our own source. The simulator must find every one of them: that is how we
// know that it sees. `npm run sim:bugs` plants them one after the other in a copy of the source.

export interface PlantedBug {
  readonly name: string
  /** What goes wrong, in a sentence that ends without a full stop. */
  readonly what: string
  readonly changes: readonly Change[]
  /** It must be found within so many seeds, counted from the first. */
  readonly seedsMax: number
}

export interface Change {
  /** Relative to the folder of the project. */
  readonly file: string
  /** Occurs exactly once; the source has moved on when it does not, and the bug must follow it. */
  readonly find: string
  readonly replace: string
}

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'ack-before-fsync',
    what: 'what was written counts as durable before the disk says so',
    seedsMax: 100,
    changes: [
      {
        file: 'src/partition/raft-engine.ts',
        find: 'store.write(batch).then(',
        replace: 'store.write(batch).catch(() => {})\n    Promise.resolve().then(',
      },
    ],
  },
  {
    name: 'vote-forgotten',
    what: 'a replica that starts again does not know whom it voted for',
    seedsMax: 1000,
    changes: [
      {
        file: 'src/partition/raft-engine.ts',
        find: 'hardState: recovered.hardState,',
        replace: 'hardState: { ...recovered.hardState, vote: null },',
      },
    ],
  },
  {
    name: 'old-term-commit',
    what: "a leader commits another term's entry because a majority holds it",
    seedsMax: 1000,
    changes: [
      {
        file: 'src/raft/rules.ts',
        find: 'mayCommitByCounting: (index, { firstOwnIndex }) => index >= firstOwnIndex,',
        replace: 'mayCommitByCounting: () => true,',
      },
    ],
  },
  {
    name: 'no-pre-vote',
    what: 'a replica that was cut off stands in a new term at once and deposes a healthy leader',
    seedsMax: 100,
    changes: [
      {
        file: 'src/raft/election.ts',
        find: 'if (mayStand(state) && !isWaitingForDisk) becomePreCandidate(state, reason)',
        replace:
          'if (mayStand(state) && !isWaitingForDisk) becomeCandidate(state, { transfer: false, reason })',
      },
    ],
  },
  {
    name: 'dedupe-dropped',
    what: 'a command id that is in the log already is decided again',
    seedsMax: 20,
    changes: [
      {
        file: 'src/partition/aggregate-host.ts',
        find: 'if (first !== undefined) return first',
        replace: 'void first',
      },
    ],
  },
  {
    name: 'truncation-below-commit',
    what: 'an append that repeats known entries cuts off all that follows them, committed or not',
    seedsMax: 50,
    changes: [
      {
        file: 'src/raft/raft-log.ts',
        find: 'if (this.term(entry.index) !== entry.term) break',
        replace: 'if (known === 0) break',
      },
      { file: 'src/raft/raft-log.ts', find: 'from > this.#commitIndex,', replace: 'from > 0,' },
    ],
  },
  {
    name: 'stale-read',
    what: 'a leader answers reads without asking whether it still leads',
    seedsMax: 300,
    changes: [
      {
        file: 'src/partition/aggregate-host.ts',
        find: 'await barrier.pass(leadership)\n    const found = actorOf(leadership, aggregate, binding)',
        replace: 'const found = actorOf(leadership, aggregate, binding)',
      },
    ],
  },
  {
    name: 'early-configuration-change',
    what: 'a leader changes the configuration before it has committed an entry of its own term',
    seedsMax: 5000,
    changes: [
      {
        file: 'src/raft/rules.ts',
        find: 'mayChangeConfiguration: ({ hasCommittedInTerm }) => hasCommittedInTerm,',
        replace: 'mayChangeConfiguration: () => true,',
      },
      {
        file: 'src/cluster/reconciler.ts',
        find: "if (status.role !== 'leader' || !status.canServe || status.transferTarget !== null) continue",
        replace: "if (status.role !== 'leader' || status.transferTarget !== null) continue",
      },
    ],
  },
  {
    name: 'feed-gap-ignored',
    what: 'entries that gossip brought are passed on although some before them are missing',
    seedsMax: 100,
    changes: [
      {
        file: 'src/pubsub/recent-entries.ts',
        find: 'if (last !== undefined && entry.index !== last.index + 1) {',
        replace: 'if (Number.isNaN(entry.index)) {',
      },
    ],
  },
  {
    name: 'checkpoint-outside',
    what: "a query's checkpoint is written after the transaction of what it handled",
    seedsMax: 200,
    changes: [
      {
        file: 'src/query/apply-batch.ts',
        find: 'if (index > start) model.writeCheckpoint(batch.partition, index)\n    transaction.commit()',
        replace: 'transaction.commit()\n    if (index > start) model.writeCheckpoint(batch.partition, index)',
      },
    ],
  },
  {
    name: 'serves-too-early',
    what: 'a new leader decides commands before it knows all that its predecessors committed',
    seedsMax: 50,
    changes: [
      {
        file: 'src/partition/aggregate-host.ts',
        find: 'if (leadership?.serveFrom !== undefined && leadership.serveFrom <= leadership.commitIndex)',
        replace: 'if (leadership !== undefined)',
      },
    ],
  },
  {
    name: 'dirty-rejection',
    what: 'a command is rejected because of events that are not committed, and may never be',
    seedsMax: 300,
    changes: [
      {
        file: 'src/partition/aggregate-host.ts',
        find: 'await barrier.pass(leadership, actor.proposedIndex)',
        replace: '',
      },
    ],
  },
  {
    name: 'commit-beyond-match',
    what: 'a heartbeat tells a follower to commit what it may hold another version of',
    seedsMax: 100,
    changes: [
      {
        file: 'src/raft/replication.ts',
        find: 'const commit = Math.min(follower.match, log.commitIndex)\n  follower.sentCommit =',
        replace: 'const commit = log.commitIndex\n  follower.sentCommit =',
      },
    ],
  },
  {
    name: 'vote-for-shorter-log',
    what: 'a vote is given to a candidate that lacks entries',
    seedsMax: 300,
    changes: [
      {
        file: 'src/raft/election.ts',
        find: 'const granted = isVoteOpen && log.isCoveredBy(message)',
        replace: 'const granted = isVoteOpen',
      },
    ],
  },
  {
    name: 'half-is-a-majority',
    what: 'with an even number of voters, half of them decide',
    seedsMax: 300,
    changes: [
      {
        file: 'src/raft/quorum.ts',
        find: 'Math.floor(voters / 2) + 1',
        replace: 'Math.max(1, Math.ceil(voters / 2))',
      },
    ],
  },
  {
    name: 'snapshot-of-the-uncommitted',
    what: 'a snapshot holds events that are not committed',
    seedsMax: 1000,
    changes: [
      {
        file: 'src/partition/aggregate-snapshot.ts',
        find: 'function textOf({ key, committedState }: Snapped',
        replace: 'function textOf({ key, proposedState: committedState }: Snapped',
      },
    ],
  },
  {
    name: 'input-ids-by-chance',
    what: 'an event goes to its process under another command id each time it is sent',
    seedsMax: 50,
    changes: [
      {
        file: 'src/reaction/process-reactions.ts',
        find: 'commandId: inputId(process.name, event.id),',
        replace: 'commandId: inputId(process.name, event.id + Math.random()),',
      },
    ],
  },
  {
    name: 'rejection-decided-afresh',
    what: "a command of a process that was rejected is decided again when its leader's successor sends it again",
    seedsMax: 200,
    changes: [
      {
        file: 'src/partition/aggregate-host.ts',
        find: 'if (kept !== undefined) return fromKept(await kept, envelope)',
        replace: 'void kept',
      },
    ],
  },
  {
    name: 'checkpoint-before-effect',
    what: 'a handler counts as done with an event when it begins with it',
    seedsMax: 200,
    changes: [
      {
        file: 'src/reaction/cursor.ts',
        find: 'if (!(await performRow(row))) return\n          done[place] = true\n          performed += 1\n          settle()',
        replace:
          'done[place] = true\n          performed += 1\n          settle()\n          if (!(await performRow(row))) return',
      },
    ],
  },
  {
    name: 'timer-not-in-checkpoint',
    what: 'the timers that wait are known to the leader alone',
    seedsMax: 100,
    changes: [
      {
        file: 'src/reaction/process-reactions.ts',
        find: 'checkpointer.set(pending)',
        replace: '',
      },
    ],
  },
  {
    name: 'commands-not-waited-for',
    what: 'a command of a process counts as sent when it is on its way',
    seedsMax: 200,
    changes: [
      {
        file: 'src/reaction/process-reactions.ts',
        find: 'for (const [ordinal, one] of sends.entries()) {\n          await sendOne({ process, environment, row, ordinal, one, context })\n        }',
        replace:
          'for (const [ordinal, one] of sends.entries()) {\n          sendOne({ process, environment, row, ordinal, one, context }).catch(() => {})\n        }',
      },
    ],
  },
]
