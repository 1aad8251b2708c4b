// The main thread's end of the writer thread: hands over what one run of microtasks gathered, and answers callers.
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { GlynError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { Snapshot, StoreBatch } from '../store.ts'
import { fromErrorMessage } from './sqlite-errors.ts'
import { WritePacker } from './write-codec.ts'
import type { FromWriter, ToWriter, WriterInit } from './writer-messages.ts'

const writerThread = new URL(`./sqlite-writer-thread${extname(import.meta.url)}`, import.meta.url)

/** Batches that are not durable yet. Far above one per partition, which is what consensus has under way. */
const waitingBatchesMax = 16_384
/** Bytes of entries and snapshots that are not durable yet: some seconds of a slow disk. */
const waitingBytesMax = 256 * 1024 * 1024
/** To open and replay the WAL. */
const openTimeoutMs = 120_000
/** To rewrite a large database in a newer format. */
const migrateTimeoutMs = 3_600_000
/** To commit what waits, and to checkpoint. */
const closeTimeoutMs = 60_000

export interface WriterClient {
  readonly storageId: string
  write(batch: StoreBatch): Promise<void>
  /** Transactions so far. */
  commits(): number
  /** Waits for what is under way. Rejects with TIMEOUT. Idempotent. */
  close(): Promise<void>
}

interface Waiting {
  readonly number: number
  readonly bytes: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Starts the thread and waits until the database is open. Rejects with what kept it from that. */
export async function startWriterClient(options: {
  readonly path: string
  readonly log: Log
  /** The module that runs in the thread. For tests of a thread that fails. */
  readonly thread?: URL
}): Promise<WriterClient> {
  const { path, log, thread = writerThread } = options
  const init: WriterInit = { path }
  const worker = new Worker(thread, { workerData: init, name: 'glyn-store' })
  /** What the thread said first: a migration is given more time. */
  const begun = Promise.withResolvers<'migrating' | 'open'>()
  const opened = Promise.withResolvers<string>()
  const closed = Promise.withResolvers<void>()
  const packer = new WritePacker()
  /** Oldest first; answered from `head` on. */
  let waiting: Waiting[] = []
  let head = 0
  let waitingBytes = 0
  let lastNumber = 0
  let snapshots: Snapshot[] = []
  let settings: (readonly [string, string | null])[] = []
  let isFlushDue = false
  let failure: Error | null = null
  let commits = 0
  let closing: Promise<void> | null = null
  let isThreadDone = false

  const tell = (message: ToWriter, transfer: ArrayBuffer[] = []): void =>
    worker.postMessage(message, transfer)

  function flush(): void {
    isFlushDue = false
    if (failure !== null) return
    const block = packer.take()
    tell({ type: 'write', through: lastNumber, block, snapshots, settings }, [block])
    snapshots = []
    settings = []
  }

  function answer(through: number): void {
    while (head < waiting.length) {
      const next = waiting[head]
      if (next === undefined || next.number > through) break
      head += 1
      waitingBytes -= next.bytes
      next.resolve()
    }
    if (head === waiting.length) {
      waiting = []
      head = 0
    }
  }

  function fail(error: Error): void {
    if (failure !== null) return
    failure = error
    log.error({ store: path, error: error.message }, 'the store failed: nothing more is written')
    const rejected = waiting.slice(head)
    waiting = []
    head = 0
    waitingBytes = 0
    for (const { reject } of rejected) reject(error)
    begun.resolve('open')
    opened.reject(error)
  }

  worker.on('message', (message: FromWriter) => {
    switch (message.type) {
      case 'migrating':
        log.info(
          { store: path, from: message.from, to: message.to },
          'the store is brought to a newer format',
        )
        begun.resolve('migrating')
        break
      case 'open':
        begun.resolve('open')
        opened.resolve(message.storageId)
        break
      case 'durable':
        commits = message.commits
        answer(message.through)
        break
      case 'failed':
        fail(fromErrorMessage(message.error))
        break
      case 'closed':
        isThreadDone = true
    }
  })
  worker.on('error', cause => {
    const why = cause instanceof Error ? cause.message : String(cause)
    fail(new GlynError('EVENT_STORE_ERROR', `store ${path}: the writer thread crashed: ${why}`, { cause }))
  })
  worker.on('exit', exitCode => {
    if (!isThreadDone) {
      fail(
        new GlynError('EVENT_STORE_ERROR', `store ${path}: the writer thread ended by itself (${exitCode})`),
      )
    }
    closed.resolve()
  })

  async function close(): Promise<void> {
    if (isFlushDue) flush()
    // Also after a failure: it may be of this side, with the thread alive. A thread that ended does not mind.
    tell({ type: 'close' })
    await withDeadline(closed.promise, closeTimeoutMs, `store ${path}: closing`)
  }

  try {
    const isMigrating =
      (await withDeadline(begun.promise, openTimeoutMs, `store ${path}: opening`)) === 'migrating'
    const storageId = await (isMigrating
      ? withDeadline(opened.promise, migrateTimeoutMs, `store ${path}: bringing it to a newer format`)
      : opened.promise)
    return {
      storageId,
      commits: () => commits,
      write(batch) {
        if (failure !== null) return Promise.reject(failure)
        if (closing !== null) {
          return Promise.reject(new GlynError('SHUTTING_DOWN', `store ${path}: it is closed`))
        }
        if (waiting.length - head >= waitingBatchesMax || waitingBytes >= waitingBytesMax) {
          const full = `${waiting.length - head} batches of ${waitingBytes} bytes wait for the disk`
          const allowed = `${waitingBatchesMax} batches, ${waitingBytesMax} bytes`
          return Promise.reject(new GlynError('OVERLOADED', `store ${path}: ${full}; allowed: ${allowed}`))
        }
        const before = packer.length
        try {
          for (const write of batch.partitions) packer.add(write)
        } catch (error) {
          fail(error instanceof Error ? error : new Error(String(error)))
          return Promise.reject(failure)
        }
        for (const snapshot of batch.snapshots) snapshots.push(snapshot)
        for (const setting of Object.entries(batch.settings)) settings.push(setting)
        const states = batch.snapshots.reduce((sum, { state }) => sum + state.length, 0)
        const bytes = packer.length - before + states
        waitingBytes += bytes
        lastNumber += 1
        const number = lastNumber
        const isIdle = waiting.length === head
        const durable = new Promise<void>((resolve, reject) =>
          waiting.push({ number, bytes, resolve, reject }),
        )
        if (isIdle) flush()
        else if (!isFlushDue) {
          isFlushDue = true
          queueMicrotask(flush)
        }
        return durable
      },
      close() {
        closing ??= close()
        return closing
      },
    }
  } catch (error) {
    await worker.terminate()
    throw error
  }
}

async function withDeadline<Value>(promise: Promise<Value>, timeoutMs: number, what: string): Promise<Value> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new GlynError('TIMEOUT', `${what} took longer than ${timeoutMs} ms`)),
    timeoutMs,
  )
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
