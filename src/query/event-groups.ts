// The events of a batch as a handler gets them: neighbours of one aggregate together.
import type { AggregateKey } from '../core/command.ts'
import type { EventEnvelope } from '../core/event.ts'
import type { Position } from '../core/position.ts'

export interface EventGroup {
  readonly aggregate: AggregateKey
  readonly events: readonly EventEnvelope[]
  /** An entry never reaches beyond its group: all its events are of one aggregate. */
  readonly lastIndex: number
}

/** The order of the partition is kept. */
export function groupByAggregate(events: readonly EventEnvelope[]): readonly EventGroup[] {
  const groups: EventGroup[] = []
  let last: { aggregate: AggregateKey; events: EventEnvelope[]; lastIndex: number } | undefined
  for (const event of events) {
    const { aggregate, position } = event
    if (last !== undefined && last.aggregate.id === aggregate.id && last.aggregate.type === aggregate.type) {
      last.events.push(event)
      last.lastIndex = position.index
    } else {
      last = { aggregate, events: [event], lastIndex: position.index }
      groups.push(last)
    }
  }
  return groups
}

/** The group, a group per entry. */
export const entriesOf = ({ aggregate, events }: EventGroup): readonly EventGroup[] =>
  [...Map.groupBy(events, event => event.position.index)].map(([lastIndex, own]) => ({
    aggregate,
    events: own,
    lastIndex,
  }))

/** Of a group that is one entry. */
export const placeOf = ({ events, lastIndex }: EventGroup): Position => ({
  partition: events[0]?.position.partition ?? 0,
  index: lastIndex,
})
