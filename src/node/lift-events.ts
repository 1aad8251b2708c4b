// Queries, handlers and processes see events in the version of now, as `apply` does: lifted by the chains of the aggregates
// that are loaded here, when they are read. What is stored never changes, and whoever reads the history sees that.
import type { Log } from '../core/log.ts'
import type { StoredEvent } from '../core/record.ts'
import { currentVersion, liftEvent, messageOf, misfitOf } from '../core/upcast.ts'
import type { AggregateBinding } from '../partition/aggregate-host.ts'

export interface EventLifter {
  /** False: there is no chain, and every event is already as it should be seen. */
  readonly isNeeded: boolean
  /** The same rows where nothing is to be lifted. Never throws. */
  lift(rows: readonly StoredEvent[]): readonly StoredEvent[]
}

/** Kinds that a warning was written for; a chain that fails would write one for every event. */
const toldMax = 1000

/**
 * What cannot be lifted (its upcast throws, or it is newer than the file) comes as it is stored, and its version says so: an
 * event that is passed over would be missed for ever, and one that holds everything up would stop queries that do not mind.
 */
export function createEventLifter(init: {
  readonly aggregates: ReadonlyMap<string, AggregateBinding>
  readonly log: Log
}): EventLifter {
  const { aggregates, log } = init
  const isNeeded = [...aggregates.values()].some(
    ({ definition }) => Object.keys((definition.upcast ?? {}) as object).length > 0,
  )
  const told = new Set<string>()

  function liftRow(row: StoredEvent): StoredEvent {
    const definition = aggregates.get(row.aggregateType)?.definition
    if (definition === undefined || row.version >= currentVersion(definition, row.type)) return row
    if (misfitOf(definition, row) !== null) return row
    try {
      const { type, version } = row
      const lifted = liftEvent(definition, { type, version, data: JSON.parse(row.data) as unknown })
      const data = JSON.stringify(lifted.data ?? null)
      return { ...row, version: lifted.version, data }
    } catch (error) {
      const kind = `${row.aggregateType}/${row.type} v${row.version}`
      if (!told.has(kind) && told.size < toldMax) {
        told.add(kind)
        const place = { aggregate: `${row.aggregateType}/${row.aggregateId}`, sequence: row.sequence }
        log.warn(
          { ...place, error: messageOf(error) },
          `history: ${kind} cannot be lifted; queries and reactions see it as it is stored`,
        )
      }
      return row
    }
  }

  return { isNeeded, lift: rows => (isNeeded ? rows.map(liftRow) : rows) }
}
