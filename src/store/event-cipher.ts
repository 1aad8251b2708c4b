// Seals what is about a subject, and opens it: AES-256-GCM over JSON text, bound to its place. The bytes of a key are only ever
// in a local variable here, so that none outlives its destruction.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  type DecipherGCM,
  hash,
  randomBytes,
} from 'node:crypto'
import type { AggregateKey } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import type { CommandRecord, RecordedEvent, StoredEvent } from '../core/record.ts'
import { formatSealed, isLikeSealed, parseSealed, type SealedText } from '../core/sealed-data.ts'
import { type Forgotten, forgottenEventType } from '../core/system-types.ts'
import type { KeyReader, SubjectKey } from './key-store.ts'
import { keyBytes } from './sealing-key.ts'

/** Stands for a subject wherever its name is not to be: in files of keys, and on the way between nodes. */
export const referenceOf = (scope: string, subject: string): string =>
  createHmac('sha256', `glyn subject ${scope}`).update(subject).digest('base64url')

export const createSubjectKey = (subject: string, aggregate: AggregateKey): SubjectKey => ({
  id: randomBytes(16).toString('base64url'),
  subject,
  aggregate,
  key: new Uint8Array(randomBytes(keyBytes)),
})

/** One key for each event; undefined leaves its data as they are. The keys are not destroyed. */
export function sealRecord(record: CommandRecord, keys: readonly (SubjectKey | undefined)[]): CommandRecord {
  const events = record.events.map((event, offset): RecordedEvent => {
    const key = keys[offset]
    if (key === undefined) return event
    const bound = boundTo({
      aggregate: record.aggregate,
      sequence: record.firstSequence + offset,
      type: event.type,
      version: event.version,
      commandId: record.commandId,
    })
    return { ...event, data: seal(event.data, [key], bound) }
  })
  return { ...record, events }
}

/**
 * The row as readers get it: data that rest as they are stay so, sealed ones are opened, and of those that are forgotten
 * there is an event of type `glyn.Forgotten` in the same place. Throws KEY_UNAVAILABLE with `details: { key }`, and
 * EVENT_UNREADABLE for data that were changed or moved.
 */
export function openRow(keys: Pick<KeyReader, 'find'>, row: StoredEvent): StoredEvent {
  if (!isLikeSealed(row.data)) return row
  const sealed = parseSealed(row.data)
  const id = sealed?.keys[0]
  if (sealed === undefined || id === undefined) return row
  const name = `${row.aggregateType}/${row.aggregateId}/${row.sequence}`
  const key = keys.find(id)
  if (key === undefined) {
    throw new GlynError('KEY_UNAVAILABLE', `event ${name}: its key ${id} is not on this node`, {
      details: { key: id },
    })
  }
  if (key.key === null) {
    const forgotten: Forgotten = { type: row.type, key: id }
    return { ...row, type: forgottenEventType, version: 1, data: JSON.stringify(forgotten), key: id }
  }
  const { aggregateType, aggregateId, sequence, type, version, commandId } = row
  const aggregate = { type: aggregateType, id: aggregateId }
  const data = open(sealed, [key.key], boundTo({ aggregate, sequence, type, version, commandId }))
  if (data !== undefined) return { ...row, data, key: id }
  // It may have been destroyed between the two looks.
  if (keys.find(id)?.key === null) return openRow(keys, row)
  throw new GlynError(
    'EVENT_UNREADABLE',
    `event ${name}: its data do not fit their key: they were changed, or are those of another event; ` +
      'compare with another replica',
    { details: { key: id } },
  )
}

/** State that was made with these keys. Undefined when one of them is destroyed, or not here. */
export function sealState(
  keys: Pick<KeyReader, 'find'>,
  state: string,
  place: StatePlace & { readonly keys: readonly string[] },
): string | undefined {
  const found = liveKeys(keys, place.keys)
  return found === undefined ? undefined : seal(state, found, boundToState(place))
}

/** Undefined for what cannot be opened any more. State that was not sealed is returned as it is, without keys. */
export function openState(
  keys: Pick<KeyReader, 'find'>,
  state: string,
  place: StatePlace,
): { readonly state: string; readonly keys: readonly string[] } | undefined {
  const sealed = parseSealed(state)
  if (sealed === undefined) return { state, keys: [] }
  const found = liveKeys(keys, sealed.keys)
  if (found === undefined) return undefined
  const bytes = found.flatMap(({ key }) => (key === null ? [] : [key]))
  const opened = open(sealed, bytes, boundToState(place))
  return opened === undefined ? undefined : { state: opened, keys: sealed.keys }
}

export interface StatePlace {
  readonly aggregate: AggregateKey
  readonly sequence: number
  readonly definition: string
}

function liveKeys(keys: Pick<KeyReader, 'find'>, ids: readonly string[]): readonly SubjectKey[] | undefined {
  const found: SubjectKey[] = []
  for (const id of ids) {
    const key = keys.find(id)
    if (key === undefined || key.key === null) return undefined
    found.push(key)
  }
  return found
}

function seal(text: string, keys: readonly SubjectKey[], bound: string): string {
  const bytes = keys.flatMap(({ key }) => (key === null ? [] : [key]))
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', together(bytes), iv)
  cipher.setAAD(Buffer.from(bound))
  const data = cipher.update(text, 'utf8', 'base64url') + cipher.final('base64url')
  return formatSealed({
    keys: keys.map(({ id }) => id),
    iv: iv.toString('base64url'),
    tag: cipher.getAuthTag().toString('base64url'),
    data,
  })
}

function open(sealed: SealedText, keys: readonly Uint8Array[], bound: string): string | undefined {
  try {
    const iv = Buffer.from(sealed.iv, 'base64url')
    const decipher: DecipherGCM = createDecipheriv('aes-256-gcm', together(keys), iv, { authTagLength: 16 })
    decipher.setAAD(Buffer.from(bound))
    decipher.setAuthTag(Buffer.from(sealed.tag, 'base64url'))
    return decipher.update(sealed.data, 'base64url', 'utf8') + decipher.final('utf8')
  } catch {
    // What does not fit its tag, and a tag or iv of another length: the caller says what that means.
    return undefined
  }
}

/** Only all of the keys together open what was made of all of them. */
const together = (keys: readonly Uint8Array[]): Uint8Array => {
  const [only] = keys
  return keys.length === 1 && only !== undefined ? only : hash('sha256', Buffer.concat(keys), 'buffer')
}

/** Additional data of GCM: what is sealed opens in this place only. */
const boundTo = (place: {
  readonly aggregate: AggregateKey
  readonly sequence: number
  readonly type: string
  readonly version: number
  readonly commandId: string
}): string => {
  const { aggregate, sequence, type, version, commandId } = place
  return JSON.stringify(['event', aggregate.type, aggregate.id, sequence, type, version, commandId])
}

const boundToState = ({ aggregate, sequence, definition }: StatePlace): string =>
  JSON.stringify(['state', aggregate.type, aggregate.id, sequence, definition])
