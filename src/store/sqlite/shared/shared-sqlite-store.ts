// A SQLite file that the nodes of one machine share: the main thread's end, which hands calls to a thread and answers.
import { dirname, extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { GlynError } from '../../../core/errors.ts'
import { checkAppends } from '../../check-append.ts'
import { makeDirectory } from '../../make-directory.ts'
import type { SharedStore, StoreBinding } from '../../shared-store.ts'
import { fromErrorMessage } from '../sqlite-errors.ts'
import type { SharedFile } from './shared-file.ts'
import type { FromSharedFile, PlainMethod, SharedFileInit, ToSharedFile } from './shared-file-messages.ts'

const fileThread = new URL(`./shared-file-thread${extname(import.meta.url)}`, import.meta.url)

/** More calls than this wait for their answers: the disk does not keep up, and callers are turned away. */
const waitingCallsMax = 16_384
/** To finish what is under way, with what other processes may hold it up. */
const closeTimeoutMs = 60_000

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/**
 * A history in one SQLite file that the nodes of one machine share, in one process or in several, each with a store object
 * of its own. It is as durable as the disk, and one process writes at a time: for more machines take `postgresStore`, or
 * no shared store at all. Not for network file systems.
 *
 * `path`: the file, which is made together with its folder when it is not there. Throws INVALID_ARGUMENT for an empty one.
 * Beside what every shared store throws: OVERLOADED (retryable) when 16 384 calls wait.
 */
export function sharedSqliteStore(options: { readonly path: string }): SharedStore {
  const { path } = options
  if (typeof path !== 'string' || path === '' || path === ':memory:') {
    const shown = JSON.stringify(path) ?? String(path)
    throw new GlynError(
      'INVALID_ARGUMENT',
      `sharedSqliteStore: path is ${shown}; allowed: the path of a file`,
    )
  }
  const waiting = new Map<number, Waiting>()
  let worker: Worker | null = null
  let ended: Promise<void> = Promise.resolve()
  let crash: GlynError | null = null
  let binding: StoreBinding | null = null
  let lastNumber = 0
  let closing: Promise<void> | null = null

  function start(): Worker {
    const init: SharedFileInit = { path }
    const started = new Worker(fileThread, { workerData: init, name: 'glyn-shared-store' })
    let isDone = false
    started.on('message', (message: FromSharedFile) => {
      if (message.type === 'closed') {
        isDone = true
        return
      }
      const waits = waiting.get(message.number)
      waiting.delete(message.number)
      if (message.type === 'done') waits?.resolve(message.value)
      else waits?.reject(fromErrorMessage(message.error))
    })
    const failAll = (why: string, cause?: unknown): void => {
      // What was under way may have been written: the same code as for a database whose answer was lost.
      crash ??= new GlynError('UNAVAILABLE', `store ${path}: its thread ${why}; open a new store object`, {
        cause,
      })
      for (const { reject } of waiting.values()) reject(crash)
      waiting.clear()
    }
    started.on('error', (cause: unknown) =>
      failAll(`crashed: ${cause instanceof Error ? cause.message : String(cause)}`, cause),
    )
    ended = new Promise(resolve => {
      started.on('exit', code => {
        if (!isDone) failAll(`ended by itself (${code})`)
        resolve()
      })
    })
    return started
  }

  function send<Value>(messageOf: (number: number) => ToSharedFile, signal?: AbortSignal): Promise<Value> {
    signal?.throwIfAborted()
    if (closing !== null) throw new GlynError('SHUTTING_DOWN', `store ${path}: it is closed`)
    if (crash !== null) throw crash
    if (waiting.size >= waitingCallsMax) {
      throw new GlynError(
        'OVERLOADED',
        `store ${path}: ${waiting.size} calls wait for the disk; allowed: ${waitingCallsMax}`,
      )
    }
    worker ??= start()
    lastNumber += 1
    const number = lastNumber
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    waiting.set(number, { resolve, reject })
    worker.postMessage(messageOf(number))
    if (signal === undefined) return promise as Promise<Value>
    const giveUp = (): void => reject(signal.reason)
    signal.addEventListener('abort', giveUp, { once: true })
    return promise.finally(() => signal.removeEventListener('abort', giveUp)) as Promise<Value>
  }

  /** Throws EVENT_STORE_ERROR before the first `open`. */
  function bound(): StoreBinding {
    if (binding !== null || closing !== null) return binding ?? { scope: '', partitions: 0 }
    throw new GlynError('EVENT_STORE_ERROR', `store ${path}: it is not open; call open() first`)
  }

  const ask = async <Method extends PlainMethod>(
    method: Method,
    ...values: Parameters<SharedFile[Method]>
  ): Promise<ReturnType<SharedFile[Method]>> => {
    bound()
    return await send(number => ({ type: 'call', number, method, arguments: values }))
  }

  async function close(): Promise<void> {
    if (worker === null) return
    const message: ToSharedFile = { type: 'close' }
    worker.postMessage(message)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const error = new GlynError(
        'TIMEOUT',
        `store ${path}: closing it took longer than ${closeTimeoutMs} ms`,
      )
      timer = setTimeout(() => reject(error), closeTimeoutMs)
    })
    await Promise.race([ended, late]).finally(() => clearTimeout(timer))
  }

  return {
    location: path,
    async open(wanted) {
      if (closing === null) makeDirectory(dirname(path), { what: 'the folder of the store' })
      const { scope, partitions } = wanted
      const bind: PlainMethod = 'bind'
      await send(number => ({
        type: 'call',
        number,
        method: bind,
        arguments: [{ scope, partitions }],
      }))
      binding = { scope, partitions }
    },
    cluster: claim => ask('cluster', claim ?? null),
    async append(appends, { isAtomic = false, signal } = {}) {
      const { partitions } = bound()
      if (closing === null) checkAppends(appends, partitions)
      return await send(number => ({ type: 'append', number, call: { appends, isAtomic } }), signal)
    },
    readStream: (aggregate, range) => ask('readStream', aggregate, range),
    sequences: aggregates => ask('sequences', aggregates),
    readCommand: (aggregate, commandId) => ask('readCommand', aggregate, commandId),
    readLog: (partition, range) => ask('readLog', partition, range),
    heads: () => ask('heads'),
    latestSnapshot: aggregate => ask('latestSnapshot', aggregate),
    writeSnapshots: snapshots => ask('writeSnapshots', snapshots),
    aggregates: filter => ask('aggregates', filter),
    statistics: () => ask('statistics'),
    close() {
      closing ??= close()
      return closing
    },
  }
}
