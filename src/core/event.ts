// What happened, as a domain writes it and as readers see it.
import type { AggregateKey, Metadata } from './command.ts'
import type { Position } from './position.ts'

/** An event as a domain writes it. `version` is the version of its schema, the newest of its chain when left out. */
export interface DomainEvent<Type extends string = string, Data = unknown> {
  readonly type: Type
  readonly data: Data
  readonly version?: number
}

/** A committed event as every reader sees it, in the library, the CLI and the HTTP API. */
export interface EventEnvelope<Event extends DomainEvent = DomainEvent> {
  /** `<aggregate type>/<aggregate id>/<sequence>`: unique within a scope, and the same in every store. */
  readonly id: string
  readonly aggregate: AggregateKey
  /** Place within the aggregate: 1, 2, 3 … without gaps. */
  readonly sequence: number
  readonly position: Position
  readonly type: Event['type']
  readonly version: number
  readonly data: Event['data']
  readonly metadata: Metadata
  readonly commandId: string
  /** When the leader decided, ISO 8601 in UTC. Data, never an order: positions and sequences order. */
  readonly time: string
  /** Id of the key that the data rest encrypted with; left out where they rest as they are. */
  readonly key?: string
}

/** The same, one for each type of event: `switch (event.type)` tells what `event.data` is. */
export type EnvelopeOf<Event extends DomainEvent> = Event extends DomainEvent ? EventEnvelope<Event> : never
