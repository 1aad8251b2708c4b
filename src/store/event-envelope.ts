// From a row of history to what readers see.
import type { Metadata } from '../core/command.ts'
import type { EventEnvelope } from '../core/event.ts'
import type { StoredEvent } from '../core/record.ts'

/** The public form of a stored row. Parses the JSON texts; they were written by this program. */
export function toEventEnvelope(row: StoredEvent): EventEnvelope {
  const envelope = {
    id: `${row.aggregateType}/${row.aggregateId}/${row.sequence}`,
    aggregate: { type: row.aggregateType, id: row.aggregateId },
    sequence: row.sequence,
    position: { partition: row.partition, index: row.index },
    type: row.type,
    version: row.version,
    data: JSON.parse(row.data) as unknown,
    metadata: row.metadata === '{}' ? {} : (JSON.parse(row.metadata) as Metadata),
    commandId: row.commandId,
    time: toIsoTime(row.timeMs),
  }
  return row.key === undefined ? envelope : { ...envelope, key: row.key }
}

let knownSecond = Number.NaN
let knownText = ''

/** Neighbours in a log are of the same second, as a rule: its text, `2026-11-25T22:43:42.`, is kept. */
function toIsoTime(timeMs: number): string {
  const second = Math.floor(timeMs / 1000)
  if (second !== knownSecond) {
    knownText = new Date(second * 1000).toISOString().slice(0, -4)
    knownSecond = second
  }
  return `${knownText}${String(timeMs - second * 1000).padStart(3, '0')}Z`
}
