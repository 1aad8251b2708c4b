// A message to queries that is no event: shaped like one, told to every node, and stored nowhere.
import type { AggregateKey } from './command.ts'
import { GlynError } from './errors.ts'
import { limits } from './limits.ts'
import { checkAggregateKey, checkName } from './names.ts'

/** What a caller publishes. `data` is any JSON value, `{}` when left out. */
export interface NewQueryMessage<Type extends string = string, Data = unknown> {
  readonly type: Type
  readonly data?: Data
  /** The aggregate that it is about, if it is about one. It need not exist. */
  readonly aggregate?: AggregateKey
}

/** What `onMessage` of a query is given. */
export interface QueryMessage<Type extends string = string, Data = unknown> {
  /** Unique: a UUIDv7. */
  readonly id: string
  readonly type: Type
  readonly data: Data
  readonly aggregate: AggregateKey | null
  /** When it was published, ISO 8601 in UTC, by the clock of the publisher. */
  readonly time: string
  /** Peer id of the node that it was published on. */
  readonly publisher: string
}

/** Checked, with `data` as JSON text. */
export interface CheckedMessage {
  readonly type: string
  readonly data: string
  readonly aggregate: AggregateKey | null
}

/** Throws INVALID_ARGUMENT that names the field, and MESSAGE_TOO_LARGE. */
export function checkMessage(message: unknown): CheckedMessage {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    throw invalid('the message', message, 'an object with type, data, aggregate')
  }
  const unknown = Object.keys(message).find(field => !['type', 'data', 'aggregate'].includes(field))
  if (unknown !== undefined) throw invalid('a field of the message', unknown, 'type, data, aggregate')
  const { type, data, aggregate } = message as Record<string, unknown>
  checkName('message type', type)
  if (aggregate !== undefined) {
    if (typeof aggregate !== 'object' || aggregate === null)
      throw invalid('aggregate', aggregate, '{ type, id }')
    checkAggregateKey(aggregate as AggregateKey)
  }
  const text = toJson(data)
  const bytes = new TextEncoder().encode(text).length
  if (bytes > limits.messageBytesMax) {
    throw new GlynError(
      'MESSAGE_TOO_LARGE',
      `message ${type} has ${bytes} bytes of data; allowed: ${limits.messageBytesMax}`,
    )
  }
  return { type, data: text, aggregate: aggregate === undefined ? null : pick(aggregate as AggregateKey) }
}

const pick = ({ type, id }: AggregateKey): AggregateKey => ({ type, id })

function toJson(data: unknown): string {
  if (data === undefined) return '{}'
  let text: string | undefined
  try {
    text = JSON.stringify(data)
  } catch (cause) {
    throw new GlynError('INVALID_ARGUMENT', `data is not JSON: ${String(cause)}`, { cause })
  }
  if (text === undefined) throw invalid('data', typeof data, 'a JSON value')
  return text
}

const invalid = (field: string, found: unknown, allowed: string): GlynError =>
  new GlynError(
    'INVALID_ARGUMENT',
    `${field} is ${(JSON.stringify(found) ?? String(found)).slice(0, 80)}; allowed: ${allowed}`,
  )
