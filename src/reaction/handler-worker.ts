// The thread of one handler that came as a file: whatever it does, it does to this thread only.
import { inspect } from 'node:util'
import { parentPort, workerData } from 'node:worker_threads'
import { InvariantError } from '../core/assert.ts'
import type { Clock } from '../core/clock.ts'
import { importPlugin } from '../plugin/import-plugin.ts'
import { plainStack, stemOf } from '../plugin/plugin-files.ts'
import { type NormalHandler, normalizeHandler } from './define-handler.ts'
import type { ErrorText, FromHandler, HandlerWorkerData, ToHandler } from './handler-messages.ts'
import { runHandler } from './run-handler.ts'

if (parentPort === null) throw new InvariantError('handler-worker runs as a worker thread only')
const port = parentPort
const { plugin, importTimeoutMs } = workerData as HandlerWorkerData
const underWay = new Map<number, AbortController>()

const clock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs)
    return () => clearTimeout(timer)
  },
  soon(action) {
    const immediate = setImmediate(action)
    return () => clearImmediate(immediate)
  },
}

const post = (message: FromHandler): void => port.postMessage(message)

const toErrorText = (error: unknown): ErrorText =>
  error instanceof Error
    ? { message: error.message === '' ? error.name : error.message, stack: plainStack(error) }
    : { message: typeof error === 'string' ? error : inspect(error), stack: null }

async function load(): Promise<NormalHandler> {
  const value = await importPlugin(plugin, { timeoutMs: importTimeoutMs })
  try {
    return normalizeHandler(value, stemOf(plugin.file))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${plugin.file}: the default export is not a valid handler: ${why}`, { cause })
  }
}

load().then(
  handler => {
    port.on('message', (message: ToHandler) => {
      if (message.type === 'abort') underWay.get(message.id)?.abort()
      else void handle(handler, message)
    })
    const { name, filter, onError, startFrom, timeoutMs } = handler
    post({ type: 'loaded', facts: { name, filter, onError, startFrom, timeoutMs } })
  },
  (error: unknown) => post({ type: 'load-failed', error: toErrorText(error) }),
)

async function handle(
  handler: NormalHandler,
  { id, event, idempotencyKey, attempt }: Extract<ToHandler, { type: 'handle' }>,
): Promise<void> {
  const ending = new AbortController()
  underWay.set(id, ending)
  try {
    await runHandler(handler, { event, idempotencyKey, attempt }, { signal: ending.signal, clock })
    post({ type: 'done', id })
  } catch (error) {
    post({ type: 'failed', id, error: toErrorText(error) })
  } finally {
    underWay.delete(id)
  }
}
