// What one replica remembers, and the one transition that every part may cause: falling back to follower.
import { invariant } from '../core/assert.ts'
import type { Random } from '../core/clock.ts'
import type { ReplicaId } from '../core/replica-id.ts'
import type { Membership } from './membership.ts'
import type { Outbox } from './outbox.ts'
import type { Progress } from './progress.ts'
import type { ConfirmedRead, RaftOptions, Role } from './raft.ts'
import type { RaftLog } from './raft-log.ts'
import type { ReadQueue } from './read-queue.ts'
import type { RaftRules } from './rules.ts'

/** What only a leader has. It is forgotten with the leadership. */
export interface Leadership {
  /** Every other member: voters and learners. */
  readonly progress: Map<ReplicaId, Progress>
  /** The index of the no-op that this leader appended first. */
  readonly firstOwnIndex: number
  readonly reads: ReadQueue
  /** Ticks since the election. */
  ticks: number
  ticksSinceHeartbeat: number
  hasCommittedInTerm: boolean
  transfer: { readonly to: ReplicaId; readonly startedAt: number } | null
  /** There may be something to send that is not in the outbox yet. */
  isFlushDue: boolean
}

export interface ReplicaState {
  readonly id: ReplicaId
  readonly options: RaftOptions
  readonly random: Random
  readonly rules: RaftRules
  readonly log: RaftLog
  readonly membership: Membership
  readonly outbox: Outbox
  term: number
  vote: ReplicaId | null
  role: Role
  /** Whom this replica follows in `term`. */
  leader: ReplicaId | null
  /** Ticks since the leader was heard, a vote was given or an election began. */
  ticksElapsed: number
  /** Drawn anew for every attempt (rule R11). */
  electionTimeout: number
  /** Answers to this candidate's or pre-candidate's request. */
  readonly votes: Map<ReplicaId, boolean>
  leadership: Leadership | null
  /** Answers to reads that wait to be handed out. */
  reads: ConfirmedRead[]
  /** Why the role, term or leader is what it is, in words. */
  reason: string
}

export const isLeading = (state: ReplicaState): boolean => state.leadership !== null

export function resetElectionTimer(state: ReplicaState): void {
  const { electionTicks } = state.options
  state.ticksElapsed = 0
  state.electionTimeout = electionTicks + Math.floor(state.random() * electionTicks)
}

/** Moves to a later term, in which this replica has not voted yet. */
export function enterTerm(state: ReplicaState, term: number): void {
  invariant(term > state.term, `term ${term} does not come after ${state.term}`)
  state.term = term
  state.vote = null
  state.outbox.forgetBelow(term)
}

/** A vote that was given in this term stays (rule R3: stepping down in the same term must not forget it). */
export function becomeFollower(
  state: ReplicaState,
  to: { readonly term: number; readonly leader: ReplicaId | null; readonly reason: string },
): void {
  if (to.term > state.term) enterTerm(state, to.term)
  if (state.leadership !== null) state.reads.push(...state.leadership.reads.lose())
  state.leadership = null
  state.votes.clear()
  state.role = 'follower'
  state.leader = to.leader
  state.reason = to.reason
  resetElectionTimer(state)
}
