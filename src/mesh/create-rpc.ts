// Requests and answers over one channel: ids, deadlines, failures that travel, bounds on what is under way.
import type { Cancel } from '../core/clock.ts'
import { type ErrorBody, fromErrorBody, GlynError, isGlynError, toErrorBody } from '../core/errors.ts'
import { silentLog } from '../core/log.ts'
import type { RequestOptions, Rpc, RpcHandler, RpcInit } from './rpc.ts'
import { decodeRpcFrame, encodeAnswer, encodeFailure, encodeRequest, type RpcFrame } from './rpc-frame.ts'

/** Requests that we wait for, unless the caller says otherwise: a few seconds of full load. */
const pendingMaxDefault = 20_000
/** Requests that our handlers are busy with; more are answered with OVERLOADED. */
const servingMax = 20_000
/** Deadlines are looked at no more often than this, so one is at most so late. */
const sweepMsMin = 5

/**
 * Ids go on from the time of day: a peer may still be busy with a request of our last life, and its answer must not be
 * taken for that of a new one (found by the simulator). Below 2^53, with a million ids per millisecond.
 */
const firstIdOf = (wallTimeMs: number): number => (Math.floor(wallTimeMs) % 2 ** 31) * 2 ** 20

interface Pending {
  readonly peerId: string
  readonly method: string
  readonly timeoutMs: number
  readonly deadlineMs: number
  readonly resolve: (body: Uint8Array) => void
  readonly reject: (error: GlynError) => void
  readonly forget: (() => void) | undefined
}

