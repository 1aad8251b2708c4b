// A token that a query has to have seen, as callers give it.
import { GlynError } from '../core/errors.ts'
import type { Positions } from '../core/position.ts'
import { parseToken } from '../core/token.ts'

/** Throws INVALID_ARGUMENT for what is no token, and for a partition that this cluster has not: nobody would ever see it. */
export function parseAfter(token: string, partitions: number): Positions {
  const positions = parseToken(token)
  for (const partition of positions.keys()) {
    if (partition >= 1 && partition <= partitions) continue
    throw new GlynError(
      'INVALID_ARGUMENT',
      `token ${token} names partition ${partition}; allowed: 1 to ${partitions}, the partitions of this cluster`,
    )
  }
  return positions
}
