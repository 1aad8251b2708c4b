// The thread of a shared SQLite store: takes the appends that have gathered into one transaction, and the rest one by one.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { invariant } from '../../../core/assert.ts'
import { GlynError, isGlynError } from '../../../core/errors.ts'
import { sqliteCodeOf, toErrorMessage, toStoreError } from '../sqlite-errors.ts'
import { openSharedFile, type SharedFile } from './shared-file.ts'
import type { FromSharedFile, SharedFileInit, ToSharedFile } from './shared-file-messages.ts'

/** A transaction takes no more calls than this: others, in this process and outside, wait for it. */
const groupAppendsMax = 2000

type AppendMessage = Extract<ToSharedFile, { readonly type: 'append' }>

invariant(parentPort !== null, 'shared-file-thread runs as a worker thread only')
const port = parentPort
const { path } = workerData as SharedFileInit

let file: SharedFile | null = null
/** After a failure of the disk nothing is certain any more, and nothing more is done. */
let failure: Error | null = null

const tell = (message: FromSharedFile): void => port.postMessage(message)
const receive = (): ToSharedFile | undefined =>
  receiveMessageOnPort(port)?.message as ToSharedFile | undefined

function opened(): SharedFile {
  if (failure !== null) throw failure
  file ??= openSharedFile(path)
  return file
}

/** What the caller is told. Keeps in mind what nobody should carry on from. */
function explain(error: unknown): Error {
  if (sqliteCodeOf(error)?.startsWith('SQLITE_BUSY')) {
    return new GlynError(
      'UNAVAILABLE',
      `store ${path}: other processes kept it locked; nothing was written`,
      {
        cause: error,
      },
    )
  }
  const explained = toStoreError(error, path)
  const isCertain =
    isGlynError(error) ||
    (isGlynError(explained) && ['STORE_FULL', 'STORE_READ_ONLY'].includes(explained.code))
  if (!isCertain) failure ??= explained
  return explained
}

const fail = (number: number, error: unknown): void =>
  tell({ type: 'failed', number, error: toErrorMessage(explain(error)) })

/** Returns the message behind them that is no append, or did not fit. */
function append(first: AppendMessage): ToSharedFile | undefined {
  const group = [first]
  let appends = first.call.appends.length
  let next = receive()
  while (next?.type === 'append' && appends + next.call.appends.length <= groupAppendsMax) {
    group.push(next)
    appends += next.call.appends.length
    next = receive()
  }
  try {
    const results = opened().append(group.map(({ call }) => call))
    for (const [place, { number }] of group.entries()) {
      const result = results[place]
      if (result instanceof GlynError) fail(number, result)
      else tell({ type: 'done', number, value: result })
    }
  } catch (error) {
    for (const { number } of group) fail(number, error)
  }
  return next
}

function call(message: Extract<ToSharedFile, { readonly type: 'call' }>): void {
  const { number, method } = message
  try {
    const run = opened()[method] as (...values: readonly unknown[]) => unknown
    tell({ type: 'done', number, value: run(...message.arguments) })
  } catch (error) {
    fail(number, error)
  }
}

port.on('message', (first: ToSharedFile) => {
  let next: ToSharedFile | undefined = first
  while (next !== undefined) {
    if (next.type === 'close') {
      file?.close()
      tell({ type: 'closed' })
      port.close()
      return
    }
    if (next.type === 'append') {
      next = append(next)
    } else {
      call(next)
      next = receive()
    }
  }
})
