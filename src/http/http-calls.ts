// Calls to a control server: every one with a deadline, every failure of the connection as a GlynError.
import { type Dispatcher, Pool } from 'undici'
import { type ErrorBody, fromErrorBody, GlynError, isGlynError } from '../core/errors.ts'
import { type ReachableSocket, reachSocket } from './control-socket.ts'

const connectMsMax = 3000
/** Calls at once over one pool; further ones queue. */
const connectionsMax = 64

export interface HttpTarget {
  /** A unix socket, or … */
  readonly socketPath?: string
  /** … the address of a control server. */
  readonly url?: string
  readonly token?: string
}

export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export interface HttpStream {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Dispatcher.DispatchOptions['body']
  /** Longest silence of the server. */
  readonly silenceMsMax: number
  readonly signal: AbortSignal
}

export interface HttpCalls {
  /** For people: the socket's path or the URL. */
  readonly name: string
  /** The JSON answer. Statuses in `alsoFine` are answers too. Throws the GlynError that the server described. */
  call(call: HttpCall, alsoFine?: readonly number[]): Promise<unknown>
  /** The body as it comes in. Throws as `call` when the server refuses. */
  stream(call: HttpStream): Promise<AsyncIterable<Uint8Array>>
  /** What a failure of the connection means. */
  explain(error: unknown): unknown
  close(): Promise<void>
}

/** Connects when it is first needed. Throws INVALID_ARGUMENT for a URL that is none. */
export function createHttpCalls(target: HttpTarget): HttpCalls {
  const name = target.socketPath ?? target.url ?? ''
  const origin = target.socketPath === undefined ? parseOrigin(name) : 'http://localhost'
  const authorization: Record<string, string> =
    target.token === undefined ? {} : { authorization: `Bearer ${target.token}` }
  let socket: Promise<ReachableSocket> | null = null
  let opened: Promise<Pool> | null = null
  const open = async (): Promise<Pool> => {
    const options = {
      connections: connectionsMax,
      pipelining: 1,
      connect: { timeout: connectMsMax },
      headersTimeout: 0,
      bodyTimeout: 0,
    }
    if (target.socketPath === undefined) return new Pool(origin, options)
    socket = reachSocket(target.socketPath)
    return new Pool(origin, { ...options, connect: { ...options.connect, socketPath: (await socket).path } })
  }
  const pool = (): Promise<Pool> => {
    opened ??= open()
    return opened
  }
  const explain = (error: unknown): unknown => explainFailure(error, name, target.socketPath !== undefined)

  return {
    name,
    explain,
    async call(call, alsoFine = []) {
      const deadline = AbortSignal.timeout(call.timeoutMs)
      const signal = call.signal === undefined ? deadline : AbortSignal.any([deadline, call.signal])
      try {
        const response = await (await pool()).request({
          method: call.method,
          path: call.path,
          headers: {
            ...authorization,
            ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
          signal,
        })
        const answer = parseAnswer(await response.body.text(), name)
        if (response.statusCode < 300 || alsoFine.includes(response.statusCode)) return answer
        throw toCallError(answer, response.statusCode, name)
      } catch (error) {
        if (call.signal?.aborted === true) throw call.signal.reason
        if (deadline.aborted && !isGlynError(error)) {
          throw new GlynError('TIMEOUT', `${name} did not answer within ${call.timeoutMs} ms`, {
            cause: error,
          })
        }
        throw explain(error)
      }
    },
    async stream(call) {
      try {
        const response = await (await pool()).request({
          method: call.method,
          path: call.path,
          headers: { ...authorization, ...call.headers },
          ...(call.body === undefined ? {} : { body: call.body }),
          headersTimeout: call.silenceMsMax,
          bodyTimeout: call.silenceMsMax,
          signal: call.signal,
        })
        if (response.statusCode === 200) return response.body
        throw toCallError(parseAnswer(await response.body.text(), name), response.statusCode, name)
      } catch (error) {
        if (call.signal.aborted) throw call.signal.reason
        throw explain(error)
      }
    },
    async close() {
      await (await opened)?.destroy()
      await (await socket)?.release()
    },
  }
}

function parseOrigin(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed !== null && (parsed.protocol === 'http:' || parsed.protocol === 'https:')) return parsed.origin
  throw new GlynError('INVALID_ARGUMENT', `the URL is ${JSON.stringify(url)}; allowed: http://host:port`)
}

function parseAnswer(text: string, name: string): unknown {
  try {
    return text === '' ? null : (JSON.parse(text) as unknown)
  } catch (cause) {
    throw new GlynError(
      'UNAVAILABLE',
      `${name} answered with something else than JSON: ${text.slice(0, 80)}`,
      {
        cause,
      },
    )
  }
}

function toCallError(answer: unknown, status: number, name: string): GlynError {
  const error = (answer as { error?: ErrorBody } | null)?.error
  if (typeof error?.code === 'string' && typeof error.message === 'string') return fromErrorBody(error)
  return new GlynError(
    'UNAVAILABLE',
    `${name} answered with HTTP ${status} and no explanation: is it a glyn-node?`,
  )
}

const notThere = ['ECONNREFUSED', 'ENOENT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']

function explainFailure(error: unknown, name: string, isSocket: boolean): unknown {
  if (isGlynError(error)) return error
  const code = String((error as { code?: unknown }).code)
  const message = error instanceof Error ? error.message : String(error)
  if (notThere.includes(code) || code === 'UND_ERR_CONNECT_TIMEOUT') {
    const hint = isSocket
      ? 'start one with `glyn-node start`, or name its folder with --data-dir'
      : 'is the node running with --http?'
    return new GlynError('NODE_NOT_RUNNING', `no node answers at ${name} (${code}); ${hint}`, {
      cause: error,
    })
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new GlynError('UNAUTHORIZED', `${name} belongs to another user (${code})`, { cause: error })
  }
  // A server that dies in the middle of an answer leaves undici's parser with half of it.
  const isCutOff = error instanceof Error && error.name === 'HTTPParserError'
  if (isCutOff || code.startsWith('UND_ERR_') || ['ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(code)) {
    return new GlynError('UNAVAILABLE', `the connection to ${name} was lost (${message})`, { cause: error })
  }
  return error
}
