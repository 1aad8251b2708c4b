// Routes of erasure. The subject is in the body: addresses end in the logs of proxies.
import type { FastifyInstance } from 'fastify'
import { GlynError } from '../core/errors.ts'
import { createCallSignal } from './call-signal.ts'
import { parsePositive } from './parse-number.ts'
import type { ServerContext } from './server-context.ts'

interface Asked {
  readonly subject: string
  readonly timeoutMs?: number
  readonly force: boolean
}

export function addSubjectRoutes(app: FastifyInstance, context: ServerContext): void {
  app.post('/v1/subjects/forget', (request, reply) => {
    const { subject, ...options } = parseBody(request.body)
    return context.node().forget(subject, { ...options, signal: createCallSignal(reply) })
  })

  app.post('/v1/subjects/status', (request, reply) => {
    const { subject, timeoutMs } = parseBody(request.body)
    return context.node().forgetStatus(subject, {
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      signal: createCallSignal(reply),
    })
  })
}

function parseBody(body: unknown): Asked {
  const { subject, timeoutMs, force = false } = (body ?? {}) as Readonly<Record<string, unknown>>
  if (typeof subject !== 'string') {
    throw new GlynError(
      'INVALID_ARGUMENT',
      `subject is ${JSON.stringify(subject) ?? 'missing'}; allowed: a text`,
    )
  }
  if (typeof force !== 'boolean') {
    throw new GlynError('INVALID_ARGUMENT', `force is ${JSON.stringify(force)}; allowed: true, false`)
  }
  const ms = timeoutMs === undefined ? undefined : parsePositive('timeoutMs', String(timeoutMs))
  return { subject, force, ...(ms === undefined ? {} : { timeoutMs: ms }) }
}
