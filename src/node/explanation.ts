// What `explain` tells of one aggregate: where it lives, why there, what happened to it, and what waits for it.
import type { AggregateKey } from '../core/command.ts'
import type { QuarantinedAggregate } from '../partition/quarantine.ts'
import type { Role } from '../raft/raft.ts'

export interface Explanation {
  readonly aggregate: AggregateKey
  readonly partition: number
  /** Of how many. */
  readonly partitions: number
  readonly leader: { readonly peerId: string; readonly name: string; readonly isPreferred: boolean } | null
  readonly term: number
  /** As the leader has it; without one, the highest that any replica knows. */
  readonly commitIndex: number
  readonly lastIndex: number
  readonly replicas: readonly ReplicaExplanation[]
  /** Every node that may hold replicas, in the order in which this partition prefers them. */
  readonly ranking: readonly {
    readonly rank: number
    readonly peerId: string
    readonly name: string
    readonly isChosen: boolean
  }[]
  /** Why the replicas and the leader are where they are, a sentence each. */
  readonly why: readonly string[]
  /** Newest first, over all replicas that answered. */
  readonly changes: readonly LeadershipChange[]
  readonly pending: {
    readonly commands: number
    readonly oldest: readonly {
      readonly aggregate: AggregateKey
      readonly commandId: string
      readonly index: number
    }[]
    readonly reads: number
  }
  /** Every query on every node that answered. */
  readonly queries: readonly {
    readonly peerId: string
    readonly node: string
    readonly name: string
    readonly state: string
    /** Index that it has seen, in this partition. */
    readonly position: number
    readonly behind: number
  }[]
  /** Why it takes no commands, as its leader found out, or another node; null when it was not met, or is fine. */
  readonly quarantined: QuarantinedAggregate | null
  /** What is not as it should be with this partition, with what to do about it. */
  readonly problems: readonly string[]
}

export interface ReplicaExplanation {
  readonly peerId: string
  readonly name: string
  /** `joining`: wanted, and not a member of the partition yet. */
  readonly seat: 'voter' | 'learner' | 'joining'
  readonly isLeader: boolean
  /** False: it is on its way out. */
  readonly isWanted: boolean
  readonly isReachable: boolean
  /** ISO 8601; null when it is reachable. */
  readonly unreachableSince: string | null
  /** What it is known to hold durably, as the leader knows; without a leader, as it says itself. Null: nobody knows. */
  readonly matchIndex: number | null
  /** Entries between it and the end of the leader's log. */
  readonly behind: number | null
  /** The leader heard it within the last election timeout. */
  readonly isActive: boolean
}

export interface LeadershipChange {
  /** ISO 8601, by the clock of that node. */
  readonly time: string
  readonly peerId: string
  readonly name: string
  readonly type: 'elected' | 'stepped-down' | 'stood'
  readonly role: Role
  readonly term: number
  readonly reason: string
}
