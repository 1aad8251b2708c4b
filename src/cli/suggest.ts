// The nearest of the words that would have been right.
import { distance } from 'fastest-levenshtein'
import { type ErrorCode, GlynError, isGlynError } from '../core/errors.ts'

/** Words further away than this share of their length are other words, not slips. */
const distanceShareMax = 0.4

export function findNearest(found: string, allowed: readonly string[]): string | null {
  const scored = allowed
    .map(word => ({ word, distance: distance(found.toLowerCase(), word.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
  const best = scored[0]
  if (best === undefined) return null
  const longest = Math.max(best.word.length, found.length)
  return best.distance <= Math.max(1, longest * distanceShareMax) ? best.word : null
}

/**
 * Waits for the call; an error about a name (its details list the names `allowed`) gets `details.didYouMean`, the one
 * nearest to what was typed. `typed` says by code which word that was.
 */
export async function suggesting<Result>(
  typed: Partial<Record<ErrorCode, string>>,
  call: Promise<Result>,
): Promise<Result> {
  try {
    return await call
  } catch (error) {
    throw withSuggestion(typed, error)
  }
}

export function withSuggestion(typed: Partial<Record<ErrorCode, string>>, error: unknown): unknown {
  if (!isGlynError(error)) return error
  const found = typed[error.code]
  const allowed = (error.details as { allowed?: unknown } | undefined)?.allowed
  if (found === undefined || !Array.isArray(allowed)) return error
  const didYouMean = findNearest(
    found,
    allowed.filter(word => typeof word === 'string'),
  )
  if (didYouMean === null) return error
  const details = { ...(error.details as object), didYouMean }
  return new GlynError(error.code, error.message, { cause: error, details })
}
