// The HTTP API of one node: over its unix socket always, over TCP when asked for.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { GlynError, isGlynError, toErrorBody } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { NodeApi } from '../node/node-api.ts'
import { addAggregateRoutes } from './aggregate-routes.ts'
import { addAppendRoute } from './append-route.ts'
import { addBackupRoute } from './backup-route.ts'
import { addBatchRoute } from './batch-route.ts'
import { addClusterRoutes } from './cluster-routes.ts'
import { bindSocket } from './control-socket.ts'
import { addEventRoutes } from './event-routes.ts'
import { watchIdleSockets } from './idle-sockets.ts'
import { addInspectionRoutes } from './inspection-routes.ts'
import { addMessageRoutes } from './message-routes.ts'
import { createMetrics } from './metrics.ts'
import { addQueryRoutes } from './query-routes.ts'
import type { ServerContext } from './server-context.ts'
import { statusOfError } from './status-of-error.ts'

/** A command's data with its names and metadata around it. */
const bodyBytesMax = 2 * limits.dataBytesMax
/**
 * A socket without a byte in either direction, and without a call that waits for its answer. Streams send a sign of life
 * more often (`signOfLifeMs`).
 */
const idleMsMax = 60_000
const headersMsMax = 10_000
/** How long a closing server waits for calls under way before it cuts them. */
const closeMsMax = 10_000
/** Two names of 256 bytes, percent-encoded. */
const parameterCharactersMax = 1024

export interface ControlServerOptions {
  /** Left out while the node is still starting: calls are then answered with UNAVAILABLE and the progress. */
  readonly node?: NodeApi
  readonly socketPath?: string
  readonly tcp?: {
    readonly host: string
    /** 0 takes a free one. */
    readonly port: number
    /** Callers send it as `authorization: Bearer <token>`. Required off loopback. */
    readonly token?: string
  }
  readonly log: Log
}

export interface ControlServer {
  readonly socketPath: string | null
  /** `http://host:port`, or null without TCP. */
  readonly url: string | null
  /** From now on calls are for this node. */
  attach(node: NodeApi): void
  /** What to tell callers as long as no node is attached. */
  progress(text: string): void
  /** Takes no new calls, ends streams, lets calls under way finish. Idempotent. */
  close(): Promise<void>
}

/** Listens. Throws INSECURE_LISTEN for TCP off loopback without a token, ALREADY_RUNNING for a socket in use. */
export async function createControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const { tcp, socketPath, log } = options
  if (tcp !== undefined && tcp.token === undefined && !isLoopback(tcp.host)) {
    throw new GlynError(
      'INSECURE_LISTEN',
      `HTTP on ${tcp.host}:${tcp.port} is reachable from other machines and has no token; set GLYN_HTTP_TOKEN or --http-token-file, or listen on 127.0.0.1`,
    )
  }
  let node = options.node ?? null
  let progress = 'the node is starting'
  const stop = new AbortController()
  const context: ServerContext = {
    node() {
      if (node !== null) return node
      throw new GlynError('UNAVAILABLE', `the node is not ready yet: ${progress}`)
    },
    closing: stop.signal,
    metrics: createMetrics(() => node),
    log,
  }
  const apps: FastifyInstance[] = []
  const open = (access: Access): FastifyInstance => {
    const app = createApp(context, access)
    const sockets = watchIdleSockets(app.server)
    apps.push(app)
    closers.push(async () => sockets.close())
    return app
  }
  const closers: (() => Promise<void>)[] = []
  const close = async (): Promise<void> => {
    stop.abort(new GlynError('SHUTTING_DOWN', 'the node is stopping'))
    const cut = setTimeout(() => {
      log.warn({ closeMsMax }, 'cutting HTTP calls that did not end')
      for (const app of apps) app.server.closeAllConnections()
    }, closeMsMax)
    try {
      const closing = apps.map(app => app.close())
      await Promise.all(closers.map(release => release()))
      await Promise.all(closing)
    } finally {
      clearTimeout(cut)
      context.metrics.close()
    }
  }
  let closed: Promise<void> | null = null
  let url: string | null = null
  try {
    if (socketPath !== undefined) {
      const app = open({ isTcp: false })
      closers.push(await bindSocket(socketPath, async path => void (await app.listen({ path }))))
    }
    if (tcp !== undefined) {
      const app = open({ isTcp: true, ...(tcp.token === undefined ? {} : { token: tcp.token }) })
      await app.listen({ host: tcp.host, port: tcp.port })
      const { port } = app.server.address() as AddressInfo
      url = `http://${tcp.host.includes(':') ? `[${tcp.host}]` : tcp.host}:${port}`
    }
  } catch (cause) {
    await close()
    throw isGlynError(cause) ? cause : listenError(cause)
  }
  return {
    socketPath: socketPath ?? null,
    url,
    attach(attached) {
      node = attached
    },
    progress(text) {
      progress = text
    },
    close() {
      closed ??= close()
      return closed
    },
  }
}

