// What one log entry of kind `command` remembers: the events of one command, with everything readers need.
import type { AggregateKey } from './command.ts'

/** One event inside a record. `data` is JSON text, exactly as it is hashed, stored and sent. */
export interface RecordedEvent {
  readonly type: string
  readonly version: number
  readonly data: string
}

/** The content of one entry: one command's outcome. Invariant: `events` is never empty. */
export interface CommandRecord {
  readonly aggregate: AggregateKey
  readonly commandId: string
  /** The sequence of `events[0]`; the others follow without gaps. */
  readonly firstSequence: number
  /** Milliseconds since 1970 UTC, from the clock of the leader that decided. */
  readonly timeMs: number
  /** A flat JSON object of strings as text; `{}` when there is none. */
  readonly metadata: string
  readonly events: readonly RecordedEvent[]
}

/** One row of history: one event with its place. The shape that stores hand to readers. */
export interface StoredEvent {
  readonly partition: number
  readonly index: number
  /** Place within the entry, from 0. */
  readonly offset: number
  readonly aggregateType: string
  readonly aggregateId: string
  readonly sequence: number
  readonly type: string
  readonly version: number
  /** JSON text. */
  readonly data: string
  /** JSON text of a flat object of strings. */
  readonly metadata: string
  readonly commandId: string
  readonly timeMs: number
  /** Of an event that was opened: the id of the key that `data` are encrypted with where they rest. */
  readonly key?: string
}

/** The rows of a record that was committed at (partition, index). */
export function toStoredEvents(
  record: CommandRecord,
  position: { readonly partition: number; readonly index: number },
): StoredEvent[] {
  return record.events.map((event, offset) => ({
    partition: position.partition,
    index: position.index,
    offset,
    aggregateType: record.aggregate.type,
    aggregateId: record.aggregate.id,
    sequence: record.firstSequence + offset,
    type: event.type,
    version: event.version,
    data: event.data,
    metadata: record.metadata,
    commandId: record.commandId,
    timeMs: record.timeMs,
  }))
}
