// Which events a reader wants.
import { GlynError } from './errors.ts'
import type { EventEnvelope } from './event.ts'

/** Names that are left out let all pass. */
export interface EventFilter {
  readonly aggregateTypes?: readonly string[]
  readonly eventTypes?: readonly string[]
}

export function passesFilter({ aggregateTypes, eventTypes }: EventFilter, event: EventEnvelope): boolean {
  if (aggregateTypes !== undefined && !aggregateTypes.includes(event.aggregate.type)) return false
  return eventTypes === undefined || eventTypes.includes(event.type)
}

/** Throws INVALID_ARGUMENT that names the field. */
export function checkEventFilter(filter: EventFilter): void {
  for (const [field, names] of Object.entries(filter) as [string, unknown][]) {
    const isKnown = field === 'aggregateTypes' || field === 'eventTypes'
    if (isKnown && names === undefined) continue
    if (isKnown && Array.isArray(names) && names.length > 0 && names.every(name => typeof name === 'string'))
      continue
    throw new GlynError(
      'INVALID_ARGUMENT',
      `filter.${field} is ${(JSON.stringify(names) ?? String(names)).slice(0, 80)}; allowed: aggregateTypes, eventTypes, each a list of one name at least`,
    )
  }
}