interface Access {
  readonly isTcp: boolean
  readonly token?: string
}

/** Routes check what comes in themselves. Compilers of JSON schemas would be loaded with every node, for nothing. */
function noSchemas(): never {
  throw new GlynError('INTERNAL', 'a route of the HTTP API has a schema; allowed: checks of its own')
}

function createApp(context: ServerContext, access: Access): FastifyInstance {
  const app = fastify({
    bodyLimit: bodyBytesMax,
    connectionTimeout: idleMsMax,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: parameterCharactersMax },
    http: { headersTimeout: headersMsMax },
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
  })
  app.setErrorHandler((error, request, reply) => {
    const known = toKnownError(error)
    if (known.code === 'INTERNAL') context.log.error({ err: error, url: request.url }, 'an HTTP call failed')
    const status = statusOfError[known.code]
    if (status === 503 || status === 429) reply.header('retry-after', '1')
    return reply.code(status).send({ error: toErrorBody(known) })
  })
  app.setNotFoundHandler((request, reply) => {
    const text = `there is no ${request.method} ${request.url.split('?')[0]}; see docs/http.md for the routes`
    return reply.code(404).send({ error: toErrorBody(new GlynError('INVALID_ARGUMENT', text)) })
  })
  if (access.isTcp) {
    const { token } = access
    app.addHook('onRequest', async request => {
      if (token === undefined) checkHost(request)
      else if (!isOpen(request)) checkToken(request, token)
    })
  }
  context.metrics.observe(app)
  addAggregateRoutes(app, context)
  addInspectionRoutes(app, context)
  addBatchRoute(app, context)
  addAppendRoute(app, context)
  addEventRoutes(app, context)
  addBackupRoute(app, context)
  addQueryRoutes(app, context)
  addMessageRoutes(app, context)
  addClusterRoutes(app, context)
  return app
}

/** Health checks of a supervisor carry no token and learn nothing. */
const isOpen = (request: FastifyRequest): boolean => request.url === '/healthz' || request.url === '/readyz'

function checkToken(request: FastifyRequest, token: string): void {
  const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  if (given !== undefined && timingSafeEqual(digest(given), digest(token))) return
  throw new GlynError(
    'UNAUTHORIZED',
    `this node wants a token and got ${given === undefined ? 'none' : 'another one'}; set GLYN_HTTP_TOKEN or --http-token-file`,
  )
}

/** A page in a browser may make a name of its own point to loopback (DNS rebinding); its calls carry that name. */
function checkHost(request: FastifyRequest): void {
  const host = (request.headers.host ?? '').replace(/:\d+$/, '')
  if (isLoopback(host.replace(/^\[|\]$/g, ''))) return
  throw new GlynError(
    'UNAUTHORIZED',
    `the host header is ${JSON.stringify(host)}; without a token allowed: localhost, 127.0.0.1, [::1]`,
  )
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

function toKnownError(error: unknown): GlynError {
  if (isGlynError(error)) return error
  const { code, statusCode, message } = error as { code?: unknown; statusCode?: unknown; message?: unknown }
  if (statusCode === 413) {
    return new GlynError('MESSAGE_TOO_LARGE', `the body is too large; allowed: ${bodyBytesMax} bytes`)
  }
  if (
    typeof code === 'string' &&
    code.startsWith('FST_ERR_') &&
    typeof statusCode === 'number' &&
    statusCode < 500
  ) {
    return new GlynError('INVALID_ARGUMENT', String(message), { cause: error })
  }
  return new GlynError('INTERNAL', String(message), { cause: error })
}

function listenError(cause: unknown): unknown {
  const { code, message } = cause as NodeJS.ErrnoException
  if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL' && code !== 'ENOTFOUND')
    return cause
  return new GlynError('INVALID_CONFIGURATION', `cannot listen for HTTP: ${message}`, { cause })
}
