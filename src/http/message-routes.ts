// Routes of PubSub for users: a message to all queries, and who runs which.
import type { FastifyInstance } from 'fastify'
import type { NewQueryMessage } from '../core/query-message.ts'
import { parsePositive } from './parse-number.ts'
import type { ServerContext } from './server-context.ts'

export function addMessageRoutes(app: FastifyInstance, context: ServerContext): void {
  // The node checks the message: its words name the field.
  app.post('/v1/messages', request => context.node().publish(request.body as NewQueryMessage))

  app.get<{ Querystring: { readonly timeoutMs?: string } }>('/v1/subscribers', request => {
    const timeoutMs = parsePositive('timeoutMs', request.query.timeoutMs)
    return context.node().subscribers(timeoutMs === undefined ? {} : { timeoutMs })
  })
}
