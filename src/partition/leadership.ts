// What a node keeps of one partition while it leads it: commands and reads under way, and the aggregates they are about.
import type { GlynError } from '../core/errors.ts'
import type { Outcome } from '../core/outcome.ts'
import type { CommandRecord } from '../core/record.ts'
import type { AggregateActor } from './aggregate-actor.ts'

export interface PendingCommand {
  readonly actor: AggregateActor
  readonly record: CommandRecord
  readonly stateAfter: unknown
  /** Ids of those that the data of its events are encrypted with in the log; none without a subject. */
  readonly keys: readonly (string | undefined)[]
  /** Of its entry. */
  readonly bytes: number
  readonly promise: Promise<Outcome>
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: GlynError) => void
}

export interface PendingRead {
  readonly resolve: (index: number) => void
  readonly reject: (error: GlynError) => void
}

/** What this node keeps of one partition while it leads it. */
export interface Leadership {
  readonly partition: number
  readonly term: number
  /** Serves once this index is committed and durable here: the state is complete then. Undefined: not known yet. */
  serveFrom: number | undefined
  /** Committed and durable here. */
  commitIndex: number
  /** By index of the proposed entry. */
  readonly pending: Map<number, PendingCommand>
  /** By aggregate and command id: the same id asked again while the first is under way waits for the first. */
  readonly underWay: Map<string, PendingCommand>
  /** Those with commands that wait. */
  readonly actors: Map<string, AggregateActor>
  /** Long histories on their way into memory. */
  readonly loading: Map<string, Promise<AggregateActor>>
  readonly reads: Map<number, PendingRead>
  /** Confirmed reads that wait for their index. */
  readonly readsWaiting: {
    readonly index: number
    readonly resolve: () => void
    readonly reject: (error: GlynError) => void
  }[]
  /** Joined by every read of this turn: one round of heartbeats confirms them all. */
  readBarrier: Promise<number> | undefined
}

export const createLeadership = (
  init: Pick<Leadership, 'partition' | 'term' | 'serveFrom' | 'commitIndex'>,
): Leadership => ({
  ...init,
  pending: new Map(),
  underWay: new Map(),
  actors: new Map(),
  loading: new Map(),
  reads: new Map(),
  readsWaiting: [],
  readBarrier: undefined,
})
