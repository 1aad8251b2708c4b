// The thread that writes keys: what has gathered is one transaction.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { invariant } from '../../core/assert.ts'
import type { KnownKeys } from '../key-store.ts'
import { type ErrorMessage, toErrorMessage, toStoreError } from './sqlite-errors.ts'
import { type KeyChanges, openSqliteKeyWriter, type SqliteKeyWriter } from './sqlite-key-writer.ts'

export type ToKeyThread =
  | { readonly type: 'join'; readonly id: number; readonly known: KnownKeys }
  | { readonly type: 'told'; readonly id: number; readonly ids: readonly string[] }
  | { readonly type: 'close' }

export type FromKeyThread =
  | { readonly type: 'open' }
  | { readonly type: 'not-open'; readonly error: ErrorMessage }
  /** Everything through this id is durable. */
  | { readonly type: 'done'; readonly through: number; readonly changes: KeyChanges }
  | { readonly type: 'failed'; readonly through: number; readonly error: ErrorMessage }
  | { readonly type: 'closed' }

/** One transaction takes no more than so many messages: bounds its time and its answer. */
const groupMax = 200

invariant(parentPort !== null, 'sqlite-key-thread runs as a worker thread only')
const port = parentPort
const { directory } = workerData as { readonly directory: string }
const tell = (message: FromKeyThread): void => port.postMessage(message)
const receive = (): ToKeyThread | undefined => receiveMessageOnPort(port)?.message as ToKeyThread | undefined

function run(): void {
  let writer: SqliteKeyWriter
  try {
    writer = openSqliteKeyWriter(directory)
  } catch (error) {
    tell({ type: 'not-open', error: toErrorMessage(toStoreError(error, directory)) })
    port.close()
    return
  }
  tell({ type: 'open' })
  port.on('message', (first: ToKeyThread) => {
    let next: ToKeyThread | undefined = first
    while (next !== undefined) {
      if (next.type === 'close') {
        writer.close()
        tell({ type: 'closed' })
        port.close()
        return
      }
      next = write(writer, next)
    }
  })
}

/** Returns the message that did not fit. A failure is that of all of them: nothing of it is known to be durable. */
function write(writer: SqliteKeyWriter, first: ToKeyThread): ToKeyThread | undefined {
  const known: KnownKeys[] = []
  const told: string[] = []
  let through = 0
  let next: ToKeyThread | undefined = first
  for (let taken = 0; next !== undefined && next.type !== 'close' && taken < groupMax; taken += 1) {
    if (next.type === 'join') known.push(next.known)
    else told.push(...next.ids)
    through = next.id
    next = receive()
  }
  try {
    const changes = writer.join(known)
    if (told.length > 0) writer.markTold(told)
    tell({ type: 'done', through, changes })
  } catch (error) {
    tell({ type: 'failed', through, error: toErrorMessage(toStoreError(error, directory)) })
  }
  return next
}

run()
