// The history of a node as somebody from outside reads it, whether the node runs or not: read-only, without its lock.
import type { LocalStore } from '../store.ts'
import { openReadConnection } from './sqlite-connection.ts'
import { toStoreError } from './sqlite-errors.ts'
import { checkFormat } from './sqlite-log-reader.ts'
import { createSqliteReader } from './sqlite-reader.ts'

export type StoreReader = Pick<
  LocalStore,
  | 'recover'
  | 'log'
  | 'readAggregate'
  | 'readPartition'
  | 'latestSnapshot'
  | 'snapshots'
  | 'aggregates'
  | 'eventKinds'
  | 'settings'
> & {
  /** What SQLite finds wrong with the file, a line each; empty when it is whole. Reads all of it. */
  check(): readonly string[]
  close(): void
}

/** Throws STORE_FORMAT, STORE_CORRUPT, STORE_READ_ONLY (it is not there), EVENT_STORE_ERROR. */
export function openStoreReader(path: string): StoreReader {
  const guarded = <Result>(action: () => Result): Result => {
    try {
      return action()
    } catch (error) {
      throw toStoreError(error, path)
    }
  }
  return guarded(() => {
    const database = openReadConnection(path)
    try {
      checkFormat(database, path)
      const reader = createSqliteReader(database, path)
      return {
        recover: () => guarded(() => reader.recover()),
        log(partition) {
          const log = reader.log(partition)
          return {
            entries: (from, to, bytesMax) => guarded(() => log.entries(from, to, bytesMax)),
            term: index => guarded(() => log.term(index)),
            hash: index => guarded(() => log.hash(index)),
          }
        },
        readAggregate: (aggregate, range) => guarded(() => reader.readAggregate(aggregate, range)),
        readPartition: (partition, range) => guarded(() => reader.readPartition(partition, range)),
        latestSnapshot: aggregate => guarded(() => reader.latestSnapshot(aggregate)),
        snapshots: filter => guarded(() => reader.snapshots(filter)),
        aggregates: filter => guarded(() => reader.aggregates(filter)),
        eventKinds: () => guarded(() => reader.eventKinds()),
        settings: () => guarded(() => reader.settings()),
        check: () =>
          guarded(() =>
            database
              .prepare<[], string>('pragma integrity_check(20)')
              .pluck()
              .all()
              .filter(line => line !== 'ok'),
          ),
        close: () => void database.close(),
      }
    } catch (error) {
      database.close()
      throw error
    }
  })
}
