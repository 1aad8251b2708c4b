// Moves rows from the tail into the log: partition after partition, in slices that are small enough to stand between two
// commits. A round takes what the tail has at its beginning; when all of that is in the log, it leaves the tail, some rows
// at a time too.
import type { Database } from 'better-sqlite3'
import { invariant } from '../../core/assert.ts'
import type { KindsOfLog } from './event-kinds.ts'
import { rowId } from './row-id.ts'
import { rowColumnNames } from './sqlite-schema.ts'
import type { TailEntry, WrittenPartition } from './written-partition.ts'

/** A round begins with this much in the tail: more shares more pages between rows, less is faster to read and recover. */
const roundRowsMin = 8192
const roundBytesMin = 8 * 1024 * 1024
/** A round folds so much more than is appended meanwhile; at the same pace each round would be longer than the last. */
const pace = 1.4
/**
 * A slice is one transaction, and a commit may have to wait for it. With more rows in a slice, and more in a round, each
 * page is written once for more of them; from here on there is little to gain (measured with 256 to 2048 of 4096 to 16,384).
 */
const sliceRowsMax = 512
const sliceBytesMax = 512 * 1024
/** In a gap between two commits slices are shorter, because the next commit comes while one is written: it waits a third less. */
const gapRowsMax = 128
/** So many leave the tail in one transaction. */
const purgeRowsMax = 2048
/** What it costs, as a share of what folding them costs. */
const purgeShare = 1 / 8
/** So many a commit that waits already does not wait for. */
const rowsPutOffMax = 4 * sliceRowsMax

export interface TailFold {
  /** Says that these were appended. */
  appended(amount: { readonly rows: number; readonly bytes: number }): void
  /**
   * Once a round is due, folds a little more than what was appended since the last call, so that the tail is at most
   * about two rounds long. Without a round it costs nothing. While a commit waits, some slices are put off: `isBusy` is asked
   * before each.
   */
  keepUp(isBusy: () => boolean): void
  /** One slice of the round under way, or of a new one where that many rows wait. False: there was nothing to do. */
  foldOn(rowsMin: number): boolean
}

