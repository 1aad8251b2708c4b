// What every question to a query may say about itself: a token to wait for, and for how long.
import type { FastifyRequest } from 'fastify'
import { GlynError } from '../core/errors.ts'
import { parsePositive } from './parse-number.ts'

export interface AskOptions {
  readonly after?: string
  readonly timeoutMs?: number
}

/** In the query string; these names are not parameters of the question. */
export const askOptionNames: ReadonlySet<string> = new Set(['after', 'timeoutMs'])

/** `after` also as the header `Glyn-After`. Throws INVALID_ARGUMENT when the two differ. */
export function parseAskOptions(request: FastifyRequest): AskOptions {
  const given = request.query as Readonly<Record<string, string | readonly string[] | undefined>>
  const inQuery = given['after']?.toString()
  const inHeader = request.headers['glyn-after']?.toString()
  if (inQuery !== undefined && inHeader !== undefined && inQuery !== inHeader) {
    throw new GlynError(
      'INVALID_ARGUMENT',
      `after is ${JSON.stringify(inQuery)} and the header Glyn-After ${JSON.stringify(inHeader)}; allowed: one of them`,
    )
  }
  const after = inQuery ?? inHeader
  const timeoutMs = parsePositive('timeoutMs', given['timeoutMs']?.toString())
  return { ...(after === undefined ? {} : { after }), ...(timeoutMs === undefined ? {} : { timeoutMs }) }
}
