// What a replica answers that does not lead, or leads no more. All of it is worth another try, with the same command id.
import { GlynError } from '../core/errors.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { ProposeResult, RaftStatus } from '../raft/raft.ts'

/** `details` name the leader, as far as this replica knows: routers follow. */
export function notLeader(partition: number, status: RaftStatus | undefined): GlynError {
  const known = status?.role === 'leader' ? null : (status?.leader ?? null)
  const leader = known === null ? null : peerIdOf(known)
  const who = leader === null ? 'and knows of no leader' : `the leader is ${leader}`
  return new GlynError('NOT_LEADER', `this node does not lead partition ${partition}, ${who}`, {
    details: { partition, leader, term: status?.term ?? 0 },
  })
}

/** The command may be in the log or not: the log knows, and a retry by its id finds out. */
export const unknownOutcome = (partition: number): GlynError =>
  new GlynError(
    'OUTCOME_UNKNOWN',
    `leadership of partition ${partition} was lost before the commit was known`,
  )

export function refusal(
  partition: number,
  reason: Extract<ProposeResult, { type: 'refused' }>['reason'],
): GlynError {
  switch (reason) {
    case 'not-leader':
    case 'transferring':
      return new GlynError('NOT_LEADER', `partition ${partition}: leadership is changing hands`, {
        details: { partition, leader: null, term: 0 },
      })
    case 'overloaded':
      return new GlynError('OVERLOADED', `partition ${partition}: too many bytes wait for their commit`)
  }
}
