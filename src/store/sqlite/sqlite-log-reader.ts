// Reads committed history from a log that another thread writes: for query workers.
import type { Database, Statement } from 'better-sqlite3'
import { GlynError } from '../../core/errors.ts'
import type { StoredEvent } from '../../core/record.ts'
import { boundedIndex, rowOffsetMax, rowsBetween } from './row-id.ts'
import { openReadConnection } from './sqlite-connection.ts'
import { toStoreError } from './sqlite-errors.ts'
import { applicationId, migrations } from './sqlite-schema.ts'
import { createTailPlaces, type TailPlaces } from './tail-follower.ts'

export interface PartitionRange {
  readonly afterIndex: number
  readonly throughIndex: number
  readonly limit: number
}

export interface SqliteLogReader {
  /** As `LocalStore.readPartition`. Throws STORE_CORRUPT, EVENT_STORE_ERROR. */
  readPartition(partition: number, range: PartitionRange): readonly StoredEvent[]
  close(): void
}

/** Opens `path` read-only. Throws STORE_FORMAT, STORE_CORRUPT, STORE_READ_ONLY (it is not there), EVENT_STORE_ERROR. */
export function openSqliteLogReader(path: string): SqliteLogReader {
  try {
    const database = openReadConnection(path)
    try {
      checkFormat(database, path)
      const read = preparePartitionReader(database)
      return {
        readPartition(partition, range) {
          try {
            return read(partition, range)
          } catch (error) {
            throw toStoreError(error, path)
          }
        },
        close: () => void database.close(),
      }
    } catch (error) {
      database.close()
      throw error
    }
  } catch (error) {
    throw toStoreError(error, path)
  }
}

/** Throws STORE_FORMAT unless it is a database of ours, of the newest format. */
export function checkFormat(database: Database, path: string): void {
  const found = Number(database.pragma('user_version', { simple: true }))
  const newest = migrations.at(-1)?.version ?? 0
  const isOurs = Number(database.pragma('application_id', { simple: true })) === applicationId
  if (isOurs && found === newest) return
  throw new GlynError(
    'STORE_FORMAT',
    `store ${path}: ${isOurs ? `it has format ${found}` : 'it is not a store of glyn-node'}; allowed here: ${newest}`,
    { details: { found, newest } },
  )
}

/** `readPartition` over a connection. Throws what SQLite throws. */
export function preparePartitionReader(
  database: Database,
  tail: TailPlaces = createTailPlaces(database),
): (partition: number, range: PartitionRange) => StoredEvent[] {
  const readLog = database
    .prepare<unknown[], EventRow>(
      `select ${eventColumns} from log where ${rowsBetween} and kind = 'command' order by id limit ?`,
    )
    .raw() as Statement<[number, number, number, number, number], EventRow>
  const readTail = database
    .prepare<[number], EventRow>(`select ${eventColumns} from tail where id = ? and kind = 'command'`)
    .raw() as Statement<[number], EventRow>

  function readRange(partition: number, range: PartitionRange): EventRow[] {
    const { afterIndex, limit } = range
    const throughIndex = boundedIndex(range.throughIndex)
    const rows = readLog.all(partition, boundedIndex(afterIndex), partition, throughIndex, limit)
    if (rows.length === limit) return rows
    // What the log has of the range it has from its beginning on: the tail goes on after it.
    tail.catchUp()
    const after = Math.max(afterIndex, rows.at(-1)?.[0] ?? 0)
    const rest = tail.idsBetween(partition, {
      afterIndex: after,
      throughIndex,
      limit: Number.MAX_SAFE_INTEGER,
    })
    for (const id of rest) {
      if (rows.length === limit) break
      const row = readTail.get(id)
      if (row !== undefined) rows.push(row)
    }
    return rows
  }

  return database.transaction((partition: number, range: PartitionRange) => {
    const wanted = Math.max(1, range.limit)
    const rows = readRange(partition, { ...range, limit: wanted + 1 })
    const last = rows[wanted]?.[0]
    if (last === undefined) return toEvents(partition, rows)
    // One row too many: the last entry may be cut, so it is left for the next time, unless it is the only one.
    const isWhole = (row: EventRow): boolean => row[0] !== last
    const whole = rows.findLastIndex(isWhole) + 1
    if (whole > 0) return toEvents(partition, rows.slice(0, whole))
    const only = { afterIndex: last - 1, throughIndex: last, limit: rowOffsetMax + 2 }
    return toEvents(partition, readRange(partition, only))
  })
}

export type EventRow = [
  index: number,
  offset: number,
  aggregateType: string,
  aggregateId: string,
  sequence: number,
  type: string,
  version: number,
  data: string,
  metadata: string,
  commandId: string,
  timeMs: number,
]

/** In the order of {@link EventRow}. */
export const eventColumns =
  'idx, offset, aggregate_type, aggregate_id, sequence, event_type, event_version, data, metadata, command_id, time_ms'

/** Where {@link EventRow} has the sequence. */
export const sequenceColumn = 4

export function toEvents(partition: number, rows: readonly EventRow[]): StoredEvent[] {
  return rows.map(row => ({
    partition,
    index: row[0],
    offset: row[1],
    aggregateType: row[2],
    aggregateId: row[3],
    sequence: row[4],
    type: row[5],
    version: row[6],
    data: row[7],
    metadata: row[8],
    commandId: row[9],
    timeMs: row[10],
  }))
}
