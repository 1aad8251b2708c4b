// The one connection that writes. Lives in the writer thread; knows nothing of threads.
import { randomUUID } from 'node:crypto'
import Database from 'better-sqlite3'
import { invariant } from '../../core/assert.ts'
import { GlynError } from '../../core/errors.ts'
import type { Entry } from '../../raft/entry.ts'
import type { HardState } from '../../raft/raft.ts'
import { checkWrite, storageIdIsReserved, storageIdSetting } from '../check-write.ts'
import { decodeRecord, isEncodingOf } from '../record-codec.ts'
import type { PartitionWrite, Snapshot } from '../store.ts'
import { createKindsOfLog } from './event-kinds.ts'
import { createLastSequences } from './last-sequences.ts'
import { checkPlace, rowIndexMax, rowsBetween } from './row-id.ts'
import { migrate, migrations } from './sqlite-schema.ts'
import { createTailFold } from './tail-fold.ts'
import { newPartition, type TailEntry, type WrittenPartition } from './written-partition.ts'

/** Measured best of 2, 4, 8 and 16 KiB for rows of some hundred bytes. Only new databases take it. */
const pageBytes = 4096
/**
 * Pages of the WAL (64 MB) after which a commit checkpoints it, some ten thousand commands. With a quarter of it a node takes
 * a fifth less commands, and no command waits less long (measured); with more there would be more to read after a crash.
 */
const checkpointPages = 16_000
const cacheBytes = 64 * 1024 * 1024

export interface WriteGroup {
  readonly writes: readonly PartitionWrite[]
  readonly snapshots: readonly Snapshot[]
  readonly settings: readonly (readonly [name: string, value: string | null])[]
}

/** After one of these threw, the writer must not be used again. */
export interface SqliteWriter {
  readonly storageId: string
  /** One transaction, one fsync. */
  commit(group: WriteGroup): void
  /** To be called between commits: moves rows from the tail into the log, as many as lately came. `isBusy`: the next commit waits. */
  keepUp(isBusy: () => boolean): void
  /** To be called when there is nothing to commit: moves some rows, if at least so many wait. False: it did nothing. */
  foldOn(rowsMin: number): boolean
  close(): void
}

/** Opens, makes or migrates the database. Throws what SQLite throws, STORE_FORMAT, and InvariantErrors. */
export function openSqliteWriter(
  path: string,
  options: Pick<Parameters<typeof migrate>[1], 'onMigrating'> = {},
): SqliteWriter {
  const database = new Database(path)
  try {
    database.pragma(`page_size = ${pageBytes}`)
    const mode = database.pragma('journal_mode = wal', { simple: true })
    invariant(mode === 'wal', `store ${path}: journal_mode is ${mode}, not wal`)
    database.pragma('synchronous = full')
    database.pragma(`wal_autocheckpoint = ${checkpointPages}`)
    database.pragma(`cache_size = ${-cacheBytes / 1024}`)
    database.pragma('cell_size_check = on')
    migrate(database, { ...options, location: path, migrations })
    // The journals of statements stay in memory. A migration sorts whole histories: that is for the disk.
    database.pragma('temp_store = memory')
    const storageId = readStorageId(database)
    // Compiled with SQLITE_DEFAULT_WAL_SYNCHRONOUS=1, SQLite may fall back to NORMAL at the first write.
    const synchronous = database.pragma('synchronous', { simple: true })
    invariant(synchronous === 2, `store ${path}: synchronous is ${synchronous} after a write, not 2 (full)`)
    return createWriter(database, storageId, path)
  } catch (error) {
    database.close()
    throw error
  }
}

/** Writes in any case, so that what can only fail at a write fails when the store is opened. */
function readStorageId(database: Database.Database): string {
  database
    .prepare(
      'insert into settings (name, value) values (?, ?) on conflict (name) do update set value = value',
    )
    .run(storageIdSetting, randomUUID())
  return database
    .prepare<[string], string>('select value from settings where name = ?')
    .pluck()
    .get(storageIdSetting) as string
}

