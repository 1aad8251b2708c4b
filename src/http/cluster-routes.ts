// Routes about the cluster: status, placement, members, health, metrics.
import type { FastifyInstance } from 'fastify'
import { addLeaveRoutes } from './leave-routes.ts'
import type { ServerContext } from './server-context.ts'
import { addSubjectRoutes } from './subject-routes.ts'

export function addClusterRoutes(app: FastifyInstance, context: ServerContext): void {
  app.get('/v1/cluster', () => context.node().status())
  app.get('/v1/placement', () => context.node().placement())
  app.get<{ Params: { readonly type: string; readonly id: string } }>('/v1/explain/:type/:id', request =>
    context.node().explain(request.params.type, request.params.id),
  )

  app.delete<{ Params: { readonly peerId: string } }>('/v1/members/:peerId', async request => {
    await context.node().removeMember(request.params.peerId)
    return { removed: request.params.peerId }
  })

  addLeaveRoutes(app, context)
  addSubjectRoutes(app, context)

  /** Alive: the process answers. */
  app.get('/healthz', () => ({ status: 'ok' }))
  /** Ready: the node takes commands. */
  app.get('/readyz', () => {
    if (context.closing.aborted) throw context.closing.reason
    return { status: 'ready', peerId: context.node().peerId }
  })

  app.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await context.metrics.expose()
    return reply.type(contentType).send(text)
  })
}
