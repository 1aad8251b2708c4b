// Checks events that come from outside: what is stored once is read for ever.
import { GlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { checkAggregateKey, checkName } from '../core/names.ts'
import type { RecordedEvent } from '../core/record.ts'
import { parseSealed, sealedField } from '../core/sealed-data.ts'
import { isSystemType, systemPrefix } from '../core/system-types.ts'
import { checkMetadata } from './check-arguments.ts'
import type { GivenAppend } from './node-api.ts'

/** The last moment that a Date can say. */
const timeMsMax = 8_640_000_000_000_000

/** Returns only what belongs to an append. Throws INVALID_ARGUMENT and MESSAGE_TOO_LARGE that begin with `where`. */
export function checkAppend(given: GivenAppend, where: string): GivenAppend {
  const { aggregate, expectedSequence, commandId, timeMs, metadata, events } = given
  prefixed(where, () => {
    checkAggregateKey(aggregate)
    checkName('command id', commandId)
  })
  if (isSystemType(aggregate.type))
    complain(where, 'aggregate type', aggregate.type, `one that does not begin with ${systemPrefix}`)
  if (!(Number.isSafeInteger(expectedSequence) && expectedSequence >= 0))
    complain(where, 'expectedSequence', expectedSequence, 'the sequence of the last event before these, or 0')
  if (!(Number.isSafeInteger(timeMs) && timeMs >= 0 && timeMs <= timeMsMax))
    complain(where, 'timeMs', timeMs, `whole milliseconds since 1970 UTC, at most ${timeMsMax}`)
  checkMetadataText(metadata, where)
  if (!Array.isArray(events) || events.length === 0) complain(where, 'events', events, 'at least one event')
  if (events.length > limits.eventsPerCommandMax)
    tooLarge(where, `${events.length} events`, `${limits.eventsPerCommandMax}`)
  return {
    aggregate: { type: aggregate.type, id: aggregate.id },
    expectedSequence,
    commandId,
    timeMs,
    metadata,
    events: events.map((event, place) => checkEvent(event, `${where}: event ${place + 1}`)),
  }
}

function checkEvent({ type, version, data }: RecordedEvent, where: string): RecordedEvent {
  // As `handle` may name one: stricter, and a history that exists could not be moved.
  if (!isEventType(type))
    complain(
      where,
      'event type',
      type,
      `a text of 1 to ${limits.nameBytesMax} bytes without U+0000 and half characters`,
    )
  if (!(Number.isSafeInteger(version) && version >= 1))
    complain(where, 'version', version, 'a whole number from 1')
  if (typeof data !== 'string' || !isJson(data)) complain(where, 'data', data, 'a text that is JSON')
  // Nobody here would have their key, and every reader of the partition would wait for it.
  if (parseSealed(data) !== undefined)
    complain(
      where,
      'data',
      JSON.parse(data),
      `data that are not encrypted: ${sealedField} is kept for glyn-node`,
    )
  const bytes = Buffer.byteLength(data)
  if (bytes > limits.dataBytesMax) tooLarge(where, `${bytes} bytes of data`, `${limits.dataBytesMax}`)
  return { type, version, data }
}

const isEventType = (type: unknown): boolean =>
  typeof type === 'string' &&
  type !== '' &&
  !type.includes('\u0000') &&
  type.isWellFormed() &&
  Buffer.byteLength(type) <= limits.nameBytesMax

function checkMetadataText(metadata: string, where: string): void {
  if (metadata === '{}') return
  if (typeof metadata !== 'string' || !isJson(metadata))
    complain(where, 'metadata', metadata, 'a flat object of texts as JSON text')
  prefixed(where, () => void checkMetadata(JSON.parse(metadata)))
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return text.isWellFormed()
  } catch {
    return false
  }
}

function prefixed(where: string, check: () => void): void {
  try {
    check()
  } catch (cause) {
    if (!(cause instanceof GlynError)) throw cause
    throw new GlynError(cause.code, `${where}: ${cause.message}`, { cause })
  }
}

function complain(where: string, field: string, found: unknown, allowed: string): never {
  const shown = (JSON.stringify(found) ?? String(found)).slice(0, 120)
  throw new GlynError('INVALID_ARGUMENT', `${where}: ${field} is ${shown}; allowed: ${allowed}`)
}

function tooLarge(where: string, found: string, allowed: string): never {
  throw new GlynError('MESSAGE_TOO_LARGE', `${where} has ${found}; allowed: ${allowed}`)
}
