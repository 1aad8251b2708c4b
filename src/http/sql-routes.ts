// The route of SQL on read models.
import type { FastifyInstance } from 'fastify'
import { GlynError } from '../core/errors.ts'
import { parseAskOptions } from './ask-options.ts'
import { createCallSignal } from './call-signal.ts'
import type { ServerContext } from './server-context.ts'

const bodyForm = '{"sql":"select …","parameters"?:{…},"limit"?:1000}'

export function addSqlRoutes(app: FastifyInstance, context: ServerContext): void {
  app.post<{ Params: { readonly name: string } }>('/v1/queries/:name/sql', (request, reply) => {
    const { sql, parameters, limit } = parseBody(request.body)
    return context.node().queries.sql(request.params.name, sql, parameters, {
      ...parseAskOptions(request),
      ...(limit === undefined ? {} : { limit }),
      signal: createCallSignal(reply),
    })
  })
}

interface SqlBody {
  readonly sql: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly limit: number | undefined
}

function parseBody(body: unknown): SqlBody {
  const complain = (what: string): never => {
    throw new GlynError('INVALID_ARGUMENT', `${what}; allowed: ${bodyForm}`)
  }
  if (!isRecord(body)) return complain('the body is not an object')
  const { sql, parameters = {}, limit, ...others } = body
  const [other] = Object.keys(others)
  if (other !== undefined) return complain(`the body has ${JSON.stringify(other)}`)
  if (typeof sql !== 'string') return complain(`sql is ${JSON.stringify(sql) ?? 'missing'}`)
  if (!isRecord(parameters)) return complain(`parameters is ${JSON.stringify(parameters)}`)
  if (limit !== undefined && typeof limit !== 'number') return complain(`limit is ${JSON.stringify(limit)}`)
  return { sql, parameters, limit }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
