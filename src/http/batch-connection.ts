// The caller's end of POST /v1/batch: many commands under way on one connection, answers by key.
import { Readable } from 'node:stream'
import { type ErrorBody, fromErrorBody, GlynError } from '../core/errors.ts'
import type { Outcome } from '../core/outcome.ts'
import type { BatchRequest } from './command-request.ts'
import { signOfLifeMs } from './event-routes.ts'
import type { HttpCalls } from './http-calls.ts'
import { ndjson } from './media-types.ts'
import { readLineGroups } from './read-lines.ts'

const silenceMsMax = 2 * signOfLifeMs
/** A server answers within the command's own deadline; a little more for the way. */
const graceMs = 1000
/** Unsent bytes; the callers' own bound on commands under way keeps far below. */
const bufferBytesMax = 64 * 1024 * 1024

export interface BatchConnection {
  /** False once the connection was lost or closed: open another one. */
  isOpen(): boolean
  /** Throws what the server said about the command, TIMEOUT, or UNAVAILABLE / NODE_NOT_RUNNING for a lost connection. */
  send(request: BatchRequest & { readonly timeoutMs: number }): Promise<Outcome>
  /** Commands without an answer reject with SHUTTING_DOWN. Idempotent. */
  close(): void
}

interface Waiting {
  resolve(outcome: Outcome): void
  reject(error: unknown): void
  readonly timer: NodeJS.Timeout
}

export function openBatchConnection(calls: HttpCalls): BatchConnection {
  const waiting = new Map<number, Waiting>()
  const stop = new AbortController()
  const body = new Readable({ read() {}, highWaterMark: bufferBytesMax })
  let failure: { readonly reason: unknown } | null = null
  let lastKey = 0
  let lines = ''

  const settle = (key: number): Waiting | undefined => {
    const found = waiting.get(key)
    waiting.delete(key)
    clearTimeout(found?.timer)
    return found
  }
  const fail = (reason: unknown): void => {
    if (failure !== null) return
    failure = { reason }
    for (const key of [...waiting.keys()]) settle(key)?.reject(reason)
    body.push(null)
    stop.abort(reason)
  }
  const flush = (): void => {
    if (failure === null && lines !== '') body.push(lines)
    lines = ''
  }
  const take = (line: string): void => {
    if (line === '') return
    const answer = JSON.parse(line) as { key: number | null; outcome?: Outcome; error?: ErrorBody }
    if (answer.key === null) throw answer.error === undefined ? new Error(line) : fromErrorBody(answer.error)
    const found = settle(answer.key)
    if (answer.outcome !== undefined) found?.resolve(answer.outcome)
    else if (answer.error !== undefined) found?.reject(fromErrorBody(answer.error))
  }
  const receive = async (): Promise<void> => {
    const answers = await calls.stream({
      method: 'POST',
      path: '/v1/batch',
      headers: { 'content-type': ndjson },
      body,
      silenceMsMax,
      signal: stop.signal,
    })
    for await (const group of readLineGroups(answers)) for (const line of group) take(line)
    throw new GlynError('UNAVAILABLE', `${calls.name} ended the batch`)
  }
  // An aborted request destroys its body; whoever waits learns it from `receive`.
  body.on('error', () => {})
  receive().catch((error: unknown) => fail(calls.explain(error)))

  return {
    isOpen: () => failure === null,
    send(request) {
      if (failure !== null) return Promise.reject(failure.reason)
      lastKey += 1
      const key = lastKey
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          const text = `${calls.name} did not answer within ${request.timeoutMs} ms`
          settle(key)?.reject(new GlynError('TIMEOUT', text))
        }, request.timeoutMs + graceMs)
        waiting.set(key, { resolve, reject, timer })
        if (lines === '') setImmediate(flush)
        lines += `${JSON.stringify({ key, ...request })}\n`
      })
    },
    close() {
      fail(new GlynError('SHUTTING_DOWN', 'the batch connection was closed'))
    },
  }
}
