// The writer thread: takes what has gathered, commits it with one fsync, says how far it is durable, goes round again.
// Between the commits, and when there are none, it moves what was written from the tail into the log.
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { invariant } from '../../core/assert.ts'
import type { PartitionWrite, Snapshot } from '../store.ts'
import { toErrorMessage, toStoreError } from './sqlite-errors.ts'
import { openSqliteWriter, type SqliteWriter } from './sqlite-writer.ts'
import { unpackWrites } from './write-codec.ts'
import type { FromWriter, ToWriter, WriteMessage, WriterInit } from './writer-messages.ts'

/** A transaction takes no more once it has this much: bounds its latency and memory. */
const groupBytesMax = 4 * 1024 * 1024
/** After so long without a commit, what is in the tail moves into the log. */
const idleMs = 100
/** Fewer stay where they are: readers mind them little, and every move costs some pages. */
const idleRowsMin = 256

invariant(parentPort !== null, 'sqlite-writer-thread runs as a worker thread only')
const port = parentPort
const { path } = workerData as WriterInit

let hasFailed = false

const tell = (message: FromWriter): void => port.postMessage(message)
const receive = (): ToWriter | undefined => receiveMessageOnPort(port)?.message as ToWriter | undefined

function run(): void {
  let writer: SqliteWriter
  try {
    writer = openSqliteWriter(path, { onMigrating: formats => tell({ type: 'migrating', ...formats }) })
  } catch (error) {
    fail(error)
    return
  }
  let commits = 0
  tell({ type: 'open', storageId: writer.storageId })

  let idle: NodeJS.Timeout | undefined

  port.on('message', (first: ToWriter) => {
    if (hasFailed) return
    clearTimeout(idle)
    idle = undefined
    try {
      work(first)
    } catch (error) {
      fail(error)
    }
  })

  function work(first: ToWriter): void {
    let next: ToWriter | undefined = first
    while (next !== undefined) {
      if (next.type === 'close') {
        close()
        return
      }
      next = commitGroup(next)
      writer.keepUp(() => {
        next ??= receive()
        return next !== undefined
      })
      next ??= receive()
    }
    idle = setTimeout(foldWhileIdle, idleMs)
  }

  function close(): void {
    while (writer.foldOn(1));
    writer.close()
    tell({ type: 'closed' })
    port.close()
  }

  /** Until there is something to commit. */
  function foldWhileIdle(): void {
    idle = undefined
    try {
      while (writer.foldOn(idleRowsMin)) {
        const next = receive()
        if (next === undefined) continue
        work(next)
        return
      }
    } catch (error) {
      fail(error)
    }
  }

  /** Commits this message and what waits behind it. Returns the message that did not fit. */
  function commitGroup(first: WriteMessage): ToWriter | undefined {
    const writes: PartitionWrite[] = []
    const snapshots: Snapshot[] = []
    const settings: (readonly [string, string | null])[] = []
    let bytes = 0
    let through = 0
    let next: ToWriter | undefined = first
    while (next?.type === 'write' && bytes < groupBytesMax) {
      for (const write of unpackWrites(next.block)) writes.push(write)
      snapshots.push(...next.snapshots)
      settings.push(...next.settings)
      bytes += next.block.byteLength
      through = next.through
      next = receive()
    }
    writer.commit({ writes, snapshots, settings })
    commits += 1
    tell({ type: 'durable', through, commits })
    return next
  }
}

/**
 * Nothing is written after a failure: what a failed fsync left behind is unknown, and the writer's memory is ahead of the
 * disk. A closed port still delivers what was in its queue.
 */
function fail(error: unknown): void {
  hasFailed = true
  tell({ type: 'failed', error: toErrorMessage(toStoreError(error, path)) })
  port.close()
}

run()
