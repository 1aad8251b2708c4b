// The leader's side: sending appends within each follower's window, heartbeats, rounds of reads, and committing.
import { invariant } from '../core/assert.ts'
import type { ReplicaId } from '../core/replica-id.ts'
import type { Entry } from './entry.ts'
import { entryBytes } from './entry-bytes.ts'
import type { AppendResponse, HeartbeatResponse } from './message.ts'
import { Progress } from './progress.ts'
import { majorityOf, reachedByMajority } from './quorum.ts'
import { becomeFollower, type Leadership, type ReplicaState } from './replica-state.ts'

/** A follower that streams and lags by no more than this may be promoted or take over: seconds, not minutes, of work. */
const caughtUpDistanceMax = 1000

const noEntries: readonly Entry[] = []

export function leadershipOf(state: ReplicaState): Leadership {
  invariant(state.leadership !== null, `${state.id} does not lead in term ${state.term}`)
  return state.leadership
}

/** Appends an entry of the leader's term. It is sent with the next `ready()`. */
export function appendOwn(state: ReplicaState, kind: Entry['kind'], payload: Uint8Array): Entry {
  const entry = state.log.append({ term: state.term, kind, payload })
  leadershipOf(state).isFlushDue = true
  if (state.membership.append([entry])) {
    followMembership(state)
    // A round that only the old voters had to answer may hear from nobody any more: its reads are asked again.
    leadershipOf(state).reads.restart()
  }
  return entry
}

/** Gives every other member a progress, and forgets those that are members no more. */
export function followMembership(state: ReplicaState): void {
  const { progress, transfer } = leadershipOf(state)
  const { voters, learners } = state.membership
  for (const id of [...voters, ...learners]) {
    if (id === state.id || progress.has(id)) continue
    progress.set(id, new Progress({ id, next: state.log.lastIndex + 1, bounds: state.options }))
  }
  for (const id of progress.keys()) {
    if (!state.membership.isMember(id)) progress.delete(id)
  }
  if (transfer !== null && !state.membership.isVoter(transfer.to)) leadershipOf(state).transfer = null
}

export function isActive(state: ReplicaState, follower: Progress): boolean {
  return leadershipOf(state).ticks - follower.heardAt < state.options.electionTicks
}

export function isCaughtUp(state: ReplicaState, follower: Progress): boolean {
  const { match } = follower
  if (follower.state !== 'replicate' || match === 0) return false
  return state.log.lastIndex - match <= caughtUpDistanceMax
}

/** Whether a majority of the voters was heard within the last election timeout. */
export function hasActiveQuorum(state: ReplicaState): boolean {
  const { progress } = leadershipOf(state)
  let active = 0
  for (const id of state.membership.voters) {
    const follower = progress.get(id)
    if (id === state.id || (follower !== undefined && isActive(state, follower))) active += 1
  }
  return active >= majorityOf(state.membership.voters.length)
}

/** Sends what became due since the last time: a round of reads, appends, news of commits. */
export function flush(state: ReplicaState): void {
  const leadership = leadershipOf(state)
  leadership.isFlushDue = false
  const { reads } = leadership
  if (reads.hasWaiting && leadership.hasCommittedInTerm) {
    reads.startRound(state.log.commitIndex)
    broadcastHeartbeat(state)
    confirmReads(state)
  }
  for (const follower of leadership.progress.values()) sendDue(state, follower)
}

export function broadcastHeartbeat(state: ReplicaState): void {
  const { progress, reads } = leadershipOf(state)
  for (const follower of progress.values()) sendHeartbeat(state, follower, reads.openRound)
}

function sendHeartbeat(state: ReplicaState, follower: Progress, readRound: number): void {
  const { id, term, log } = state
  const commit = Math.min(follower.match, log.commitIndex)
  follower.sentCommit = Math.max(follower.sentCommit, commit)
  state.outbox.send({ type: 'heartbeat', from: id, to: follower.id, term, commit, readRound })
}

function sendDue(state: ReplicaState, follower: Progress): void {
  const { log } = state
  if (follower.state === 'probe') {
    if (!follower.isProbeSent) sendAppend(state, follower, true)
    return
  }
  let hasSent = false
  while (follower.next <= log.lastIndex && !follower.isWindowFull) {
    sendAppend(state, follower, true)
    hasSent = true
  }
  if (!hasSent && follower.isResendDue) sendAppend(state, follower, false)
  follower.isResendDue = false
  const commit = Math.min(follower.match, log.commitIndex)
  if (commit > follower.sentCommit) sendHeartbeat(state, follower, 0)
}

