// Delays as people write them: `90s`, `15m`, `2h`.
import { GlynError } from '../core/errors.ts'

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** A timer that is due later than this is a mistake of a unit. */
const delayMsMax = 10 * 365 * unitMs.d

/** Milliseconds. Throws INVALID_ARGUMENT that names the delay and its form. */
export function parseDelay(delay: unknown): number {
  const match = typeof delay === 'string' ? /^(\d{1,12})(ms|s|m|h|d)$/.exec(delay) : null
  const delayMs = match === null ? Number.NaN : Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]
  if (delayMs <= delayMsMax) return delayMs
  const shown = JSON.stringify(delay) ?? String(delay)
  throw new GlynError(
    'INVALID_ARGUMENT',
    `delay is ${shown}; allowed: a whole number with ms, s, m, h or d, up to ten years: "500ms", "90s", "15m", "2h", "1d"`,
  )
}
