// Tokens: positions as a short text that people and programs pass on, `3:17` or `3:17,5:2`.
import { GlynError } from './errors.ts'
import type { Position, Positions } from './position.ts'

/** The token of one position, for `after` and `from`: `3:17`. */
export const tokenOf = (position: Position): string => `${position.partition}:${position.index}`

/** Partitions ascending, so that equal positions give equal tokens. The empty map gives the empty text. */
export function formatToken(positions: Positions): string {
  return [...positions]
    .sort(([a], [b]) => a - b)
    .map(([partition, index]) => `${partition}:${index}`)
    .join(',')
}

/** Throws INVALID_ARGUMENT that names the token and its form. */
export function parseToken(token: string): Positions {
  const positions = new Map<number, number>()
  if (token === '') return positions
  for (const part of token.split(',')) {
    const match = /^(\d{1,6}):(\d{1,15})$/.exec(part)
    if (match === null) {
      throw new GlynError(
        'INVALID_ARGUMENT',
        `token is ${JSON.stringify(token)}; allowed: <partition>:<index>, several with commas, as a command returned it`,
      )
    }
    const partition = Number(match[1])
    positions.set(partition, Math.max(Number(match[2]), positions.get(partition) ?? 0))
  }
  return positions
}
