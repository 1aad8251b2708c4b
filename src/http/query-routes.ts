// Routes of read models: a question and its answer, and what else can be asked of a query.
import type { FastifyInstance } from 'fastify'
import { GlynError } from '../core/errors.ts'
import { askOptionNames, parseAskOptions } from './ask-options.ts'
import { createCallSignal } from './call-signal.ts'
import { addParkedRoutes } from './parked-routes.ts'
import type { ServerContext } from './server-context.ts'
import { addSqlRoutes } from './sql-routes.ts'

interface QueryParameters {
  Params: { readonly name: string; readonly question: string }
  Querystring: { readonly [name: string]: string | string[] }
}

export function addQueryRoutes(app: FastifyInstance, context: ServerContext): void {
  addParkedRoutes(app, context)
  addSqlRoutes(app, context)

  const ask = async (
    names: { readonly name: string; readonly question: string },
    parameters: Readonly<Record<string, unknown>>,
    options: { readonly after?: string; readonly timeoutMs?: number; readonly signal: AbortSignal },
  ): Promise<string> => {
    const answer = await context.node().query(names.name, names.question, parameters, options)
    // An answer may be any JSON value, null among them.
    return JSON.stringify(answer ?? null)
  }

  app.get('/v1/queries', async () => await context.node().queries.list())

  for (const action of ['rebuild', 'pause', 'resume'] as const) {
    app.post<{ Params: { readonly name: string } }>(`/v1/queries/:name/-/${action}`, async request =>
      context.node().queries[action](request.params.name),
    )
  }

  app.get<QueryParameters>('/v1/queries/:name/:question', async (request, reply) => {
    const parameters = Object.entries(request.query).filter(([name]) => !askOptionNames.has(name))
    const options = { ...parseAskOptions(request), signal: createCallSignal(reply) }
    const answer = await ask(request.params, Object.fromEntries(parameters), options)
    return reply.type('application/json').send(answer)
  })

  app.post<QueryParameters>('/v1/queries/:name/:question', async (request, reply) => {
    const parameters: unknown = request.body ?? {}
    if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) {
      throw new GlynError('INVALID_ARGUMENT', 'the body is not an object; allowed: the parameters by name')
    }
    const options = { ...parseAskOptions(request), signal: createCallSignal(reply) }
    const answer = await ask(request.params, parameters as Record<string, unknown>, options)
    return reply.type('application/json').send(answer)
  })
}
