// Keys on their way between members of a cluster, as JSON. The mesh encrypts what it carries.
import { GlynError } from '../core/errors.ts'
import { checkAggregateKey } from '../core/names.ts'
import type { KnownKeys, SubjectKey } from '../store/key-store.ts'
import { keyBytes } from '../store/sealing-key.ts'

export const encodeJson = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value))
export const decodeJson = <T>(body: Uint8Array): T => JSON.parse(decoder.decode(body)) as T

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** What {@link parseKnownKeys} takes. */
export const formatKnownKeys = ({ keys, forgotten }: KnownKeys) => ({
  keys: keys.map(({ id, subject, aggregate, key }) => ({
    id,
    subject,
    aggregate: { type: aggregate.type, id: aggregate.id },
    key: key === null ? null : Buffer.from(key).toString('base64url'),
  })),
  forgotten,
})

/** Throws INVALID_ARGUMENT. */
export function parseKnownKeys(value: unknown): KnownKeys {
  const { keys, forgotten } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (!Array.isArray(keys) || !Array.isArray(forgotten)) throw invalid('keys and forgotten')
  if (!forgotten.every(isReference)) throw invalid('forgotten')
  return { keys: keys.map(parseKey), forgotten }
}

function parseKey(value: unknown): SubjectKey {
  const { id, subject, aggregate, key } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (typeof id !== 'string' || !idPattern.test(id)) throw invalid('id')
  if (!isReference(subject)) throw invalid('subject')
  const { type, id: aggregateId } = (aggregate ?? {}) as SubjectKey['aggregate']
  checkAggregateKey({ type, id: aggregateId })
  const bytes = key === null ? null : new Uint8Array(Buffer.from(String(key), 'base64url'))
  if (bytes !== null && bytes.length !== keyBytes) throw invalid('key')
  return { id, subject, aggregate: { type, id: aggregateId }, key: bytes }
}

const isReference = (value: unknown): value is string =>
  typeof value === 'string' && referencePattern.test(value)

const idPattern = /^[A-Za-z0-9_-]{22}$/
const referencePattern = /^[A-Za-z0-9_-]{43}$/

const invalid = (what: string): GlynError =>
  new GlynError('INVALID_ARGUMENT', `keys from another node: ${what} cannot be read`)
