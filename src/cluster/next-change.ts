// The next single step that brings the members of a group closer to what is wanted. Pure; asked again after each step,
// so that an interrupted move resumes where it stopped.
import type { Placement } from '../core/placement.ts'
import type { ReplicaId } from '../core/replica-id.ts'
import { majorityOf } from '../raft/quorum.ts'
import type { ConfigurationChange, RaftStatus } from '../raft/raft.ts'

export type NextChange =
  | { readonly type: 'change'; readonly change: ConfigurationChange }
  /** Leadership goes to a better place first. */
  | { readonly type: 'transfer'; readonly to: ReplicaId }
  /** A learner has to catch up before it can go on. */
  | { readonly type: 'wait' }
  | { readonly type: 'done' }

/** `status` is that of the leader. `isReachable` tells whether a replica's node is connected. */
export function nextChange(
  status: RaftStatus,
  wanted: Placement,
  isReachable: (id: ReplicaId) => boolean,
): NextChange {
  const { voters, learners } = status.configuration
  const members = [...voters, ...learners]
  const isWanted = (id: ReplicaId): boolean => wanted.voters.includes(id) || wanted.learners.includes(id)

  const missing = [...wanted.voters, ...wanted.learners].find(id => !members.includes(id) && isReachable(id))
  if (missing !== undefined) return { type: 'change', change: { type: 'add-learner', id: missing } }

  const toPromote = wanted.voters.filter(id => learners.includes(id))
  const ready = toPromote.find(id =>
    status.progress.some(follower => follower.id === id && follower.caughtUp && follower.active),
  )
  if (ready !== undefined) return { type: 'change', change: { type: 'promote', id: ready } }

  const hasAllVoters = wanted.voters.every(id => voters.includes(id))
  if (hasAllVoters) {
    const surplus = voters.filter(id => !wanted.voters.includes(id) && id !== status.id)
    if (surplus.length > 0) {
      const id = dispensable(voters, surplus, isReachable)
      if (id === undefined) return { type: 'wait' }
      return { type: 'change', change: { type: isWanted(id) ? 'demote' : 'remove', id } }
    }
    if (!wanted.voters.includes(status.id) && voters.includes(status.id)) {
      const heir = wanted.voters.find(id => isTransferable(status, id, isReachable))
      return heir === undefined ? { type: 'wait' } : { type: 'transfer', to: heir }
    }
    const stray = learners.find(id => !isWanted(id))
    if (stray !== undefined) return { type: 'change', change: { type: 'remove', id: stray } }
    const preferred = wanted.voters[0]
    if (
      preferred !== undefined &&
      preferred !== status.id &&
      isTransferable(status, preferred, isReachable)
    ) {
      return { type: 'transfer', to: preferred }
    }
    return { type: 'done' }
  }
  return { type: 'wait' }
}

/**
 * Who may go first: one that cannot be reached, and always so that a majority of those who stay can be. A configuration
 * counts from when it is appended: without them it could not be committed any more, and no other one after it.
 */
function dispensable(
  voters: readonly ReplicaId[],
  surplus: readonly ReplicaId[],
  isReachable: (id: ReplicaId) => boolean,
): ReplicaId | undefined {
  const unreachableFirst = [...surplus].sort((a, b) => Number(isReachable(a)) - Number(isReachable(b)))
  return unreachableFirst.find(id => {
    const rest = voters.filter(other => other !== id)
    return rest.filter(isReachable).length >= majorityOf(rest.length)
  })
}

const isTransferable = (
  status: RaftStatus,
  id: ReplicaId,
  isReachable: (id: ReplicaId) => boolean,
): boolean =>
  isReachable(id) &&
  status.progress.some(
    follower => follower.id === id && follower.voter && follower.active && follower.caughtUp,
  )
