// Rows on their way from the tail into the log: whatever stands where, every reader sees one whole history.
import { copyFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { Worker } from 'node:worker_threads'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import type { Entry } from '../../src/raft/entry.ts'
import { hashEntry } from '../../src/store/hash-entry.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { decodeRecord } from '../../src/store/record-codec.ts'
import { openReadConnection } from '../../src/store/sqlite/sqlite-connection.ts'
import { openSqliteLogReader } from '../../src/store/sqlite/sqlite-log-reader.ts'
import { createSqliteReader } from '../../src/store/sqlite/sqlite-reader.ts'
import { migrate, migrations } from '../../src/store/sqlite/sqlite-schema.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { openSqliteWriter, type SqliteWriter } from '../../src/store/sqlite/sqlite-writer.ts'
import type { PartitionWrite, StoreBatch } from '../../src/store/store.ts'
import { verifyLog } from '../../src/store/verify-log.ts'
import { batchOf, type Chain, createChain } from './entries.ts'
import { createRandom } from './random.ts'
import { runChild } from './run-child.ts'

const everything = { afterIndex: 0, throughIndex: Number.MAX_SAFE_INTEGER, limit: 100_000 }
const partitions = [0, 1, 1024]

const commit = (writer: SqliteWriter, { partitions: writes, snapshots, settings }: StoreBatch): void =>
  writer.commit({ writes, snapshots, settings: Object.entries(settings) })

/** Folds whatever the tail has. Returns how many transactions it took. */
function foldAll(writer: SqliteWriter): number {
  let steps = 0
  while (writer.foldOn(1)) steps += 1
  return steps
}

function openDatabase(t: Test, path: string) {
  const writer = openSqliteWriter(path)
  const connection = openReadConnection(path)
  t.teardown(() => {
    connection.close()
    writer.close()
  })
  return { writer, connection, reader: createSqliteReader(connection, path) }
}

/** Commands of three aggregates in turn, of one to three events. */
function fill(chain: Chain, entries: number, name = 'a'): readonly Entry[] {
  const from = chain.entries.length
  for (let number = 0; number < entries; number += 1) {
    chain.command(`${name}${number % 3}`, { events: 1 + (number % 3) })
  }
  return chain.entries.slice(from)
}

const seed = Number(process.env['GLYN_SEED'] ?? Math.floor(Math.random() * 1_000_000))

t.test(`at every step of folds, commits and truncations all reads are whole (GLYN_SEED=${seed})`, async t => {
  const random = createRandom(seed)
  const upTo = (limit: number): number => Math.floor(random() * limit)
  const path = join(t.testdir(), 'glyn.db')
  const { writer, reader, connection } = openDatabase(t, path)
  const worker = openSqliteLogReader(path)
  t.teardown(() => worker.close())
  const view = connection.prepare<[], { partition: number; index: number; offset: number; data: string }>(
    'select partition, "index", offset, data from events order by partition, "index", offset',
  )
  const memory = createMemoryStore()
  const chains = new Map(partitions.map(partition => [partition, createChain({ partition })]))
  const commits = new Map<number, number>()
  /** Commit indexes that were written. */
  const stored = new Map<number, number>()
  let truncations = 0

  function randomWrite(partition: number, chain: Chain): PartitionWrite {
    let committed = commits.get(partition) ?? 0
    let truncateFrom: number | null = null
    if (random() < 0.15) {
      truncateFrom = committed + 1 + upTo(chain.entries.length - committed + 2)
      if (truncateFrom <= chain.entries.length) {
        chain.cut(truncateFrom)
        truncations += 1
      }
      chain.term += 1
    }
    const from = chain.entries.length
    for (let count = upTo(30); count > 0; count -= 1) {
      const dice = random()
      if (dice < 0.05) chain.noop()
      else if (dice < 0.1) chain.config([`peer-${upTo(3)}/s`])
      else {
        const shared = random() < 0.2 ? { commandId: `shared-${upTo(5)}` } : {}
        const kind = random() < 0.3 ? { type: `T${upTo(3)}`, version: 1 + upTo(3) } : {}
        chain.command(`p${partition}-${upTo(4)}`, { events: 1 + upTo(4), ...shared, ...kind })
      }
    }
    if (random() < 0.5) committed += upTo(chain.entries.length - committed + 1)
    commits.set(partition, committed)
    const hardState =
      random() < 0.7 ? { term: chain.term, vote: `v${chain.term}/s`, commit: committed } : null
    if (hardState === null) commits.set(partition, stored.get(partition) ?? 0)
    else stored.set(partition, committed)
    return { partition, hardState, truncateFrom, entries: chain.entries.slice(from) }
  }
  function readEverything(store: typeof reader, dice: () => number) {
    const upTo = (limit: number): number => Math.floor(dice() * limit)
    const { events, entries } = store.statistics()
    const answers: unknown[] = [
      { events, entries },
      store.recover(),
      store.eventKinds(),
      store.aggregates({ limit: 1 + upTo(30) }),
      store.aggregates({
        after: { type: 'bank_account', id: `p${upTo(8)}-${upTo(5)}` },
        limit: 1 + upTo(30),
      }),
      store.aggregates({ limit: 1 + upTo(30), commitIndexOf: partition => (partition * 7) % 300 }),
    ]
    for (const partition of partitions) {
      const length = chains.get(partition)?.entries.length ?? 0
      const log = store.log(partition)
      const index = upTo(length + 2)
      const throughIndex = upTo(length + 5)
      const range = { afterIndex: upTo(length), throughIndex, limit: 1 + upTo(80) }
      answers.push(log.entries(1 + index, index + upTo(50), 1 + upTo(9000)), log.term(index), log.hash(index))
      answers.push(store.readPartition(partition, range), store.readPartition(partition, everything))
      for (let number = 0; number < 4; number += 1) {
        const aggregate = { type: 'bank_account', id: `p${partition}-${number}` }
        const events = { partition, fromSequence: 1 + upTo(200), throughIndex, limit: 1 + upTo(200) }
        const commandId = `shared-${upTo(5)}`
        answers.push(store.readAggregate(aggregate, events))
        answers.push(store.readAggregate(aggregate, { ...events, fromSequence: 1 }))
        answers.push(store.readCommand(aggregate, { partition, commandId, throughIndex }))
      }
    }
    return answers
  }

  /** Says what differs, and whether all is the same. */
  function isSame(found: unknown, wanted: unknown, what: string): boolean {
    // The test's own comparison is slow where thousands of events are the same, and good where they are not.
    return isDeepStrictEqual(found, wanted) || t.strictSame(found, wanted, what)
  }

  function isWhole(step: number): boolean {
    const read = (store: typeof reader) => readEverything(store, createRandom(seed + step))
    if (!isSame(read(reader), read(memory), `after step ${step}`)) return false
    const seen = view.all()
    return memory.recover().every(({ partition, hardState }) => {
      const range = { ...everything, throughIndex: hardState.commit }
      const wanted = memory.readPartition(partition, range)
      const inView = seen
        .filter(row => row.partition === partition)
        .map(({ index, offset, data }) => [index, offset, data])
      const places = wanted.map(({ index, offset, data }) => [index, offset, data])
      return (
        isSame(inView, places, `the view of partition ${partition} after step ${step}`) &&
        isSame(worker.readPartition(partition, range), wanted, 'a second connection')
      )
    })
  }

  let folds = 0
  for (let step = 1; step <= 120; step += 1) {
    if (random() < 0.6) folds += Number(writer.foldOn(1))
    else {
      const batch = batchOf({
        partitions: [...chains].filter(() => random() < 0.6).map(args => randomWrite(...args)),
      })
      await memory.write(batch)
      commit(writer, batch)
    }
    if (!isWhole(step)) return
  }
  t.ok(folds > 20, `${folds} slices and ends of folds`)
  t.ok(truncations > 2, `${truncations} truncations`)
})

t.test('a truncation reaches from the tail into the log, in the middle of a fold', t => {
  const { writer, reader, connection } = openDatabase(t, join(t.testdir(), 'glyn.db'))
  const chain = createChain()
  commit(writer, batchOf({ partitions: [{ partition: 1, entries: fill(chain, 500) }] }))
  writer.foldOn(1)
  commit(writer, batchOf({ partitions: [{ partition: 1, entries: fill(chain, 10) }] }))
  const inLog = Number(connection.prepare('select max(idx) from log').pluck().get())
  t.ok(inLog > 20 && inLog < 400, `the log ends at ${inLog}, the tail at 510`)
  chain.cut(20)
  chain.term = 2
  const hardState = { term: 2, vote: null, commit: 0 }
  const entries = fill(chain, 5)
  commit(writer, batchOf({ partitions: [{ partition: 1, hardState, truncateFrom: 20, entries }] }))
  for (let more = true; more; more = writer.foldOn(1)) {
    t.strictSame(reader.log(1).entries(1, 999, 1e9), chain.entries)
    t.match(reader.recover(), [{ lastIndex: 24, hardState }])
  }
  t.equal(connection.prepare('select count(*) from tail').pluck().get(), 0)
  t.equal(connection.prepare('select max(idx) from log').pluck().get(), 24)
  t.end()
})

t.test('a process that dies between the slices of a fold leaves one whole history', async t => {
  const path = join(t.testdir(), 'glyn.db')
  for (let steps = 0; ; steps += 1) {
    const child = runChild('./fold-and-die.ts', { arguments: [`${path}-${steps}`, String(steps)] })
    if (!t.equal(await child.ended, 'SIGKILL', child.errors())) return
    const folded = child.lines.filter(line => line === 'folded').length
    const store = await openSqliteStore({ path: `${path}-${steps}` })
    try {
      for (const partition of [1, 2]) {
        const chain = createChain({ partition })
        const entries = fill(chain, 300, `p${partition}-`)
        t.strictSame(
          store.log(partition).entries(1, 999, 1e9),
          entries,
          `${folded} steps, partition ${partition}`,
        )
        const walk = verifyLog(store.log(partition), { throughIndex: 300, hashEntry })
        for (let step = walk.next(); ; step = walk.next()) {
          if (step.done !== true) continue
          t.equal(step.value, null)
          break
        }
      }
      t.match(store.recover(), [{ lastIndex: 300 }, { lastIndex: 300 }])
      const [entry] = fill(createChain({ partition: 1, from: store.log(1).entries(1, 300, 1e9) }), 1, 'p1-')
      await store.write(
        batchOf({ partitions: [{ partition: 1, entries: entry === undefined ? [] : [entry] }] }),
      )
      t.equal(store.log(1).term(301), 1, 'and goes on')
    } finally {
      await store.close()
    }
    if (folded < steps) break
  }
})

t.test('a power cut takes slices of a fold, and nothing that was acknowledged', t => {
  const directory = t.testdir()
  const path = join(directory, 'glyn.db')
  const { writer } = openDatabase(t, path)
  const chain = createChain()
  const other = createChain({ partition: 2 })
  const hardState = { term: 1, vote: 'a/s', commit: 90 }
  commit(
    writer,
    batchOf({
      partitions: [
        { partition: 1, hardState, entries: fill(chain, 300) },
        { partition: 2, hardState, entries: fill(other, 300, 'b') },
      ],
    }),
  )
  writer.foldOn(1)
  commit(writer, batchOf({ partitions: [{ partition: 1, entries: fill(chain, 10) }] }))
  const synced = statSync(`${path}-wal`).size
  const steps = foldAll(writer)
  const wal = readFileSync(`${path}-wal`)
  t.ok(
    steps > 4 && wal.length > synced,
    `${steps} steps wrote ${wal.length - synced} bytes that were not synced`,
  )
  const frame = 4096 + 24
  for (let kept = synced; kept <= wal.length; kept += 7 * frame) {
    const cut = join(directory, `cut-${kept}.db`)
    copyFileSync(path, cut)
    writeFileSync(`${cut}-wal`, wal)
    truncateSync(`${cut}-wal`, kept)
    const again = openSqliteWriter(cut)
    const connection = openReadConnection(cut)
    const reader = createSqliteReader(connection, cut)
    try {
      const found = [reader.log(1).entries(1, 999, 1e9), reader.log(2).entries(1, 999, 1e9), reader.recover()]
      const wanted = [chain.entries, other.entries]
      if (!t.strictSame(found.slice(0, 2), wanted, `${kept} bytes kept`)) break
      t.match(found[2], [
        { hardState, lastIndex: 310 },
        { hardState, lastIndex: 300 },
      ])
      foldAll(again)
      t.strictSame(reader.log(1).entries(1, 999, 1e9), chain.entries)
    } finally {
      connection.close()
      again.close()
    }
  }
  t.end()
})

t.test(
  'what rows of the tail say of the commit index holds for a writer that opens the database again',
  t => {
    const path = join(t.testdir(), 'glyn.db')
    const chain = createChain()
    const entries = fill(chain, 10)
    const first = openSqliteWriter(path)
    const write = (commit: number, from: number, to: number): StoreBatch =>
      batchOf({
        partitions: [
          { partition: 1, hardState: { term: 1, vote: 'a/s', commit }, entries: entries.slice(from, to) },
        ],
      })
    commit(first, write(0, 0, 5))
    commit(first, write(4, 5, 10))
    first.close()
    const { writer, reader } = openDatabase(t, path)
    t.match(reader.recover(), [{ hardState: { commit: 4 } }])
    foldAll(writer)
    t.match(reader.recover(), [{ hardState: { commit: 4 } }], 'and stays when the rows are in the log')
    const cut = batchOf({ partitions: [{ partition: 1, truncateFrom: 4 }] })
    t.throws(() => commit(writer, cut), { message: /truncate from 4, but 4 is committed/ })
    t.end()
  },
)

t.test('a reader that outlives a writer is not misled by the rows of the next', t => {
  const path = join(t.testdir(), 'glyn.db')
  const chain = createChain()
  const add = (writer: SqliteWriter): void =>
    commit(writer, batchOf({ partitions: [{ partition: 1, entries: fill(chain, 10) }] }))
  const first = openSqliteWriter(path)
  const worker = openSqliteLogReader(path)
  t.teardown(() => worker.close())
  const indexes = (): readonly number[] => [
    ...new Set(worker.readPartition(1, everything).map(({ index }) => index)),
  ]
  add(first)
  t.equal(indexes().length, 10)
  foldAll(first)
  t.equal(indexes().length, 10)
  first.close()
  // The tail is empty, but its rows are not numbered from 1 again.
  const second = openSqliteWriter(path)
  t.teardown(() => second.close())
  add(second)
  t.strictSame(
    indexes(),
    Array.from({ length: 20 }, (_, place) => place + 1),
  )
  t.end()
})

t.test('a tail that grows without a pause is folded between the commits, and stays bounded', t => {
  const { writer, connection, reader } = openDatabase(t, join(t.testdir(), 'glyn.db'))
  const countTail = connection.prepare('select count(*) from tail').pluck()
  const chains = [1, 2, 3].map(partition => createChain({ partition }))
  let longest = 0
  for (let number = 0; number < 300; number += 1) {
    const writes = chains.map((chain, place) => ({
      partition: place + 1,
      entries: Array.from({ length: 100 }, () => chain.noop()),
    }))
    commit(writer, batchOf({ partitions: writes }))
    writer.keepUp(() => number % 3 > 0)
    longest = Math.max(longest, Number(countTail.get()))
  }
  t.ok(longest >= 8192 && longest < 17_000, `90,000 rows were written, at most ${longest} were in the tail`)
  t.match(reader.recover(), [{ lastIndex: 30_000 }, { lastIndex: 30_000 }, { lastIndex: 30_000 }])
  const entries = reader.log(2).entries(1, 99_999, 1e9)
  t.ok(isDeepStrictEqual(entries, chains[1]?.entries), 'and all are there')
  t.end()
})

t.test('what would not fit a key, or be there twice, is refused before it is written', t => {
  const directory = t.testdir()
  const cases: readonly (readonly [string, RegExp, (chain: Chain) => StoreBatch])[] = [
    [
      'partition',
      /partition 2048, index 1 with 1 events cannot be stored; allowed: partitions 0 to 2047/,
      chain => batchOf({ partitions: [{ partition: 2048, entries: [chain.command('a')] }] }),
    ],
    [
      'events',
      /index 1 with 1025 events cannot be stored; allowed: .*, 1024 events/,
      chain => batchOf({ partitions: [{ partition: 1, entries: [chain.command('a', { events: 1025 })] }] }),
    ],
  ]
  for (const [name, message, make] of cases) {
    const writer = openSqliteWriter(join(directory, `${name}.db`))
    t.throws(() => commit(writer, make(createChain())), { message })
    writer.close()
  }
  const path = join(directory, 'twice.db')
  const { writer } = openDatabase(t, path)
  const chain = createChain()
  const next = (): StoreBatch => batchOf({ partitions: [{ partition: 1, entries: [chain.command('a')] }] })
  commit(writer, next())
  foldAll(writer)
  commit(writer, next())
  // The sequence is in the log, and the writer has forgotten that it wrote it.
  const again = openSqliteWriter(path)
  const forgetful = createChain({ partition: 1 })
  for (const _ of [1, 2]) forgetful.noop()
  const twice = batchOf({ partitions: [{ partition: 1, entries: [forgetful.command('a')] }] })
  t.throws(() => commit(again, twice), { message: /sequence 1 of bank_account\/a exists, the last is 2/ })
  again.close()
  t.end()
})

/** A database as the version before wrote it: one row per event in `log`, in the order of writing. */
function writeFirstFormat(path: string, chains: readonly Chain[]): void {
  const database = new Database(path)
  database.pragma('journal_mode = wal')
  migrate(database, { location: path, migrations: migrations.slice(0, 1) })
  database
    .prepare("insert into settings (name, value) values ('storage_id', 'the-storage'), ('a', 'b')")
    .run()
  const insert = database.prepare(
    `insert into log (partition, idx, offset, term, kind, aggregate_type, aggregate_id, sequence, event_type,
       event_version, data, metadata, command_id, time_ms, hash, payload)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const writePartition = database.prepare("insert into partitions values (?, 3, 'a/s', ?, ?, ?)")
  const events = new Map<number, number>()
  const longest = Math.max(...chains.map(({ entries }) => entries.length))
  for (let place = 0; place < longest; place += 1) {
    for (const [number, chain] of chains.entries()) {
      const entry = chain.entries[place]
      if (entry === undefined) continue
      const { index, term, kind, hash, payload } = entry
      const partition = number + 1
      if (kind !== 'command') {
        const none = Array.from({ length: 9 }, () => null)
        insert.run(partition, index, 0, term, kind, ...none, hash, payload)
        continue
      }
      const { aggregate, commandId, firstSequence, timeMs, metadata, events: made } = decodeRecord(payload)
      for (const [offset, { type, version, data }] of made.entries()) {
        const about = [aggregate.type, aggregate.id, firstSequence + offset, type, version, data, metadata]
        const first = offset === 0 ? hash : null
        insert.run(partition, index, offset, term, kind, ...about, commandId, timeMs, first, null)
      }
      events.set(partition, (events.get(partition) ?? 0) + made.length)
    }
  }
  for (const [number, { entries }] of chains.entries()) {
    writePartition.run(number + 1, entries.length - 1, entries.length, events.get(number + 1) ?? 0)
  }
  database.close()
}

t.test('a database of the first format is brought to the newest with all that it holds', async t => {
  const path = join(t.testdir(), 'glyn.db')
  const chains = [1, 2, 3].map(partition => createChain({ partition, from: [] }))
  for (const [number, chain] of chains.entries()) {
    chain.config(['a/s'])
    chain.noop()
    for (let entry = 0; entry < 50 + number; entry += 1) {
      chain.command(`p${number}-${entry % 4}`, { events: 1 + (entry % 3), commandId: `c-${number}-${entry}` })
    }
  }
  writeFirstFormat(path, chains)
  const store = await openSqliteStore({ path })
  t.teardown(() => store.close())
  t.equal(store.storageId, 'the-storage')
  t.strictSame([...store.settings()], [['a', 'b']])
  for (const [number, chain] of chains.entries()) {
    const partition = number + 1
    t.strictSame(store.log(partition).entries(1, 999, 1e9), chain.entries)
    t.match(store.recover()[number], {
      partition,
      hardState: { term: 3, vote: 'a/s', commit: chain.entries.length - 1 },
      lastIndex: chain.entries.length,
      configurations: [{ index: 1, configuration: { voters: ['a/s'], learners: [] } }],
    })
    const aggregate = { type: 'bank_account', id: `p${number}-1` }
    const command = { partition, commandId: `c-${number}-1`, throughIndex: 999 }
    t.match(store.readCommand(aggregate, command), [
      { index: 4, offset: 0 },
      { index: 4, offset: 1 },
    ])
  }
  const people = new Database(path, { readonly: true })
  t.teardown(() => people.close())
  const count = people.prepare('select count(*) from events').pluck()
  const all = store.statistics().events
  t.equal(all, 99 + 102 + 103)
  t.equal(count.get(), all - lastEvents(chains), 'all but what is not committed')
  t.equal(people.pragma('integrity_check', { simple: true }), 'ok')
  t.equal(people.pragma('user_version', { simple: true }), 3)
  t.match(store.eventKinds(), [
    {
      aggregateType: 'bank_account',
      eventType: 'CustomerDepositedCash',
      version: 1,
      events: all,
      aggregates: 12,
      first: { partition: 1, index: 3 },
    },
  ])
  const entries = [chains[0]?.command('p0-1')].filter(entry => entry !== undefined)
  await store.write(batchOf({ partitions: [{ partition: 1, entries }] }))
  t.strictSame(store.log(1).entries(1, 999, 1e9), chains[0]?.entries, 'and it is written on')
})

const lastEvents = (chains: readonly Chain[]): number =>
  chains.reduce(
    (sum, { entries }) => sum + decodeRecord(entries.at(-1)?.payload ?? new Uint8Array(0)).events.length,
    0,
  )

t.test('a reader in another thread, and the view, are whole while a busy store folds', async t => {
  const path = join(t.testdir(), 'glyn.db')
  const store = await openSqliteStore({ path })
  t.teardown(() => store.close())
  const worker = new Worker(new URL('./read-while-folding.ts', import.meta.url), { workerData: { path } })
  t.teardown(() => worker.terminate())
  const answer = (): Promise<{ reads: number; faults: string[] }> =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
  const writing = [1, 2, 3].map(async partition => {
    const chain = createChain({ partition })
    let index = 0
    for (let number = 0; number < 100; number += 1) {
      const entries = [chain.command(`p${partition}`, { events: 3 })]
      for (let count = 0; count < 40; count += 1) entries.push(chain.noop())
      index += entries.length
      const hardState = { term: 1, vote: null, commit: index }
      await store.write(batchOf({ partitions: [{ partition, hardState, entries }] }))
      worker.postMessage({ partition, index })
    }
  })
  await Promise.all(writing)
  const said = answer()
  worker.postMessage('end')
  const { reads, faults } = await said
  t.strictSame(faults, [])
  t.equal(reads, 300, 'reads while 12,900 rows were written')
  t.ok(store.statistics().entries === 12_300)
})
