// The JSON form of given events on their way in: a line of POST /v1/append.
import { GlynError } from '../core/errors.ts'
import type { RecordedEvent } from '../core/record.ts'
import { checkAppend } from '../node/check-append.ts'
import type { GivenAppend } from '../node/node-api.ts'
import { checkMetadata, timeoutMsMax } from './command-request.ts'

export interface AppendRequest {
  readonly append: GivenAppend
  readonly timeoutMs?: number
}

const fields = [
  'key',
  'type',
  'id',
  'expectedSequence',
  'commandId',
  'time',
  'metadata',
  'events',
  'timeoutMs',
]
const eventFields = ['type', 'version', 'data', 'dataText']

/** Throws INVALID_ARGUMENT or MESSAGE_TOO_LARGE that begins with `where` and names the field, its value and what is allowed. */
export function parseAppendRequest(value: unknown, where: string): AppendRequest {
  const { type, id, expectedSequence, commandId, time, metadata, events, timeoutMs } = checkObject(
    value,
    where,
    fields,
  )
  if (
    timeoutMs !== undefined &&
    !(typeof timeoutMs === 'number' && timeoutMs >= 1 && timeoutMs <= timeoutMsMax)
  )
    complain(where, 'timeoutMs', timeoutMs, `a number of milliseconds from 1 to ${timeoutMsMax}`)
  const timeMs = typeof time === 'string' ? Date.parse(time) : Number.NaN
  if (Number.isNaN(timeMs)) complain(where, 'time', time, 'a moment as 2026-11-26T04:00:00.000Z')
  if (!Array.isArray(events)) complain(where, 'events', events, 'a list of events')
  const given = {
    aggregate: { type, id },
    expectedSequence,
    commandId,
    timeMs,
    metadata: metadata === undefined ? '{}' : JSON.stringify(checkMetadata(metadata, where)),
    events: (events as readonly unknown[]).map((event, place) =>
      parseEvent(event, `${where}: event ${place + 1}`),
    ),
  }
  const append = checkAppend(given as GivenAppend, where)
  return timeoutMs === undefined ? { append } : { append, timeoutMs: timeoutMs as number }
}

/** `dataText` is JSON as text, for data that another parser would change: numbers beyond 2^53, say. */
function parseEvent(value: unknown, where: string): RecordedEvent {
  const event = checkObject(value, where, eventFields)
  const { type, version = 1, dataText } = event
  if (dataText !== undefined && 'data' in event)
    complain(where, 'data', event['data'], 'data or dataText, not both')
  const data = dataText ?? JSON.stringify(event['data'] ?? {})
  return { type, version, data } as RecordedEvent
}

function checkObject(value: unknown, where: string, allowed: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return complain(where, 'the value', value, `an object with ${allowed.join(', ')}`)
  const stranger = Object.keys(value).find(field => !allowed.includes(field))
  if (stranger === undefined) return value as Record<string, unknown>
  throw new GlynError(
    'INVALID_ARGUMENT',
    `${where}: ${JSON.stringify(stranger)} is no field here; allowed: ${allowed.join(', ')}`,
    { details: { found: stranger, allowed } },
  )
}

function complain(where: string, field: string, found: unknown, allowed: string): never {
  const shown = (JSON.stringify(found) ?? String(found)).slice(0, 120)
  throw new GlynError('INVALID_ARGUMENT', `${where}: ${field} is ${shown}; allowed: ${allowed}`)
}
