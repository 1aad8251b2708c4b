// The follower's side: taking appends and heartbeats of the leader of its term.
import { invariant } from '../core/assert.ts'
import type { Append, Heartbeat } from './message.ts'
import { becomeFollower, type ReplicaState } from './replica-state.ts'

/** Recognises the sender as the leader of this term. */
function follow(state: ReplicaState, message: Append | Heartbeat): void {
  const { from, term } = message
  invariant(
    state.role !== 'leader',
    () => `${from} and ${state.id} both lead in term ${term}: an election was won twice`,
  )
  if (state.role !== 'follower' || state.leader === null) {
    becomeFollower(state, { term, leader: from, reason: `following ${from}` })
    return
  }
  invariant(
    state.leader === from,
    () => `${from} and ${state.leader} both lead in term ${term}: an election was won twice`,
  )
  state.ticksElapsed = 0
}

export function handleAppend(state: ReplicaState, message: Append): void {
  follow(state, message)
  const { log, membership } = state
  const { previousIndex, previousTerm, entries } = message
  if (log.term(previousIndex) !== previousTerm) {
    refuse(state, message)
    return
  }
  const [first] = entries
  invariant(
    first === undefined || first.index === previousIndex + 1,
    () => `an append after ${previousIndex} starts with entry ${first?.index}`,
  )
  const { truncatedFrom, appended } = log.take(entries)
  if (truncatedFrom !== null) membership.truncate(truncatedFrom)
  membership.append(appended)
  const index = previousIndex + entries.length
  commitTo(state, Math.min(message.commit, index))
  respond(state, message, { accepted: true, index, hintIndex: 0, hintTerm: 0 })
}

function refuse(state: ReplicaState, message: Append): void {
  const { log } = state
  const { previousIndex, previousTerm } = message
  invariant(
    previousIndex > log.commitIndex,
    () =>
      `${message.from} has term ${previousTerm} at index ${previousIndex}, which is committed here in term ${log.term(previousIndex)}`,
  )
  const hintIndex = log.lastAgreement(previousIndex, previousTerm)
  const hintTerm = log.term(hintIndex) ?? 0
  respond(state, message, { accepted: false, index: previousIndex, hintIndex, hintTerm })
}

function respond(
  state: ReplicaState,
  message: Append,
  answer: {
    readonly accepted: boolean
    readonly index: number
    readonly hintIndex: number
    readonly hintTerm: number
  },
): void {
  const { id, term } = state
  state.outbox.sendAfterWrite({ type: 'append-response', from: id, to: message.from, term, ...answer })
}

export function handleHeartbeat(state: ReplicaState, message: Heartbeat): void {
  follow(state, message)
  commitTo(state, message.commit)
  const { id, term } = state
  const { readRound } = message
  state.outbox.send({ type: 'heartbeat-response', from: id, to: message.from, term, readRound })
}

function commitTo(state: ReplicaState, index: number): void {
  state.log.commitTo(index)
  state.membership.forgetBelow(state.log.commitIndex)
}
