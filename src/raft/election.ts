// Elections: pre-vote, vote, leader stickiness, and what a new leader does first (Raft 5.2, 5.4.1, thesis 9.6).
import type { ReplicaId } from '../core/replica-id.ts'
import type { PreVote, PreVoteResponse, Vote, VoteResponse } from './message.ts'
import { voteResult } from './quorum.ts'
import { ReadQueue } from './read-queue.ts'
import {
  becomeFollower,
  enterTerm,
  isLeading,
  type ReplicaState,
  resetElectionTimer,
} from './replica-state.ts'
import { appendOwn, followMembership } from './replication.ts'

const nothing = new Uint8Array(0)

/**
 * Only a voter may stand: an empty configuration has none. One whose removal or demotion is not known to be committed
 * still stands, without counting its own vote: only it may have the log to finish the change (thesis 4.2.2).
 */
export const mayStand = (state: ReplicaState): boolean =>
  !isLeading(state) && state.membership.isVoterStill(state.id)

/** A leader was heard within the shortest election timeout: nobody else is voted for (rule R11). */
export const isLoyal = (state: ReplicaState): boolean =>
  state.leader !== null && (isLeading(state) || state.ticksElapsed < state.options.electionTicks)

/** A candidate whose own vote is still being written has asked nobody yet: it waits for its disk. */
export function stand(state: ReplicaState, reason: string): void {
  const isWaitingForDisk = state.role === 'candidate' && !state.votes.has(state.id)
  if (mayStand(state) && !isWaitingForDisk) becomePreCandidate(state, reason)
}

/** Asks whether an election could be won, without disturbing anyone's term. */
function becomePreCandidate(state: ReplicaState, reason: string): void {
  const { id, term, log } = state
  state.role = 'pre-candidate'
  state.leader = null
  state.reason = reason
  state.votes.clear()
  resetElectionTimer(state)
  const { lastIndex, lastTerm } = log
  for (const to of state.membership.voters) {
    if (to !== id) state.outbox.send({ type: 'pre-vote', from: id, to, term: term + 1, lastIndex, lastTerm })
  }
  countVote(state, id, true)
}

/** Votes for itself in a new term. That vote too counts only when it is durable: {@link countOwnVote}. */
export function becomeCandidate(
  state: ReplicaState,
  init: { readonly transfer: boolean; readonly reason: string },
): void {
  enterTerm(state, state.term + 1)
  const { id, term, log } = state
  state.role = 'candidate'
  state.leader = null
  state.vote = id
  state.reason = init.reason
  state.votes.clear()
  resetElectionTimer(state)
  const { lastIndex, lastTerm } = log
  const { transfer } = init
  for (const to of state.membership.voters) {
    if (to === id) continue
    state.outbox.sendAfterWrite({ type: 'vote', from: id, to, term, lastIndex, lastTerm, transfer })
  }
}

/** The hard state with this candidate's vote for itself became durable. */
export function countOwnVote(state: ReplicaState): void {
  if (state.role === 'candidate' && state.vote === state.id) countVote(state, state.id, true)
}

export function handlePreVote(state: ReplicaState, message: PreVote): void {
  if (isLoyal(state)) return
  const { id, log } = state
  const isTermOpen = message.term > state.term
  const granted = isTermOpen && log.isCoveredBy(message)
  const term = granted ? message.term : state.term
  state.outbox.sendAfterWrite({ type: 'pre-vote-response', from: id, to: message.from, term, granted })
}

/** A request of this replica's term: whoever asks first and has the log gets the vote. */
export function handleVote(state: ReplicaState, message: Vote): void {
  const { id, term, log } = state
  const { from } = message
  const isVoteOpen = state.vote === from || (state.vote === null && state.leader === null)
  const granted = isVoteOpen && log.isCoveredBy(message)
  if (granted) {
    state.vote = from
    state.ticksElapsed = 0
  }
  state.outbox.sendAfterWrite({ type: 'vote-response', from: id, to: from, term, granted })
}

export function handlePreVoteResponse(state: ReplicaState, message: PreVoteResponse): void {
  if (state.role !== 'pre-candidate') return
  if (message.granted && message.term !== state.term + 1) return
  countVote(state, message.from, message.granted)
}

export function handleVoteResponse(state: ReplicaState, message: VoteResponse): void {
  if (state.role === 'candidate') countVote(state, message.from, message.granted)
}

function countVote(state: ReplicaState, from: ReplicaId, granted: boolean): void {
  if (!state.votes.has(from)) state.votes.set(from, granted)
  const { role, term } = state
  const result = voteResult(state.membership.voters, state.votes)
  if (result === 'lost')
    becomeFollower(state, { term, leader: null, reason: `refused by a majority as ${role}` })
  else if (result === 'won' && role === 'pre-candidate')
    becomeCandidate(state, { transfer: false, reason: state.reason })
  else if (result === 'won') becomeLeader(state)
}

function becomeLeader(state: ReplicaState): void {
  const { id, term, log } = state
  state.role = 'leader'
  state.leader = id
  state.reason = `elected in term ${term}: ${state.reason}`
  state.votes.clear()
  state.ticksElapsed = 0
  state.leadership = {
    progress: new Map(),
    firstOwnIndex: log.lastIndex + 1,
    reads: new ReadQueue(),
    ticks: 0,
    ticksSinceHeartbeat: 0,
    hasCommittedInTerm: false,
    transfer: null,
    isFlushDue: true,
  }
  followMembership(state)
  appendOwn(state, 'noop', nothing)
}
