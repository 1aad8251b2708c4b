// Numbers in query strings.
import { GlynError } from '../core/errors.ts'

/** A whole number of 1 or more; undefined when left out. Throws NON_POSITIVE_ARGUMENT that names the field. */
export function parsePositive(field: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new GlynError(
    'NON_POSITIVE_ARGUMENT',
    `${field} is ${JSON.stringify(text)}; allowed: a whole number of 1 or more`,
  )
}
