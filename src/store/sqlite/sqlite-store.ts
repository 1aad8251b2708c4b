// The store of a node: SQLite, written by a thread of its own with group commit, read on the calling thread.
import { dirname, resolve } from 'node:path'
import { GlynError } from '../../core/errors.ts'
import { type Log, silentLog } from '../../core/log.ts'
import type { LogReader } from '../../raft/raft.ts'
import { type DirectoryLock, lockDirectory } from '../directory-lock.ts'
import type { LocalStore } from '../store.ts'
import { openReadConnection } from './sqlite-connection.ts'
import { toStoreError } from './sqlite-errors.ts'
import { createSqliteReader } from './sqlite-reader.ts'
import { startWriterClient } from './writer-client.ts'

export interface SqliteStoreOptions {
  /** Of the database file; made when it is missing, with its directory. */
  readonly path: string
  readonly log?: Log
  /**
   * The lock on the directory of `path`, where the caller holds it already and releases it after `close`. When left
   * out, the store takes it (`<directory>/lock`) and releases it.
   */
  readonly lock?: DirectoryLock
}

/**
 * Opens or makes the database. Throws ALREADY_RUNNING, STORE_FORMAT, STORE_READ_ONLY, STORE_FULL, STORE_CORRUPT,
 * EVENT_STORE_ERROR.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<LocalStore> {
  const path = resolve(options.path)
  const log = options.log ?? silentLog
  const lock = options.lock ?? lockDirectory(dirname(path))
  const releaseLock = (): void => {
    if (options.lock === undefined) lock.release()
  }
  try {
    const writer = await startWriterClient({ path, log })
    try {
      return createStore({ path, writer, releaseLock })
    } catch (error) {
      await writer.close()
      throw error
    }
  } catch (error) {
    releaseLock()
    throw toStoreError(error, path)
  }
}

function createStore(components: {
  readonly path: string
  readonly writer: Awaited<ReturnType<typeof startWriterClient>>
  readonly releaseLock: () => void
}): LocalStore {
  const { path, writer, releaseLock } = components
  const database = openReadConnection(path)
  const reader = createSqliteReader(database, path)
  let closing: Promise<void> | null = null

  function read<Result>(action: () => Result): Result {
    if (!database.open) throw new GlynError('SHUTTING_DOWN', `store ${path}: it is closed`)
    try {
      return action()
    } catch (error) {
      throw toStoreError(error, path)
    }
  }

  const logOf = (partition: number): LogReader => {
    const log = reader.log(partition)
    return {
      entries: (from, to, bytesMax) => read(() => log.entries(from, to, bytesMax)),
      term: index => read(() => log.term(index)),
      hash: index => read(() => log.hash(index)),
    }
  }

  async function close(): Promise<void> {
    try {
      database.close()
      await writer.close()
    } finally {
      releaseLock()
    }
  }

  return {
    storageId: writer.storageId,
    location: path,
    write: batch => writer.write(batch),
    recover: () => read(() => reader.recover()),
    log: logOf,
    readAggregate: (aggregate, range) => read(() => reader.readAggregate(aggregate, range)),
    readCommand: (aggregate, command) => read(() => reader.readCommand(aggregate, command)),
    readPartition: (partition, range) => read(() => reader.readPartition(partition, range)),
    latestSnapshot: aggregate => read(() => reader.latestSnapshot(aggregate)),
    settings: () => read(() => reader.settings()),
    statistics: () => read(() => ({ ...reader.statistics(), commits: writer.commits() })),
    aggregates: filter => read(() => reader.aggregates(filter)),
    eventKinds: () => read(() => reader.eventKinds()),
    snapshots: filter => read(() => reader.snapshots(filter)),
    close() {
      closing ??= close()
      return closing
    },
  }
}
