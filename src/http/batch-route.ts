// Many commands over one connection: lines of JSON in, lines of JSON out, while more come in.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { toErrorBody } from '../core/errors.ts'
import type { NodeApi } from '../node/node-api.ts'
import { createCallSignal } from './call-signal.ts'
import { type BatchRequest, parseBatchRequest, parseJson } from './command-request.ts'
import { signOfLifeMs } from './event-routes.ts'
import { createKeyedScheduler } from './keyed-scheduler.ts'
import { ndjson } from './media-types.ts'
import { readLineGroups } from './read-lines.ts'
import type { ServerContext } from './server-context.ts'

/** Commands of one connection that the node works on at once; enough to fill its group commits. */
const runningMax = 1024
/** Commands of one connection that were read and have no answer yet; reading pauses beyond. */
const heldMax = 4096

type BatchKey = string | number

/**
 * `POST /v1/batch`: each line is a command with `type`, `id`, `command`, `data` and a `key` of the caller's choice (the
 * line number when left out). The answers, `{"key","outcome"}` or `{"key","error"}`, come in the order of completion;
 * commands of one aggregate are executed in the order of their lines. A line that cannot be read ends the batch:
 * `{"key":null,"error"}` after what was under way. A server that stops reads no more, answers what it has read, and ends.
 */
export function addBatchRoute(app: FastifyInstance, context: ServerContext): void {
  // The body is read by the route, line by line.
  app.addContentTypeParser(ndjson, (_request, _payload, done) => done(null))

  app.post('/v1/batch', async (request, reply) => {
    const node = context.node()
    const signal = createCallSignal(reply)
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': ndjson, 'cache-control': 'no-store', connection: 'close' })
    reply.raw.flushHeaders()
    const answers = createAnswerWriter(reply.raw, signal)
    try {
      const lines = readLineGroups(request.raw.iterator({ destroyOnReturn: false }))
      await runBatch(lines, { node, context, answers, signal })
    } catch (error) {
      if (!signal.aborted) context.log.warn({ err: error }, 'a batch ended early')
    } finally {
      answers.close()
    }
  })
}

async function runBatch(
  groups: AsyncGenerator<string[]>,
  batch: {
    readonly node: NodeApi
    readonly context: ServerContext
    readonly answers: AnswerWriter
    readonly signal: AbortSignal
  },
): Promise<void> {
  const { node, context, answers, signal } = batch
  const scheduler = createKeyedScheduler({ runningMax, heldMax })
  const execute = async (key: BatchKey, request: BatchRequest): Promise<void> => {
    const { type, id, command, data, ...options } = request
    const answer = await node.execute(type, id, { type: command, data }, { ...options, signal }).then(
      outcome => {
        context.metrics.countCommand(outcome.type)
        return { key, outcome }
      },
      (error: unknown) => {
        context.metrics.countCommand('failed')
        return { key, error: toErrorBody(error) }
      },
    )
    await answers.write(answer)
  }
  let lineNumber = 0
  const stop = AbortSignal.any([signal, context.closing])
  /** An answer that nobody waits for is not waited for. */
  const finish = (): Promise<unknown> => orAborted(scheduler.idle(), signal)
  try {
    for (;;) {
      const group = await orAborted(groups.next(), stop)
      if (group === 'aborted' || group.done === true) break
      for (const line of group.value) {
        lineNumber += 1
        if (line.trim() === '') continue
        const { key, request } = parseLine(line, lineNumber)
        await scheduler.add(`${request.type}\0${request.id}`, () => execute(key, request))
      }
    }
    await finish()
  } catch (error) {
    await finish()
    await answers.write({ key: null, error: toErrorBody(error) })
  }
}

/** Unlike `Promise.race` with one long-lived promise, it leaves nothing behind after each wait. */
function orAborted<Value>(wait: Promise<Value>, signal: AbortSignal): Promise<Value | 'aborted'> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve('aborted')
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    wait.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

function parseLine(line: string, lineNumber: number): { key: BatchKey; request: BatchRequest } {
  const where = `line ${lineNumber}`
  const value = parseJson(line, where)
  const request = parseBatchRequest(value, where, ['key'])
  const { key } = value as { key?: unknown }
  return { key: typeof key === 'string' || typeof key === 'number' ? key : lineNumber, request }
}

interface AnswerWriter {
  write(answer: object): Promise<void>
  close(): void
}

/** Gathers the answers of one turn into one write. Waits while the caller does not read. */
function createAnswerWriter(response: ServerResponse, signal: AbortSignal): AnswerWriter {
  let lines = ''
  let drained: Promise<void> = Promise.resolve()
  const flush = (): void => {
    if (lines === '') return
    const text = lines
    lines = ''
    if (!response.write(text)) {
      // A caller that goes away rejects the wait; the batch then ends by its signal.
      drained = once(response, 'drain', { signal }).then(
        () => {},
        () => {},
      )
    }
  }
  // An empty line is no answer, and shows that the connection lives.
  const signOfLife = setInterval(() => response.write('\n'), signOfLifeMs)
  return {
    async write(answer) {
      if (lines === '') setImmediate(flush)
      lines += `${JSON.stringify(answer)}\n`
      await drained
    },
    close() {
      clearInterval(signOfLife)
      flush()
      response.end()
    },
  }
}