function createWriter(database: Database.Database, storageId: string, path: string): SqliteWriter {
  const statements = prepareStatements(database)
  const partitions = new Map<number, WrittenPartition>()
  for (const { partition, term, vote, commit, lastIndex, events } of statements.readPartitions.all()) {
    const hardState = { term, vote, commit }
    partitions.set(partition, {
      hardState,
      lastIndex,
      foldedIndex: lastIndex,
      foldedEvents: events,
      tail: [],
    })
  }
  let lastId = Number(statements.readLastId.get() ?? 0)
  /** Of the transaction under way: partitions whose row has to be written. */
  const changed = new Map<number, WrittenPartition>()
  const lastSequences = createLastSequences(database)
  const kinds = createKindsOfLog(database)
  const fold = createTailFold({
    database,
    partitions,
    lastId: () => lastId,
    writePartition,
    kinds,
    onPurged: () => lastSequences.maybeForget(),
  })
  for (const row of statements.readTail.all()) recoverEntry(row)

  function recoverEntry({ partition, index, firstId, rows, events, bytes, commit }: TailRow): void {
    const written = partitions.get(partition)
    if (written !== undefined && index <= written.foldedIndex) return
    if (written === undefined || index !== written.lastIndex + 1) {
      throw new GlynError(
        'STORE_CORRUPT',
        `store ${path}: partition ${partition}: index ${(written?.lastIndex ?? 0) + 1} is missing, ${index} follows`,
      )
    }
    written.tail.push({ index, firstId, rows, events, bytes })
    written.lastIndex = index
    written.hardState = { ...written.hardState, commit: Math.max(commit, written.hardState.commit) }
    fold.appended({ rows, bytes })
  }

  function applyWrite(write: PartitionWrite): void {
    const { partition, truncateFrom, entries } = write
    const known = partitions.get(partition)
    const written = known ?? newPartition()
    checkWrite(write, written)
    const before = written.hardState
    const hardState = write.hardState ?? before
    if (known === undefined) partitions.set(partition, written)
    if (truncateFrom !== null && truncateFrom <= written.lastIndex) {
      truncate(partition, written, truncateFrom)
      changed.set(partition, written)
    }
    for (const entry of entries) insertEntry(partition, written, { entry, commit: hardState.commit })
    written.hardState = hardState
    // A commit index goes with the rows; alone it needs the partition's own.
    const isVote = hardState.term !== before.term || hardState.vote !== before.vote
    const isCommitAlone = hardState.commit !== before.commit && entries.length === 0
    if (known === undefined || isVote || isCommitAlone) changed.set(partition, written)
  }

  function truncate(partition: number, written: WrittenPartition, from: number): void {
    if (from <= written.foldedIndex) {
      const range = [partition, from - 1, partition, rowIndexMax] as const
      kinds.truncating(partition, from)
      written.foldedEvents -= statements.countEvents.get(...range) ?? 0
      statements.truncateLog.run(...range)
      written.foldedIndex = from - 1
    }
    // Also copies of what the log had.
    statements.truncateTail.run(partition, from)
    statements.nextEpoch.run()
    written.tail = written.tail.filter(({ index }) => index < from)
    written.lastIndex = from - 1
    lastSequences.reload()
  }

  function insertEntry(
    partition: number,
    written: WrittenPartition,
    { entry, commit }: { readonly entry: Entry; readonly commit: number },
  ): void {
    const { index, payload } = entry
    const firstId = lastId + 1
    const events = entry.kind === 'command' ? insertEvents(partition, entry, commit) : 0
    if (entry.kind !== 'command') {
      lastId += 1
      checkPlace({ partition, index, rows: 1 })
      statements.insertOther.run(
        lastId,
        partition,
        index,
        entry.term,
        entry.kind,
        entry.hash,
        payload,
        commit,
      )
    }
    const rows = lastId + 1 - firstId
    written.tail.push({ index, firstId, rows, events, bytes: payload.length })
    written.lastIndex = index
    fold.appended({ rows, bytes: payload.length })
  }

  /** Returns how many events it holds. */
  function insertEvents(partition: number, entry: Entry, commit: number): number {
    const { index, term, payload, hash } = entry
    const record = decodeRecord(payload)
    const { aggregate, commandId, firstSequence, metadata, timeMs, events } = record
    checkPlace({ partition, index, rows: events.length })
    lastSequences.take(record, { partition, index })
    const isCanonical = isEncodingOf(record, payload)
    for (let offset = 0; offset < events.length; offset += 1) {
      const event = events[offset]
      if (event === undefined) continue
      lastId += 1
      statements.insertEvent.run(
        lastId,
        partition,
        index,
        offset,
        term,
        aggregate.type,
        aggregate.id,
        firstSequence + offset,
        event.type,
        event.version,
        event.data,
        metadata,
        commandId,
        timeMs,
        offset === 0 ? hash : null,
        offset === 0 && !isCanonical ? payload : null,
        commit,
      )
    }
    return events.length
  }

  function writePartition(
    partition: number,
    { hardState: { term, vote, commit }, foldedIndex, foldedEvents }: WrittenPartition,
  ): void {
    statements.writePartition.run(partition, term, vote, commit, foldedIndex, foldedEvents)
  }

  const commit = database.transaction((group: WriteGroup) => {
    for (const write of group.writes) applyWrite(write)
    for (const [partition, written] of changed) writePartition(partition, written)
    changed.clear()
    for (const snapshot of group.snapshots) {
      const { aggregate, sequence, partition, index, state, definition, timeMs } = snapshot
      statements.writeSnapshot.run(
        aggregate.type,
        aggregate.id,
        sequence,
        partition,
        index,
        state,
        definition,
        timeMs,
      )
    }
    for (const [name, value] of group.settings) {
      invariant(name !== storageIdSetting, storageIdIsReserved)
      if (value === null) statements.removeSetting.run(name)
      else statements.writeSetting.run(name, value)
    }
  })

  return {
    storageId,
    commit: group => commit.immediate(group),
    keepUp: fold.keepUp,
    foldOn: fold.foldOn,
    close: () => database.close(),
  }
}

