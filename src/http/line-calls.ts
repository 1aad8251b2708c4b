// A call that goes on for as long as its caller likes: lines of JSON in, lines of JSON out, while more come in.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { toErrorBody } from '../core/errors.ts'
import type { NodeApi } from '../node/node-api.ts'
import { createCallSignal } from './call-signal.ts'
import { signOfLifeMs } from './event-routes.ts'
import { createKeyedScheduler } from './keyed-scheduler.ts'
import { ndjson } from './media-types.ts'
import { readLineGroups } from './read-lines.ts'
import type { ServerContext } from './server-context.ts'

/** Lines of one connection that the node works on at once; enough to fill its group commits. */
const runningMax = 1024
/** Lines of one connection that were read and have no answer yet; reading pauses beyond. */
const heldMax = 4096

/** What one line asks for. */
export interface LineCall {
  /** Those of one lane are worked on one after the other. */
  readonly lane: string
  /** Settles its own errors: what it returns is the answer. */
  readonly run: (call: { readonly node: NodeApi; readonly signal: AbortSignal }) => Promise<object>
}

/**
 * `POST path`: each line is parsed, and answered by one line in the order of completion. A line that cannot be read ends the
 * call: `{"key":null,"error"}` after what was under way. A server that stops reads no more, answers what it has read, and ends.
 */
export function addLineRoute(
  app: FastifyInstance,
  context: ServerContext,
  route: {
    readonly path: string
    readonly lineBytesMax?: number
    readonly parse: (line: string, lineNumber: number) => LineCall
  },
): void {
  // The body is read by the route, line by line.
  if (!app.hasContentTypeParser(ndjson))
    app.addContentTypeParser(ndjson, (_request, _payload, done) => done(null))

  app.post(route.path, async (request, reply) => {
    const node = context.node()
    const signal = createCallSignal(reply)
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': ndjson, 'cache-control': 'no-store', connection: 'close' })
    reply.raw.flushHeaders()
    const answers = createAnswerWriter(reply.raw, signal)
    try {
      const body = request.raw.iterator({ destroyOnReturn: false })
      const lines = readLineGroups(body, route.lineBytesMax)
      await runLines(lines, { node, context, answers, signal, parse: route.parse })
    } catch (error) {
      if (!signal.aborted) context.log.warn({ err: error }, `${route.path}: the call ended early`)
    } finally {
      answers.close()
    }
  })
}

async function runLines(
  groups: AsyncGenerator<string[]>,
  call: {
    readonly node: NodeApi
    readonly context: ServerContext
    readonly answers: AnswerWriter
    readonly signal: AbortSignal
    readonly parse: (line: string, lineNumber: number) => LineCall
  },
): Promise<void> {
  const { node, context, answers, signal } = call
  const scheduler = createKeyedScheduler({ runningMax, heldMax })
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
        const { lane, run } = call.parse(line, lineNumber)
        await scheduler.add(lane, async () => await answers.write(await run({ node, signal })))
      }
    }
    await finish()
  } catch (error) {
    await finish()
    await answers.write({ key: null, error: toErrorBody(error) })
  }
}

/** The caller's own, or the number of the line. */
export const lineKeyOf = (value: unknown, lineNumber: number): string | number => {
  const { key } = value as { key?: unknown }
  return typeof key === 'string' || typeof key === 'number' ? key : lineNumber
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
      // A caller that goes away rejects the wait; the call then ends by its signal.
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
