// How a command ended: a value, whether the domain said yes or no.
import type { AggregateKey } from './command.ts'
import type { DomainEvent, EnvelopeOf } from './event.ts'
import type { Position } from './position.ts'

/** The events are durable. */
export interface Accepted<Event extends DomainEvent = DomainEvent> {
  readonly type: 'accepted'
  readonly commandId: string
  readonly aggregate: AggregateKey
  /** Empty for a command that had nothing to say. */
  readonly events: readonly EnvelopeOf<Event>[]
  /** The sequence of the aggregate after this command. */
  readonly sequence: number
  /** Where the events rest. For a command without events: how far the aggregate's partition was. */
  readonly position: Position
  /** Waited for with `--after`: read-your-writes on any node. */
  readonly token: string
  /** Replicas known to hold the events on their fsynced disks when the answer was given. */
  readonly replicas: number
  /** True when this id had been decided before: these are the first outcome's events. */
  readonly replayed: boolean
}

/** The domain said no. Nothing was stored. */
export interface Rejected<Code extends string = string> {
  readonly type: 'rejected'
  readonly commandId: string
  readonly code: Code
  readonly message: string
  readonly details?: unknown
}

/** How a command ended. */
export type Outcome<Event extends DomainEvent = DomainEvent, Code extends string = string> =
  | Accepted<Event>
  | Rejected<Code>