type PartitionRow = HardState & {
  readonly partition: number
  readonly lastIndex: number
  readonly events: number
}

type TailRow = TailEntry & { readonly partition: number; readonly commit: number }

function prepareStatements(database: Database.Database) {
  return {
    readPartitions: database.prepare<[], PartitionRow>(
      'select partition, term, vote, commit_idx as "commit", last_idx as lastIndex, events from partitions',
    ),
    readLastId: database
      .prepare<[], number>(
        'select max(folded_through, coalesce((select max(id) from tail), 0)) from tail_state',
      )
      .pluck(),
    readTail: database.prepare<[], TailRow>(
      `select partition, idx as "index", min(id) as firstId, count(*) as rows, sum(kind = 'command') as events,
         sum(length(coalesce(data, payload, ''))) as bytes, max(commit_idx) as "commit"
       from tail group by partition, idx order by partition, idx`,
    ),
    insertEvent: database.prepare(
      `insert into tail (id, partition, idx, offset, term, kind, aggregate_type, aggregate_id, sequence, event_type,
         event_version, data, metadata, command_id, time_ms, hash, payload, commit_idx)
       values (?, ?, ?, ?, ?, 'command', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    insertOther: database.prepare(
      `insert into tail (id, partition, idx, offset, term, kind, hash, payload, commit_idx)
       values (?, ?, ?, 0, ?, ?, ?, ?, ?)`,
    ),
    countEvents: database
      .prepare<[number, number, number, number], number>(
        `select count(*) from log where ${rowsBetween} and kind = 'command'`,
      )
      .pluck() as Database.Statement<[number, number, number, number], number>,
    truncateLog: database.prepare<[number, number, number, number]>(`delete from log where ${rowsBetween}`),
    truncateTail: database.prepare('delete from tail where partition = ? and idx >= ?'),
    nextEpoch: database.prepare('update tail_state set epoch = epoch + 1'),
    writePartition: database.prepare(
      `insert into partitions (partition, term, vote, commit_idx, last_idx, events) values (?, ?, ?, ?, ?, ?)
       on conflict (partition) do update set term = excluded.term, vote = excluded.vote,
         commit_idx = excluded.commit_idx, last_idx = excluded.last_idx, events = excluded.events`,
    ),
    writeSnapshot: database.prepare(
      `insert into snapshots (aggregate_type, aggregate_id, sequence, partition, idx, state, definition, time_ms)
       values (?, ?, ?, ?, ?, ?, ?, ?)
       on conflict (aggregate_type, aggregate_id) do update set sequence = excluded.sequence,
         partition = excluded.partition, idx = excluded.idx, state = excluded.state,
         definition = excluded.definition, time_ms = excluded.time_ms
       where excluded.sequence >= sequence or excluded.definition <> definition`,
    ),
    writeSetting: database.prepare(
      'insert into settings (name, value) values (?, ?) on conflict (name) do update set value = excluded.value',
    ),
    removeSetting: database.prepare('delete from settings where name = ?'),
  }
}
