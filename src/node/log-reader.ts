// Opened by query workers, each on its own thread: the events that rest on this node's disk, read-only.
import { dirname } from 'node:path'
import type { StoredEvent } from '../core/record.ts'
import { isSystemType } from '../core/system-types.ts'
import type { LogFileReader } from '../query/query.ts'
import { openRow } from '../store/event-cipher.ts'
import { hasKeyFiles } from '../store/sqlite/key-files.ts'
import { openSqliteKeyReader, type SqliteKeyReader } from '../store/sqlite/sqlite-key-reader.ts'
import { openSqliteLogReader } from '../store/sqlite/sqlite-log-reader.ts'

export function openLogReader(path: string): LogFileReader {
  const reader = openSqliteLogReader(path)
  const directory = dirname(path)
  let keys: SqliteKeyReader | undefined
  /** The files of keys come with the first key. */
  const lookUp = {
    find(id: string) {
      if (keys === undefined && hasKeyFiles(directory)) keys = openSqliteKeyReader(directory)
      return keys?.find(id)
    },
  }
  return {
    readPartition(partition, range) {
      let { afterIndex } = range
      for (;;) {
        const rows = reader.readPartition(partition, { ...range, afterIndex })
        const shown = rows.filter(isForQueries).map(row => openRow(lookUp, row))
        const last = rows.at(-1)
        // An empty answer says that there are none: what is only ours is read past.
        if (shown.length > 0 || last === undefined) return shown
        afterIndex = last.index
      }
    },
    close() {
      reader.close()
      keys?.close()
    },
  }
}

/** What glyn-node stores for itself is passed over, as entries without events are. */
const isForQueries = ({ aggregateType }: StoredEvent): boolean => !isSystemType(aggregateType)
