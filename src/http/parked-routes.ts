// Routes of dead letters: what is parked, and what is to be done with it.
import type { FastifyInstance } from 'fastify'
import { GlynError } from '../core/errors.ts'
import type { ParkedSelection } from '../node/parked-api.ts'
import { parseAskOptions } from './ask-options.ts'
import { createCallSignal } from './call-signal.ts'
import { parsePositive } from './parse-number.ts'
import type { ServerContext } from './server-context.ts'

interface Named {
  Params: { readonly name: string }
  Querystring: { readonly limit?: string }
}

export function addParkedRoutes(app: FastifyInstance, context: ServerContext): void {
  app.get<Named>('/v1/queries/:name/parked', (request, reply) => {
    const limit = parsePositive('limit', request.query.limit?.toString())
    const { timeoutMs } = parseAskOptions(request)
    return context.node().queries.parked(request.params.name, {
      ...(limit === undefined ? {} : { limit }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      signal: createCallSignal(reply),
    })
  })

  for (const [action, method] of [
    ['retry', 'retryParked'],
    ['drop', 'dropParked'],
  ] as const) {
    app.post<Named>(`/v1/queries/:name/parked/${action}`, (request, reply) => {
      const { timeoutMs } = parseAskOptions(request)
      return context.node().queries[method](request.params.name, parseSelection(request.body), {
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        signal: createCallSignal(reply),
      })
    })
  }
}

function parseSelection(body: unknown): ParkedSelection {
  if (typeof body === 'object' && body !== null) return body as ParkedSelection
  throw new GlynError('INVALID_ARGUMENT', 'the body is not an object; allowed: {"of":"…"}, or {"all":true}')
}
