// Opened by query workers, each on its own thread: the events that rest on this node's disk, read-only.
import type { StoredEvent } from '../core/record.ts'
import { isSystemType } from '../core/system-types.ts'
import type { LogFileReader } from '../query/query.ts'
import { openSqliteLogReader } from '../store/sqlite/sqlite-log-reader.ts'

export function openLogReader(path: string): LogFileReader {
  const reader = openSqliteLogReader(path)
  return {
    readPartition(partition, range) {
      let { afterIndex } = range
      for (;;) {
        const rows = reader.readPartition(partition, { ...range, afterIndex })
        const shown = rows.filter(isForQueries)
        const last = rows.at(-1)
        // An empty answer says that there are none: what is only ours is read past.
        if (shown.length > 0 || last === undefined) return shown
        afterIndex = last.index
      }
    },
    close: () => reader.close(),
  }
}

/** What glyn-node stores for itself is passed over, as entries without events are. */
const isForQueries = ({ aggregateType }: StoredEvent): boolean => !isSystemType(aggregateType)