function sendAppend(state: ReplicaState, follower: Progress, withEntries: boolean): void {
  const { log, term, id } = state
  const previousIndex = follower.next - 1
  const previousTerm = log.term(previousIndex)
  invariant(
    previousTerm !== undefined,
    () => `${follower.id} is said to be at ${previousIndex}, beyond the log`,
  )
  const isThereMore = withEntries && follower.next <= log.lastIndex
  const entries = isThereMore
    ? log.entries(follower.next, log.lastIndex, state.options.appendBytesMax)
    : noEntries
  const commit = log.commitIndex
  state.outbox.send({
    type: 'append',
    from: id,
    to: follower.id,
    term,
    previousIndex,
    previousTerm,
    entries,
    commit,
  })
  const lastIndex = previousIndex + entries.length
  let bytes = 0
  for (const entry of entries) bytes += entryBytes(entry)
  if (follower.state === 'replicate')
    follower.sentCommit = Math.max(follower.sentCommit, Math.min(commit, lastIndex))
  follower.sent({ lastIndex, bytes })
}

/** An answer of the leader's own term to an append. */
export function handleAppendResponse(state: ReplicaState, message: AppendResponse): void {
  const leadership = leadershipOf(state)
  const { log } = state
  const follower = leadership.progress.get(message.from)
  if (follower === undefined) return
  follower.heardAt = leadership.ticks
  leadership.isFlushDue = true
  if (!message.accepted) {
    const { index, hintIndex, hintTerm } = message
    follower.refused(index, hintTerm > 0 ? log.lastAgreement(hintIndex, hintTerm) : hintIndex)
    return
  }
  invariant(
    message.index <= log.lastIndex,
    () =>
      `${message.from} acknowledged ${message.index} in term ${state.term}, but the leader's log ends at ${log.lastIndex}`,
  )
  follower.accepted(message.index)
  maybeCommit(state)
  handOver(state)
}

/** An answer of the leader's own term to a heartbeat. */
export function handleHeartbeatResponse(state: ReplicaState, message: HeartbeatResponse): void {
  const leadership = leadershipOf(state)
  const follower = leadership.progress.get(message.from)
  if (follower === undefined) return
  follower.heardAt = leadership.ticks
  follower.isProbeSent = false
  const isBehind = follower.match < state.log.lastIndex
  if (isBehind && !follower.hasMoved) follower.isResendDue = true
  if (isBehind || follower.state === 'probe') leadership.isFlushDue = true
  if (message.readRound <= follower.readRound) return
  follower.readRound = message.readRound
  confirmReads(state)
}

function confirmReads(state: ReplicaState): void {
  const { progress, reads } = leadershipOf(state)
  if (reads.openRound === 0) return
  const rounds = state.membership.voters.map(id =>
    id === state.id ? reads.round : (progress.get(id)?.readRound ?? 0),
  )
  for (const { context, index } of reads.confirm(reachedByMajority(rounds)))
    state.reads.push({ context, index })
}

/** Commits what a majority of the voters holds durably, if the rules allow. The leader counts its own disk too (R1). */
export function maybeCommit(state: ReplicaState): void {
  const { log, membership } = state
  const leadership = leadershipOf(state)
  const matches = membership.voters.map(id =>
    id === state.id ? log.durableIndex : (leadership.progress.get(id)?.match ?? 0),
  )
  const index = reachedByMajority(matches)
  if (index <= log.commitIndex || !state.rules.mayCommitByCounting(index, leadership)) return
  log.commitTo(index)
  membership.forgetBelow(index)
  leadership.isFlushDue = true
  if (!leadership.hasCommittedInTerm && index >= leadership.firstOwnIndex) {
    leadership.hasCommittedInTerm = true
    state.reason = `committed entry ${index} of its own term`
  }
  if (membership.index <= index && !membership.isVoter(state.id)) retire(state)
}

/** The configuration without this leader is committed: tell it, name a successor, and step down (rule R8). */
function retire(state: ReplicaState): void {
  const { progress } = leadershipOf(state)
  for (const follower of progress.values()) sendDue(state, follower)
  const successor = [...progress.values()].find(
    follower =>
      follower.match === state.log.lastIndex &&
      isActive(state, follower) &&
      state.membership.isVoter(follower.id),
  )
  if (successor !== undefined) sendTimeoutNow(state, successor.id)
  becomeFollower(state, { term: state.term, leader: null, reason: 'no longer a voter' })
}

/** Tells the wanted successor to start its election, once it holds everything. */
export function handOver(state: ReplicaState): void {
  const transfer = state.leadership?.transfer ?? null
  if (transfer === null) return
  const follower = state.leadership?.progress.get(transfer.to)
  if (follower?.match === state.log.lastIndex) sendTimeoutNow(state, transfer.to)
}

function sendTimeoutNow(state: ReplicaState, to: ReplicaId): void {
  state.outbox.send({ type: 'timeout-now', from: state.id, to, term: state.term })
}
