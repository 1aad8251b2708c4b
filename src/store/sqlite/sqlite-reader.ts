// Everything the main thread reads: prepared statements on a read-only connection, synchronous.
import type { Database } from 'better-sqlite3'
import type { AggregateKey } from '../../core/command.ts'
import { GlynError } from '../../core/errors.ts'
import { type ConfigurationEntry, decodeConfiguration } from '../../raft/configuration.ts'
import type { Entry } from '../../raft/entry.ts'
import { entryBytes } from '../../raft/entry-bytes.ts'
import type { LogReader } from '../../raft/raft.ts'
import { storageIdSetting } from '../check-write.ts'
import { encodeRecord } from '../record-codec.ts'
import type { LocalStore, RecoveredPartition } from '../store.ts'
import { prepareEventKinds } from './event-kinds.ts'
import { type AggregateRow, type EntryRow, prepareReaderStatements } from './reader-statements.ts'
import { boundedIndex, rowIndexMax } from './row-id.ts'
import { preparePartitionReader, sequenceColumn, toEvents } from './sqlite-log-reader.ts'
import { createTailAggregates, createTailPlaces } from './tail-follower.ts'

export type SqliteReader = Pick<
  LocalStore,
  | 'recover'
  | 'log'
  | 'readAggregate'
  | 'readCommand'
  | 'readPartition'
  | 'latestSnapshot'
  | 'settings'
  | 'aggregates'
  | 'eventKinds'
  | 'snapshots'
> & { statistics(): { readonly events: number; readonly entries: number; readonly bytes: number } }

