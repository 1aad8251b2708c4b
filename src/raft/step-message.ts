// Which messages count, what their terms do, and who handles them.
//
// Whose messages count (rules R11, R17). The driver has checked the cluster and that the sender's node is a member of
// it; this is about the partition's configuration, of which this replica may hold an old version, or none.
//  - Appends and heartbeats count whoever sends them. They come from a replica that a majority elected; one that does
//    not know it yet (a fresh learner, a voter that was away) learns the newer configuration from them and only from them.
//  - A request for a vote of a replica outside our configuration counts only if its log is *newer* than ours. Such a
//    sender may be a voter of a later configuration, and refusing it could leave a live majority without a leader for
//    ever. A removed replica cannot pass: if its removal is committed, then every log newer than one that holds it
//    holds it too (leader completeness), and who knows that its removal is committed does not stand. So a removed or
//    lost replica gets no answer and raises no term.
//  - The leader of our term may ask us to stand: one that has just committed its own removal names its successor so.
//  - Everything else from outside our configuration is dropped.
//  - Learners answer requests for votes like voters: they may be voters of the candidate's newer configuration, and a
//    candidate counts only the voters of its own (so does etcd).
import { invariant } from '../core/assert.ts'
import {
  becomeCandidate,
  handlePreVote,
  handlePreVoteResponse,
  handleVote,
  handleVoteResponse,
  isLoyal,
  mayStand,
} from './election.ts'
import { handleAppend, handleHeartbeat } from './following.ts'
import type { RaftMessage } from './message.ts'
import { becomeFollower, type ReplicaState } from './replica-state.ts'
import { handleAppendResponse, handleHeartbeatResponse } from './replication.ts'

export function stepMessage(state: ReplicaState, message: RaftMessage): void {
  invariant(message.to === state.id, () => `a ${message.type} for ${message.to} was given to ${state.id}`)
  if (message.from === state.id || !counts(state, message)) return
  if (message.term < state.term) answerOld(state, message)
  else if (message.term === state.term || enterTermOf(state, message)) handle(state, message)
}

/** See the head of this file. */
function counts(state: ReplicaState, message: RaftMessage): boolean {
  const { membership, log, leader, term } = state
  if (membership.isMember(message.from)) return true
  if (message.type === 'append' || message.type === 'heartbeat') return true
  if (message.type === 'timeout-now') return message.from === leader && message.term === term
  if (message.type !== 'vote' && message.type !== 'pre-vote') return false
  const { lastTerm, lastIndex } = message
  return log.isCoveredBy(message) && (lastTerm !== log.lastTerm || lastIndex !== log.lastIndex)
}

/** A message of a later term. False: it is ignored. */
function enterTermOf(state: ReplicaState, message: RaftMessage): boolean {
  const { type, term, from } = message
  if (type === 'pre-vote') return true
  // A granted pre-vote carries the term asked for, in which nobody is yet.
  if (type === 'pre-vote-response' && message.granted) return true
  if (type === 'vote' && !message.transfer && isLoyal(state)) return false
  const leader = type === 'append' || type === 'heartbeat' ? from : null
  const isHandedOver = state.leadership?.transfer?.to === from
  const reason = isHandedOver ? `handed over to ${from}` : `higher term ${term} from ${from}`
  becomeFollower(state, { term, leader, reason })
  return true
}

/** Tells a replica of an earlier term that time went on; otherwise it could wait for ever. */
function answerOld(state: ReplicaState, { type, from: to }: RaftMessage): void {
  const { id: from, term, outbox } = state
  if (type === 'append' || type === 'heartbeat') {
    const refusal = { accepted: false, index: 0, hintIndex: 0, hintTerm: 0 }
    outbox.sendAfterWrite({ type: 'append-response', from, to, term, ...refusal })
  } else if (type === 'pre-vote') {
    outbox.sendAfterWrite({ type: 'pre-vote-response', from, to, term, granted: false })
  }
}

function handle(state: ReplicaState, message: RaftMessage): void {
  const isLeader = state.leadership !== null
  switch (message.type) {
    case 'pre-vote':
      handlePreVote(state, message)
      break
    case 'pre-vote-response':
      handlePreVoteResponse(state, message)
      break
    case 'vote':
      handleVote(state, message)
      break
    case 'vote-response':
      handleVoteResponse(state, message)
      break
    case 'append':
      handleAppend(state, message)
      break
    case 'append-response':
      if (isLeader) handleAppendResponse(state, message)
      break
    case 'heartbeat':
      handleHeartbeat(state, message)
      break
    case 'heartbeat-response':
      if (isLeader) handleHeartbeatResponse(state, message)
      break
    case 'timeout-now':
      if (state.leader === message.from && mayStand(state)) {
        becomeCandidate(state, { transfer: true, reason: `asked by the leader ${message.from}` })
      }
      break
  }
}
