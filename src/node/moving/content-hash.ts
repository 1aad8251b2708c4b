// One hash for a history, whatever store holds it and in whatever order it is read: the sum of the hashes of its events.
//
// An event's hash covers its place in its aggregate, so the sum says which events there are and in which order each
// aggregate has them, and nothing of partitions and positions, which another store has otherwise. It tells accident
// from what was; it is no signature. Source of adding hashes: Bellare and Micciancio, A New Paradigm for Collision-free
// Hashing (AdHash), 1997.
import { hash } from 'node:crypto'
import { GlynError } from '../../core/errors.ts'
import type { EventEnvelope } from '../../core/event.ts'

export interface ContentHash {
  add(event: EventEnvelope): void
  /** `sha256-sum:` and 64 hex digits. Of no events: 64 zeros. */
  text(): string
}

const prefix = 'sha256-sum:'
const modulus = 2n ** 256n
/** Sums grow by so many additions before they are cut to their size: one division for many. */
const additionsMax = 1024

/** `from`: the text of another one, to go on from. Throws INVALID_ARGUMENT for what is no such text. */
export function createContentHash(from?: string): ContentHash {
  let sum = from === undefined ? 0n : parse(from)
  let additions = 0
  return {
    add(event) {
      sum += BigInt(`0x${hashOfEvent(event)}`)
      additions += 1
      if (additions < additionsMax) return
      sum %= modulus
      additions = 0
    },
    text: () => `${prefix}${(sum % modulus).toString(16).padStart(64, '0')}`,
  }
}

/** SHA-256, hex, of the JSON text without blanks of [type, id, sequence, event type, version, data, metadata, command id, time]. */
export function hashOfEvent(event: EventEnvelope): string {
  const { aggregate, sequence, type, version, data, metadata, commandId, time } = event
  const content = [aggregate.type, aggregate.id, sequence, type, version, data, metadata, commandId, time]
  return hash('sha256', JSON.stringify(content), 'hex')
}

function parse(text: string): bigint {
  if (/^sha256-sum:[0-9a-f]{64}$/.test(text)) return BigInt(`0x${text.slice(prefix.length)}`)
  throw new GlynError(
    'INVALID_ARGUMENT',
    `the hash is ${JSON.stringify(text)}; allowed: ${prefix} and 64 hex digits`,
  )
}