/** Throws what SQLite throws, and STORE_CORRUPT for rows that do not fit together. */
export function createSqliteReader(database: Database, location: string): SqliteReader {
  const statements = prepareReaderStatements(database)
  const places = createTailPlaces(database)
  const streams = createTailAggregates(database)
  const readPartition = preparePartitionReader(database, places)

  const corrupt = (message: string): GlynError =>
    new GlynError('STORE_CORRUPT', `store ${location}: ${message}`)

  function toEntry(partition: number, rows: readonly EntryRow[]): Entry {
    const [first] = rows
    if (first === undefined || first.hash === null || first.hash.length !== 32) {
      throw corrupt(`partition ${partition}, index ${first?.idx}: it has no hash`)
    }
    const { idx: index, term, kind, hash } = first
    return { index, term, kind, payload: payloadOf(partition, rows), hash: plain(hash) }
  }

  function payloadOf(partition: number, rows: readonly EntryRow[]): Uint8Array {
    const [first] = rows
    if (first === undefined || first.kind !== 'command') return plain(first?.payload ?? noBytes)
    if (first.payload !== null) return plain(first.payload)
    const { aggregate_type: type, aggregate_id: id, command_id, sequence, time_ms, metadata } = first
    if (type === null || id === null || command_id === null || sequence === null || metadata === null) {
      throw corrupt(`partition ${partition}, index ${first.idx}: a command without its columns`)
    }
    return encodeRecord({
      aggregate: { type, id },
      commandId: command_id,
      firstSequence: sequence,
      timeMs: time_ms ?? 0,
      metadata,
      events: rows.map(row => ({
        type: row.event_type ?? '',
        version: row.event_version ?? 1,
        data: row.data ?? '',
      })),
    })
  }

  /** The rows of entries from..to: what the log has, then what the tail has beyond it. */
  function* entryRows(partition: number, from: number, to: number): Iterable<EntryRow> {
    const throughIndex = boundedIndex(to)
    let afterIndex = boundedIndex(from - 1)
    for (const row of statements.readEntries.iterate(partition, afterIndex, partition, throughIndex)) {
      afterIndex = row.idx
      yield row
    }
    if (afterIndex >= throughIndex) return
    places.catchUp()
    const limit = Number.MAX_SAFE_INTEGER
    for (const id of places.idsBetween(partition, { afterIndex, throughIndex, limit })) {
      const row = statements.readTailEntry.get(id)
      if (row !== undefined) yield row
    }
  }

  function readEntries(partition: number, from: number, to: number, bytesMax: number): Entry[] {
    const entries: Entry[] = []
    let bytes = 0
    let rows: EntryRow[] = []
    /** False: it does not fit. */
    const finish = (): boolean => {
      if (rows.length === 0) return true
      const entry = toEntry(partition, rows)
      if (entry.index !== from + entries.length) {
        throw corrupt(`partition ${partition}: index ${from + entries.length} is missing`)
      }
      bytes += entryBytes(entry)
      if (bytes > bytesMax && entries.length > 0) return false
      entries.push(entry)
      rows = []
      return true
    }
    for (const row of entryRows(partition, from, to)) {
      if (row.offset === 0 && !finish()) return entries
      rows.push(row)
    }
    finish()
    return entries
  }

  /** The first row of one entry, wherever it is. */
  function readFirstRow(partition: number, index: number): EntryRow | undefined {
    for (const row of entryRows(partition, index, index)) return row
    return undefined
  }

  const readEntriesAtOnce = database.transaction(readEntries)
  const readFirstRowAtOnce = database.transaction(readFirstRow)

  const logOf = (partition: number): LogReader => ({
    entries: (from, to, bytesMax) => readEntriesAtOnce(partition, from, to, bytesMax),
    term: index => readFirstRowAtOnce(partition, index)?.term,
    hash(index) {
      const hash = readFirstRowAtOnce(partition, index)?.hash
      return hash === undefined || hash === null ? undefined : plain(hash)
    },
  })

  const readAggregate: LocalStore['readAggregate'] = database.transaction(
    (aggregate: AggregateKey, range: Parameters<LocalStore['readAggregate']>[1]) => {
      const { type, id } = aggregate
      const { partition, fromSequence, throughIndex, limit } = range
      const rows = statements.readAggregate.all(type, id, fromSequence, partition, throughIndex, limit)
      if (rows.length < limit) {
        streams.catchUp()
        const after = rows.at(-1)?.[sequenceColumn] ?? fromSequence - 1
        const rest = { fromSequence: after + 1, throughIndex, limit: limit - rows.length }
        for (const rowid of streams.idsFrom({ partition, type, id }, rest)) {
          const row = statements.readTailEvent.get(rowid)
          if (row !== undefined) rows.push(row)
        }
      }
      return toEvents(partition, rows)
    },
  )

  const readCommand: LocalStore['readCommand'] = database.transaction(
    (aggregate: AggregateKey, command: Parameters<LocalStore['readCommand']>[1]) => {
      const { type, id } = aggregate
      const { partition, commandId, throughIndex } = command
      const inLog = statements.findCommand.get(partition, commandId, throughIndex, type, id)
      if (inLog !== undefined) {
        return toEvents(partition, statements.readEvents.all(partition, inLog - 1, partition, inLog))
      }
      streams.catchUp()
      const index = streams.indexOfCommand({ partition, type, id }, commandId)
      if (index === undefined || index > throughIndex) return []
      places.catchUp()
      const one = { afterIndex: index - 1, throughIndex: index, limit: Number.MAX_SAFE_INTEGER }
      const rows = places.idsBetween(partition, one).map(rowid => statements.readTailEvent.get(rowid))
      return toEvents(
        partition,
        rows.filter(row => row !== undefined),
      )
    },
  )

  /** The ends of the partitions in the tail: the log's end, where the tail has nothing of it. */
  function readTailEnds(): ReadonlyMap<number, { readonly lastIndex: number; readonly commit: number }> {
    const ends = new Map<number, { lastIndex: number; commit: number }>()
    for (const { partition, logEnd, index, commit } of statements.readTailEntries.iterate()) {
      const lastIndex = ends.get(partition)?.lastIndex ?? logEnd
      if (index !== lastIndex + 1) {
        throw corrupt(`partition ${partition}: index ${lastIndex + 1} is missing, ${index} follows`)
      }
      ends.set(partition, { lastIndex: index, commit })
    }
    return ends
  }

  function recover(): RecoveredPartition[] {
    const ends = readTailEnds()
    const configurations = new Map<number, ConfigurationEntry[]>()
    for (const { partition, index, payload } of statements.readTailConfigurations.all()) {
      const list = configurations.get(partition)
      const configuration = decodeConfiguration(payload)
      if (list === undefined) configurations.set(partition, [{ index, configuration }])
      else list.push({ index, configuration })
    }
    return statements.readPartitions.all().map(({ partition, term, vote, commit, lastIndex }) => {
      const found = statements.readLastIndex.get(partition, 0, partition, rowIndexMax) ?? 0
      if (found !== lastIndex) {
        throw corrupt(`partition ${partition}: the log ends at ${found}, but ${lastIndex} was written`)
      }
      const inLog = statements.readConfigurations
        .all(partition)
        .map(({ index, payload }) => ({ index, configuration: decodeConfiguration(payload) }))
      const end = ends.get(partition)
      return {
        partition,
        hardState: { term, vote, commit: Math.max(commit, end?.commit ?? 0) },
        lastIndex: end?.lastIndex ?? lastIndex,
        configurations: [...inLog, ...(configurations.get(partition) ?? [])],
      }
    })
  }

  const storedCommits = (): ReadonlyMap<number, number> =>
    new Map(statements.readCommits.all().map(({ partition, commit }) => [partition, commit]))

  /** The last committed sequence of one aggregate; null when nothing of it is committed. */
  function committedSequence(
    key: AggregateKey,
    inTail: readonly AggregateRow[],
    committed: (partition: number) => number,
  ): number | null {
    for (const row of inTail) if (row.idx <= committed(row.partition)) return row.sequence
    for (const row of statements.readPlaces.iterate(key.type, key.id)) {
      if (row.idx <= committed(row.partition)) return row.sequence
    }
    return null
  }

  /** By type and id: what the tail has of each aggregate, the last event first. */
  function* tailAggregates(type: string | undefined): Generator<readonly AggregateRow[], undefined> {
    let rows: AggregateRow[] = []
    for (const row of statements.readTailAggregates.all({ type: type ?? null })) {
      const [first] = rows
      if (first !== undefined && (first.type !== row.type || first.id !== row.id)) {
        yield rows
        rows = []
      }
      rows.push(row)
    }
    if (rows.length > 0) yield rows
    return undefined
  }

  const aggregates: LocalStore['aggregates'] = database.transaction(
    ({ type, after, limit, commitIndexOf }: Parameters<LocalStore['aggregates']>[0]) => {
      const stored = commitIndexOf === undefined ? storedCommits() : undefined
      const committed = commitIndexOf ?? (partition => stored?.get(partition) ?? 0)
      const listed: (AggregateKey & { readonly sequence: number })[] = []
      const tail = tailAggregates(type)
      const nextInLog = (before: AggregateKey): AggregateKey | undefined => {
        const key = statements.nextAggregate.get(before.type, before.id)
        return key !== undefined && (type === undefined || key.type === type) ? key : undefined
      }
      let inLog = nextInLog(after ?? { type: type ?? '', id: '' })
      let inTail = tail.next().value
      while (after !== undefined && inTail !== undefined && compareKeys(inTail[0], after) <= 0)
        inTail = tail.next().value
      while (listed.length < limit) {
        const order = compareKeys(inLog, inTail?.[0])
        const key = order <= 0 ? inLog : inTail?.[0]
        if (key === undefined) break
        const sequence = committedSequence(key, order >= 0 ? (inTail ?? []) : [], committed)
        if (sequence !== null) listed.push({ type: key.type, id: key.id, sequence })
        if (order >= 0) inTail = tail.next().value
        if (order <= 0) inLog = nextInLog(key)
      }
      return listed
    },
  )

  return {
    // One transaction: a commit between the statements would look like a log that does not end where it should.
    recover: database.transaction(recover),
    log: logOf,
    readAggregate,
    readCommand,
    readPartition,
    latestSnapshot({ type, id }) {
      const row = statements.readSnapshot.get(type, id)
      return row === undefined ? undefined : { aggregate: { type, id }, ...row }
    },
    settings: () =>
      new Map(statements.readSettings.all(storageIdSetting).map(({ name, value }) => [name, value])),
    statistics: () => ({
      ...(statements.readCounts.get() ?? { events: 0, entries: 0 }),
      bytes: statements.readBytes.get() ?? 0,
    }),
    aggregates,
    eventKinds: prepareEventKinds(database),
    snapshots({ type, after, limit }) {
      const rows = statements.readSnapshots.all(after?.type ?? type ?? '', after?.id ?? '', limit)
      return rows
        .filter(row => type === undefined || row.type === type)
        .map(({ type: ofType, id, ...row }) => ({ aggregate: { type: ofType, id }, ...row }))
    },
  }
}

/** Nothing comes after everything. By the bytes of UTF-8, as SQLite orders texts. */
function compareKeys(a: AggregateKey | undefined, b: AggregateKey | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined)
  return (
    Buffer.compare(Buffer.from(a.type), Buffer.from(b.type)) ||
    Buffer.compare(Buffer.from(a.id), Buffer.from(b.id))
  )
}

const noBytes = new Uint8Array(0)

/** A Uint8Array over the same memory: a Buffer is one too, but compares and prints differently. */
const plain = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
