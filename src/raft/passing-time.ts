// What time does: elections, heartbeats, the check for a majority, and what to think after the clock stood still.
import { mayStand, stand } from './election.ts'
import type { Raft } from './raft.ts'
import { becomeFollower, type Leadership, type ReplicaState, resetElectionTimer } from './replica-state.ts'
import { broadcastHeartbeat, hasActiveQuorum } from './replication.ts'

export function tick(state: ReplicaState): void {
  if (state.leadership !== null) {
    tickLeader(state, state.leadership)
    return
  }
  state.ticksElapsed += 1
  if (state.leader === null && state.membership.isSoleVoter(state.id)) {
    stand(state, 'the only voter')
  } else if (state.ticksElapsed >= state.electionTimeout) {
    if (mayStand(state)) stand(state, 'election timeout')
    else if (state.leader !== null) {
      becomeFollower(state, { term: state.term, leader: null, reason: `${state.leader} is not heard` })
    }
  }
}

function tickLeader(state: ReplicaState, leadership: Leadership): void {
  const { electionTicks, heartbeatTicks } = state.options
  leadership.ticks += 1
  leadership.ticksSinceHeartbeat += 1
  state.ticksElapsed += 1
  const { transfer } = leadership
  if (transfer !== null && leadership.ticks - transfer.startedAt >= electionTicks) leadership.transfer = null
  if (state.ticksElapsed >= electionTicks) {
    state.ticksElapsed = 0
    if (!hasActiveQuorum(state)) {
      becomeFollower(state, { term: state.term, leader: null, reason: 'lost its majority' })
      return
    }
  }
  if (leadership.ticksSinceHeartbeat < heartbeatTicks) return
  leadership.ticksSinceHeartbeat = 0
  broadcastHeartbeat(state)
  for (const follower of leadership.progress.values()) follower.hasMoved = false
}

/** See {@link Raft.stalled} (rule R14). */
export function stalled(state: ReplicaState): void {
  resetElectionTimer(state)
  const { leadership } = state
  if (leadership === null) return
  for (const follower of leadership.progress.values()) follower.heardAt = Number.NEGATIVE_INFINITY
  leadership.transfer = null
  leadership.reads.restart()
  leadership.ticksSinceHeartbeat = 0
  // Reads that wait bring a round of heartbeats of their own.
  if (!leadership.reads.hasWaiting || !leadership.hasCommittedInTerm) broadcastHeartbeat(state)
  leadership.isFlushDue = true
}
