// What the disk and SQLite allow: the rows of deposits, written as the store's best writer does, with nothing else around
// it: rows appended to the tail in one transaction with one fsync per group, and between the groups as many moved into
// the log by the store's own fold. No decoding, no checks, no thread, no hashing. A node cannot be faster than this.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { partitionOf } from '../src/core/partition-of.ts'
import { createCommandId } from '../src/node/command-id.ts'
import { createKindsOfLog } from '../src/store/sqlite/event-kinds.ts'
import { migrate, migrations } from '../src/store/sqlite/sqlite-schema.ts'
import { createTailFold } from '../src/store/sqlite/tail-fold.ts'
import { newPartition, type WrittenPartition } from '../src/store/sqlite/written-partition.ts'
import { type Measurement, summarize } from './measure.ts'
import { accountId, type BenchSettings, runPart } from './settings.ts'

const partitions = 32

/** The pragmas of the store's writer. */
function openDatabase(path: string): Database.Database {
  const database = new Database(path)
  database.pragma('page_size = 4096')
  database.pragma('journal_mode = wal')
  database.pragma('synchronous = full')
  database.pragma('wal_autocheckpoint = 16000')
  database.pragma('cache_size = -65536')
  migrate(database, { location: path, migrations })
  database.pragma('temp_store = memory')
  return database
}

function createGroupCommit(database: Database.Database, accounts: number): (size: number) => void {
  const insert = database.prepare(
    `insert into tail (id, partition, idx, offset, term, kind, aggregate_type, aggregate_id, sequence, event_type,
       event_version, data, metadata, command_id, time_ms, hash, payload, commit_idx)
     values (?, ?, ?, 0, 1, 'command', 'bank_account', ?, ?, 'CustomerDepositedCash', 1, ?, '{}', ?, ?, ?, null, ?)`,
  )
  const writeRow = database.prepare(
    `insert into partitions (partition, term, vote, commit_idx, last_idx, events) values (?, 1, null, ?, ?, ?)
     on conflict (partition) do update set commit_idx = excluded.commit_idx, last_idx = excluded.last_idx,
       events = excluded.events`,
  )
  const ids = Array.from({ length: accounts }, (_, number) => accountId(number))
  const homes = ids.map(id => partitionOf({ type: 'bank_account', id }, partitions))
  const written = new Map<number, WrittenPartition>()
  for (let partition = 1; partition <= partitions; partition += 1) written.set(partition, newPartition())
  const sequences = new Array<number>(accounts).fill(0)
  const hash = randomBytes(32)
  let next = 0
  const append = database.transaction((size: number) => {
    for (let row = 0; row < size; row += 1) {
      const account = next++ % accounts
      const partition = homes[account] ?? 0
      const place = written.get(partition)
      if (place === undefined) throw new Error(`partition ${partition} is not among the ${partitions}`)
      const before = place.lastIndex
      place.lastIndex += 1
      const sequence = (sequences[account] ?? 0) + 1
      sequences[account] = sequence
      const data = `{"amount":1,"balance":${sequence}}`
      insert.run(
        next,
        partition,
        place.lastIndex,
        ids[account],
        sequence,
        data,
        createCommandId(),
        Date.now(),
        hash,
        before,
      )
      place.tail.push({ index: place.lastIndex, firstId: next, rows: 1, events: 1, bytes: data.length })
      fold.appended({ rows: 1, bytes: data.length })
    }
  })
  const fold = createTailFold({
    database,
    partitions: written,
    lastId: () => next,
    writePartition: (partition, { foldedIndex, foldedEvents }) =>
      writeRow.run(partition, foldedIndex, foldedIndex, foldedEvents),
    kinds: createKindsOfLog(database),
    onPurged: () => {},
  })
  for (const [partition] of written) writeRow.run(partition, 0, 0, 0)
  return size => {
    append.immediate(size)
    // The next group is there already.
    fold.keepUp(() => true)
  }
}

function measureRaw(
  { folder, warmUpMs, durationMs, accounts }: BenchSettings,
  inFlight: number,
): Measurement {
  const database = openDatabase(join(folder, `raw-${inFlight}.db`))
  try {
    const commit = createGroupCommit(database, accounts)
    const startsAt = performance.now() + warmUpMs
    while (performance.now() < startsAt) commit(inFlight)
    const latencies: number[] = []
    const began = performance.now()
    let now = began
    while (now - began < durationMs) {
      commit(inFlight)
      const committed = performance.now()
      // All that were in flight are answered by this commit.
      for (let row = 0; row < inFlight; row += 1) latencies.push(committed - now)
      now = committed
    }
    return summarize(inFlight, latencies, now - began)
  } finally {
    database.close()
  }
}

await runPart(async settings => settings.inFlight.map(inFlight => measureRaw(settings, inFlight)))
