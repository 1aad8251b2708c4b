// A database that no node runs on, read and not changed.
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { GlynError } from '../../core/errors.ts'
import { storageIdSetting } from '../check-write.ts'
import { lockDirectory } from '../directory-lock.ts'
import type { LocalStore } from '../store.ts'
import { openReadConnection } from './sqlite-connection.ts'
import { toStoreError } from './sqlite-errors.ts'
import { checkFormat } from './sqlite-log-reader.ts'
import { createSqliteReader } from './sqlite-reader.ts'

export interface StoppedStore
  extends Pick<LocalStore, 'storageId' | 'location' | 'recover' | 'log' | 'readPartition' | 'settings'> {
  close(): void
}

/**
 * Holds the lock of its directory, so that no node starts meanwhile. Throws ALREADY_RUNNING, ENTITY_NOT_FOUND without a
 * database, STORE_FORMAT, STORE_CORRUPT, STORE_READ_ONLY, EVENT_STORE_ERROR.
 */
export function openStoppedStore(given: string): StoppedStore {
  const path = resolve(given)
  if (!existsSync(path)) throw new GlynError('ENTITY_NOT_FOUND', `there is no database ${path}`)
  const lock = lockDirectory(dirname(path))
  try {
    const database = openReadConnection(path)
    try {
      checkFormat(database, path)
      const storageId = database
        .prepare<[string], string>('select value from settings where name = ?')
        .pluck()
        .get(storageIdSetting) as string | undefined
      const reader = createSqliteReader(database, path)
      return {
        storageId: storageId ?? '',
        location: path,
        recover: () => reading(() => reader.recover()),
        log(partition) {
          const log = reader.log(partition)
          return {
            entries: (from, to, bytesMax) => reading(() => log.entries(from, to, bytesMax)),
            term: index => reading(() => log.term(index)),
            hash: index => reading(() => log.hash(index)),
          }
        },
        readPartition: (partition, range) => reading(() => reader.readPartition(partition, range)),
        settings: () => reading(() => reader.settings()),
        close() {
          database.close()
          lock.release()
        },
      }
    } catch (error) {
      database.close()
      throw error
    }
  } catch (error) {
    lock.release()
    throw toStoreError(error, path)
  }

  function reading<Result>(action: () => Result): Result {
    try {
      return action()
    } catch (error) {
      throw toStoreError(error, path)
    }
  }
}
