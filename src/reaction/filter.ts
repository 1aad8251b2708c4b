// Which events a handler or a process wants.
import { GlynError } from '../core/errors.ts'
import type { EventFilter } from '../core/event-filter.ts'

export type { EventFilter } from '../core/event-filter.ts'

export function passes(
  filter: EventFilter | undefined,
  event: { readonly aggregateType: string; readonly type: string },
): boolean {
  if (filter === undefined) return true
  const { aggregateTypes, eventTypes } = filter
  if (aggregateTypes !== undefined && !aggregateTypes.includes(event.aggregateType)) return false
  return eventTypes === undefined || eventTypes.includes(event.type)
}

/** Names the field in what it throws. */
export function checkFilter(kind: 'handler' | 'process', filter: unknown): void {
  if (filter === undefined) return
  const complain = (field: string, found: unknown, allowed: string): never => {
    throw invalidField(kind, field, found, allowed)
  }
  if (typeof filter !== 'object' || filter === null)
    complain('filter', filter, '{ aggregateTypes?, eventTypes? }')
  for (const [field, names] of Object.entries(filter as object)) {
    if (field !== 'aggregateTypes' && field !== 'eventTypes')
      complain(`filter.${field}`, names, 'aggregateTypes, eventTypes')
    if (names !== undefined && !(Array.isArray(names) && names.every(name => typeof name === 'string')))
      complain(`filter.${field}`, names, 'a list of names')
  }
}

/** What may name a handler or a process: it is part of command ids and of what is stored. */
const namePattern = /^[a-z0-9][a-z0-9_-]{0,63}$/

export function checkReactionName(kind: 'handler' | 'process', name: unknown): asserts name is string {
  if (typeof name === 'string' && namePattern.test(name)) return
  const allowed = 'lower-case letters, digits, - and _, starting with a letter or digit, at most 64'
  throw invalidField(kind, 'name', name, allowed)
}

export function checkStartFrom(kind: 'handler' | 'process', startFrom: unknown): void {
  if (startFrom === undefined || startFrom === 'now' || startFrom === 'beginning') return
  throw invalidField(kind, 'startFrom', startFrom, 'now, beginning')
}

export function invalidField(kind: string, field: string, found: unknown, allowed: string): GlynError {
  const shown =
    found === undefined
      ? 'missing'
      : typeof found === 'function'
        ? 'a function'
        : (JSON.stringify(found) ?? String(found))
  return new GlynError('INVALID_ARGUMENT', `${kind}: ${field} is ${shown}; allowed: ${allowed}`)
}
