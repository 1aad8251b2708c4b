// What may name a thing that is stored: aggregate types and ids, command ids.
import type { AggregateKey } from './command.ts'
import { GlynError } from './errors.ts'
import { limits } from './limits.ts'

/** Throws INVALID_ARGUMENT for a key that cannot be stored. */
export function checkAggregateKey(aggregate: AggregateKey): void {
  for (const [field, value] of [
    ['aggregate type', aggregate.type],
    ['aggregate id', aggregate.id],
  ] as const) {
    checkName(field, value)
  }
}

/**
 * Throws INVALID_ARGUMENT unless `value` is a text of 1 to `limits.nameBytesMax` bytes without control characters, and one
 * that comes back from UTF-8 as it was: two names that are stored as one would claim the same events.
 */
export function checkName(field: string, value: unknown): asserts value is string {
  const isFine =
    typeof value === 'string' &&
    value !== '' &&
    (value.length * 3 <= limits.nameBytesMax ||
      new TextEncoder().encode(value).length <= limits.nameBytesMax) &&
    !unstorable.test(value)
  if (isFine) return
  const shown = (JSON.stringify(value) ?? String(value)).slice(0, 80)
  throw new GlynError(
    'INVALID_ARGUMENT',
    `${field} is ${shown}; allowed: a text of 1 to ${limits.nameBytesMax} bytes without control characters, half characters (lone surrogates) or a byte order mark`,
  )
}

/** A decoder may drop the mark at the beginning; elsewhere it is invisible, and of no use either. */
const unstorable = /[\p{Cc}\p{Cs}\uFEFF]/u
