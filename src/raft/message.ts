// What replicas of one partition say to each other. The driver adds the partition and the cluster id.
import type { ReplicaId } from '../core/replica-id.ts'
import type { Entry } from './entry.ts'

interface Addressed {
  readonly from: ReplicaId
  readonly to: ReplicaId
  readonly term: number
}

export interface PreVote extends Addressed {
  readonly type: 'pre-vote'
  readonly lastIndex: number
  readonly lastTerm: number
}

export interface PreVoteResponse extends Addressed {
  readonly type: 'pre-vote-response'
  readonly granted: boolean
}

export interface Vote extends Addressed {
  readonly type: 'vote'
  readonly lastIndex: number
  readonly lastTerm: number
  /** The leader asked for this election (transfer): stickiness does not apply. */
  readonly transfer: boolean
}

export interface VoteResponse extends Addressed {
  readonly type: 'vote-response'
  readonly granted: boolean
}

export interface Append extends Addressed {
  readonly type: 'append'
  readonly previousIndex: number
  readonly previousTerm: number
  readonly entries: readonly Entry[]
  readonly commit: number
}

export interface AppendResponse extends Addressed {
  readonly type: 'append-response'
  readonly accepted: boolean
  /** Accepted: the last index that is durable and matches. Refused: the `previousIndex` that did not match. */
  readonly index: number
  /** Refused: where the logs may agree, so that the leader skips a whole term at a time. */
  readonly hintIndex: number
  readonly hintTerm: number
}

export interface Heartbeat extends Addressed {
  readonly type: 'heartbeat'
  /** Never above what the receiver is known to match. */
  readonly commit: number
  /** The round of reads that an answer confirms; 0 for none. */
  readonly readRound: number
}

export interface HeartbeatResponse extends Addressed {
  readonly type: 'heartbeat-response'
  readonly readRound: number
}

/** The leader asks the receiver to start an election at once. */
export interface TimeoutNow extends Addressed {
  readonly type: 'timeout-now'
}

export type RaftMessage =
  | PreVote
  | PreVoteResponse
  | Vote
  | VoteResponse
  | Append
  | AppendResponse
  | Heartbeat
  | HeartbeatResponse
  | TimeoutNow