export function createRpc(init: RpcInit): Rpc {
  const { mesh, clock, pendingMax = pendingMaxDefault, log = silentLog } = init
  const pending = new Map<number, Pending>()
  const handlers = new Map<string, RpcHandler>()
  let lastId = firstIdOf(clock.wallTime())
  let serving = 0
  let closed = false
  let sweepAtMs = Number.POSITIVE_INFINITY
  let cancelSweep: Cancel | undefined

  const settle = (id: number): Pending | undefined => {
    const request = pending.get(id)
    if (request === undefined) return undefined
    pending.delete(id)
    request.forget?.()
    return request
  }
  const failWhere = (
    matches: (request: Pending) => boolean,
    errorOf: (request: Pending) => GlynError,
  ): void => {
    for (const [id, request] of pending) if (matches(request)) settle(id)?.reject(errorOf(request))
  }

  const sweep = (): void => {
    sweepAtMs = Number.POSITIVE_INFINITY
    const nowMs = clock.now()
    failWhere(
      request => request.deadlineMs <= nowMs,
      ({ method, peerId, timeoutMs }) =>
        new GlynError('TIMEOUT', `${method}: ${peerId} did not answer within ${timeoutMs} ms`),
    )
    let nextMs = Number.POSITIVE_INFINITY
    for (const { deadlineMs } of pending.values()) nextMs = Math.min(nextMs, deadlineMs)
    if (nextMs !== Number.POSITIVE_INFINITY) sweepAt(Math.max(nextMs, nowMs + sweepMsMin))
  }
  const sweepAt = (atMs: number): void => {
    if (atMs >= sweepAtMs) return
    cancelSweep?.()
    sweepAtMs = atMs
    cancelSweep = clock.after(atMs - clock.now(), sweep)
  }

  const request = (peerId: string, method: string, body: Uint8Array, options: RequestOptions) =>
    new Promise<Uint8Array>((resolve, reject) => {
      const { timeoutMs, signal } = options
      if (!(timeoutMs > 0)) {
        throw new GlynError('NON_POSITIVE_ARGUMENT', `${method}: timeoutMs is ${timeoutMs}; allowed: above 0`)
      }
      if (closed) throw new GlynError('SHUTTING_DOWN', `${method}: this node is stopping`)
      if (signal?.aborted) throw abandoned(method, peerId)
      if (!mesh.isConnected(peerId)) throw unreachable(method, peerId)
      if (pending.size >= pendingMax) {
        throw new GlynError(
          'OVERLOADED',
          `${method}: ${pending.size} requests are under way; allowed: ${pendingMax}`,
        )
      }
      lastId += 1
      const id = lastId
      if (!mesh.send(peerId, 'rpc', encodeRequest({ id, method, timeoutMs: Math.ceil(timeoutMs), body }))) {
        throw mesh.isConnected(peerId)
          ? new GlynError('OVERLOADED', `${method}: too much waits to be sent to ${peerId}`)
          : unreachable(method, peerId)
      }
      let forget: (() => void) | undefined
      if (signal !== undefined) {
        const abort = (): void => settle(id)?.reject(abandoned(method, peerId))
        signal.addEventListener('abort', abort, { once: true })
        forget = () => signal.removeEventListener('abort', abort)
      }
      const deadlineMs = clock.now() + timeoutMs
      pending.set(id, { peerId, method, timeoutMs, deadlineMs, resolve, reject, forget })
      sweepAt(deadlineMs)
    })

  const answer = (to: string, id: number, frame: Uint8Array): void => {
    if (mesh.send(to, 'rpc', frame) || !mesh.isConnected(to)) return
    // The queue to the peer is full. A short refusal may still fit; when not, its deadline tells the caller.
    const refusal = new GlynError('OVERLOADED', 'too much waits to be sent back')
    const told = mesh.send(to, 'rpc', encodeFailure(id, failureText(refusal)))
    log.warn({ peerId: to, bytes: frame.length, told }, 'rpc: an answer was dropped, its queue is full')
  }
  const answerBody = (to: string, id: number, method: string, body: Uint8Array): void => {
    try {
      answer(to, id, encodeAnswer(id, body))
    } catch (error) {
      answerError(to, id, method, error)
    }
  }
  const answerError = (to: string, id: number, method: string, error: unknown): void => {
    if (!isGlynError(error)) log.error({ err: error, method, peerId: to }, 'rpc: a handler threw')
    answer(to, id, encodeFailure(id, failureText(error)))
  }

  const serveFrame = (from: string, { id, method = '', timeoutMs, body }: RpcFrame): void => {
    try {
      const handler = handlers.get(method)
      if (handler === undefined) {
        const known = [...handlers.keys()].join(', ') || 'none'
        throw new GlynError(
          'INVALID_ARGUMENT',
          `rpc method is ${JSON.stringify(method)}; served here: ${known}`,
        )
      }
      if (serving >= servingMax) {
        throw new GlynError(
          'OVERLOADED',
          `${method}: ${serving} requests are being served; allowed: ${servingMax}`,
        )
      }
      const result = handler(from, body)
      if (result instanceof Uint8Array) {
        answerBody(from, id, method, result)
        return
      }
      serving += 1
      const untilMs = clock.now() + timeoutMs
      // After its deadline nobody waits for the answer.
      const isAwaited = (): boolean => !closed && clock.now() <= untilMs
      result.then(
        value => {
          serving -= 1
          if (isAwaited()) answerBody(from, id, method, value)
        },
        error => {
          serving -= 1
          if (isAwaited() || !isGlynError(error)) answerError(from, id, method, error)
        },
      )
    } catch (error) {
      answerError(from, id, method, error)
    }
  }

  mesh.handle('rpc', (from, bytes) => {
    if (closed) return
    let frame: RpcFrame
    try {
      frame = decodeRpcFrame(bytes)
    } catch (error) {
      log.warn(
        { err: error, peerId: from, bytes: bytes.length },
        'rpc: a frame cannot be read and is dropped',
      )
      return
    }
    if (frame.method !== undefined) return serveFrame(from, frame)
    if (pending.get(frame.id)?.peerId !== from) return
    const asked = settle(frame.id)
    if (frame.error === undefined) asked?.resolve(frame.body)
    else asked?.reject(parseFailure(frame.error))
  })
  mesh.onPeerChange((peerId, connected) => {
    if (!connected) failWhere(one => one.peerId === peerId, outcomeUnknown('the connection broke'))
  })

  return {
    request,
    serve: (method, handler) => {
      if (handlers.has(method)) {
        throw new GlynError('INVALID_ARGUMENT', `rpc method ${JSON.stringify(method)} is served already`)
      }
      handlers.set(method, handler)
    },
    close: () => {
      closed = true
      cancelSweep?.()
      failWhere(() => true, outcomeUnknown('this node is stopping'))
    },
  }
}

const unreachable = (method: string, peerId: string): GlynError =>
  new GlynError('PEER_UNREACHABLE', `${method}: ${peerId} is not connected`)

const abandoned = (method: string, peerId: string): GlynError =>
  new GlynError('TIMEOUT', `${method}: the caller gave up waiting for ${peerId}`)

const outcomeUnknown =
  (why: string) =>
  ({ method, peerId }: Pending): GlynError =>
    new GlynError('OUTCOME_UNKNOWN', `${method}: ${why} while ${peerId} was at work on it`)

/** Bytes of an error on the wire, about: what is longer loses its details. */
const failureLengthMax = 64 * 1024

function failureText(error: unknown): string {
  const body = toErrorBody(error)
  const text = JSON.stringify(body)
  if (text.length <= failureLengthMax) return text
  const { code, message, retryable } = body
  return JSON.stringify({ code, message: message.slice(0, 4096), retryable })
}

function parseFailure(text: string): GlynError {
  try {
    return fromErrorBody(JSON.parse(text) as ErrorBody)
  } catch (cause) {
    return new GlynError(
      'INTERNAL',
      `a peer answered with an error that cannot be read: ${text.slice(0, 200)}`,
      {
        cause,
      },
    )
  }
}