export function createTailFold(components: {
  readonly database: Database
  readonly partitions: ReadonlyMap<number, WrittenPartition>
  readonly lastId: () => number
  readonly writePartition: (partition: number, written: WrittenPartition) => void
  readonly kinds: KindsOfLog
  readonly onPurged: () => void
}): TailFold {
  const { database, partitions, lastId, writePartition, kinds, onPurged } = components
  // One statement for a slice: SQLite keeps a journal for each, which costs more than a row.
  const copyRows = database.prepare<[string]>(
    `insert into log (id, ${rowColumnNames})
     select ${rowId('partition', 'idx', 'offset')}, ${rowColumnNames}
     from json_each(?) as wanted cross join tail on tail.id = wanted.value`,
  )
  const readFirstId = database.prepare<[], number | null>('select min(id) from tail').pluck()
  const purgeRows = database.prepare<[number]>('delete from tail where id <= ?')
  const writeThrough = database.prepare<[number]>('update tail_state set folded_through = ?')
  /** The rows up to id `through`, of the partitions that have some left; with none left, they leave the tail. */
  let round: { readonly through: number; readonly partitions: number[] } | null = null
  /** In the tail since the last round began. */
  let rows = 0
  let bytes = 0
  /** To be folded because it was appended since the round began. */
  let owedRows = 0
  let owedBytes = 0

  function begin(): boolean {
    const waiting = [...partitions].filter(([, { tail }]) => tail.length > 0).map(([partition]) => partition)
    if (waiting.length === 0) return false
    round = { through: lastId(), partitions: waiting.sort((a, b) => b - a) }
    rows = 0
    bytes = 0
    owedRows = 0
    owedBytes = 0
    return true
  }

  const copySlice = database.transaction((slice: readonly Share[]) => {
    const ids = slice.flatMap(({ entries }) => idsOf(entries))
    const { changes } = copyRows.run(JSON.stringify(ids))
    invariant(changes === ids.length, () => `fold: ${changes} of ${ids.length} rows are in the tail`)
    for (const { partition, written, entries } of slice) {
      const after = written.foldedIndex
      for (const { index, events } of entries) {
        written.foldedIndex = index
        written.foldedEvents += events
      }
      kinds.folded(partition, { after, through: written.foldedIndex })
      writePartition(partition, written)
    }
  })

  const purge = database.transaction((through: number) => {
    purgeRows.run(through)
    writeThrough.run(through)
  })

  /** One transaction of the round. */
  function step({ through, partitions: left }: NonNullable<typeof round>, rowsMax: number): void {
    const slice = takeSlice(left, through, rowsMax)
    if (slice.length === 0) {
      const upTo = Math.min(through, (readFirstId.get() ?? through) - 1 + purgeRowsMax)
      purge.immediate(upTo)
      owedRows -= purgeRowsMax * purgeShare
      owedBytes -= sliceBytesMax * purgeShare
      if (upTo < through) return
      round = null
      onPurged()
      return
    }
    copySlice.immediate(slice)
    for (const { written, entries } of slice) {
      written.tail.splice(0, entries.length)
      for (const entry of entries) {
        owedRows -= entry.rows
        owedBytes -= entry.bytes
      }
    }
  }

  /** Whole entries, at least one if there is any, of as many partitions as it takes. Those without any are `left` no more. */
  function takeSlice(left: number[], through: number, rowsMax: number): readonly Share[] {
    const slice: Share[] = []
    let rows = 0
    let bytes = 0
    const isFull = (): boolean => rows >= rowsMax || bytes >= sliceBytesMax
    for (let partition = left.at(-1); partition !== undefined && !isFull(); partition = left.at(-1)) {
      const written = partitions.get(partition)
      const entries: TailEntry[] = []
      for (const entry of written?.tail ?? []) {
        if (entry.firstId > through || isFull()) break
        entries.push(entry)
        rows += entry.rows
        bytes += entry.bytes
      }
      if (written !== undefined && entries.length > 0) slice.push({ partition, written, entries })
      if (!isFull()) left.pop()
    }
    return slice
  }

  /**
   * Not synced: until a later commit is, a crash loses the last slices whole and leaves the rows in the tail. The frames
   * of the WAL count in their order, so a commit that is synced takes the slices before it along.
   */
  function unsynced(action: () => void): void {
    database.exec('pragma synchronous = normal')
    action()
    database.exec('pragma synchronous = full')
  }

  const isDue = (rows: number): boolean =>
    owedRows >= rows || owedBytes >= (rows / sliceRowsMax) * sliceBytesMax

  return {
    appended(amount) {
      rows += amount.rows
      bytes += amount.bytes
      if (round === null) return
      owedRows += amount.rows * pace
      owedBytes += amount.bytes * pace
    },
    keepUp(isBusy) {
      if (round === null && (rows >= roundRowsMin || bytes >= roundBytesMin)) begin()
      if (round === null || !isDue(gapRowsMax)) return
      unsynced(() => {
        while (round !== null) {
          const isWaitedFor = isBusy()
          if (!isDue(isWaitedFor ? rowsPutOffMax : gapRowsMax)) return
          step(round, isWaitedFor ? sliceRowsMax : gapRowsMax)
        }
      })
    },
    foldOn(rowsMin) {
      if (round === null && (rows < rowsMin || !begin())) return false
      unsynced(() => {
        if (round !== null) step(round, sliceRowsMax)
      })
      return true
    },
  }
}

function idsOf(entries: readonly TailEntry[]): number[] {
  const ids: number[] = []
  for (const { firstId, rows } of entries) {
    for (let id = firstId; id < firstId + rows; id += 1) ids.push(id)
  }
  return ids
}

/** What one partition gives to a slice: the first entries of its tail. */
interface Share {
  readonly partition: number
  readonly written: WrittenPartition
  readonly entries: readonly TailEntry[]
}
