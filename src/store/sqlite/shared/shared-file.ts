// A SQLite file that several nodes share: what it does, one call after the other. Lives in a thread; knows nothing of threads.
import Database from 'better-sqlite3'
import { invariant } from '../../../core/assert.ts'
import type { AggregateKey } from '../../../core/command.ts'
import { GlynError } from '../../../core/errors.ts'
import type { StoredEvent } from '../../../core/record.ts'
import { rolledBack } from '../../check-append.ts'
import type {
  Append,
  AppendResult,
  SharedSnapshot,
  SharedStatistics,
  StoreBinding,
} from '../../shared-store.ts'
import { prepareSharedFile } from './shared-file-schema.ts'

/** How long a call waits for another process to commit. */
const busyTimeoutMs = 10_000
const cacheBytes = 64 * 1024 * 1024

export interface AppendCall {
  readonly appends: readonly Append[]
  readonly isAtomic: boolean
}

/** As the functions of a `SharedStore` of these names, without waiting. Throw what SQLite throws, and GlynErrors. */
export interface SharedFile {
  bind(binding: StoreBinding): void
  cluster(claim: string | null): string | null
  /** All in one transaction, with one fsync. The answer to an atomic call that was refused is why. */
  append(calls: readonly AppendCall[]): readonly (readonly AppendResult[] | GlynError)[]
  readStream(
    aggregate: AggregateKey,
    range: { readonly fromSequence: number; readonly limit: number },
  ): readonly StoredEvent[]
  sequences(aggregates: readonly AggregateKey[]): readonly number[]
  readCommand(aggregate: AggregateKey, commandId: string): readonly StoredEvent[]
  readLog(
    partition: number,
    range: { readonly afterIndex: number; readonly limit: number },
  ): readonly StoredEvent[]
  heads(): ReadonlyMap<number, number>
  latestSnapshot(aggregate: AggregateKey): SharedSnapshot | undefined
  writeSnapshots(snapshots: readonly SharedSnapshot[]): void
  aggregates(filter: {
    readonly type?: string
    readonly after?: AggregateKey
    readonly limit: number
  }): readonly (AggregateKey & { readonly sequence: number })[]
  statistics(): SharedStatistics
  close(): void
}

/** Opens or makes the file. Throws what SQLite throws, and STORE_FORMAT. */
export function openSharedFile(path: string): SharedFile {
  const database = new Database(path, { timeout: busyTimeoutMs })
  try {
    const mode = database.pragma('journal_mode = wal', { simple: true })
    invariant(mode === 'wal', `store ${path}: journal_mode is ${mode}, not wal`)
    database.pragma('synchronous = full')
    database.pragma(`cache_size = ${-cacheBytes / 1024}`)
    database.pragma('cell_size_check = on')
    prepareSharedFile(database, path)
    // Compiled with SQLITE_DEFAULT_WAL_SYNCHRONOUS=1, SQLite may fall back to NORMAL at the first write.
    const synchronous = database.pragma('synchronous', { simple: true })
    invariant(synchronous === 2, `store ${path}: synchronous is ${synchronous}, not 2 (full)`)
    return createSharedFile(database, path)
  } catch (error) {
    database.close()
    throw error
  }
}

function createSharedFile(database: Database.Database, path: string): SharedFile {
  const statements = prepareStatements(database)

  const eventsOf = ({ type, id }: AggregateKey, commandId: string): StoredEvent[] =>
    statements.readCommand.all(type, id, commandId)
  const sequenceOf = ({ type, id }: AggregateKey): number => statements.readSequence.get(type, id) ?? 0

  function judge(append: Append): AppendResult | null {
    const events = eventsOf(append.aggregate, append.commandId)
    if (events.length > 0) return { type: 'duplicate', events }
    const sequence = sequenceOf(append.aggregate)
    return sequence === append.expectedSequence ? null : { type: 'conflict', sequence }
  }

  function write(append: Append): AppendResult {
    const { partition, aggregate, expectedSequence, events, metadata, commandId, timeMs } = append
    const { type, id } = aggregate
    const index = (statements.readHead.get(partition) ?? 0) + 1
    for (const [offset, event] of events.entries()) {
      const place = [partition, index, offset, type, id, expectedSequence + 1 + offset] as const
      const { type: eventType, version, data } = event
      statements.insertEvent.run(...place, eventType, version, data, metadata, commandId, timeMs)
    }
    statements.writeHead.run(partition, index)
    statements.writeSequence.run(type, id, expectedSequence + events.length)
    return { type: 'appended', index }
  }

  function appendOne({ appends, isAtomic }: AppendCall): readonly AppendResult[] {
    return appends.map((append, number) => {
      const refused = judge(append)
      if (refused === null) return write(append)
      if (isAtomic) throw rolledBack(path, { number, append, result: refused })
      return refused
    })
  }

  /** Within a transaction, this is a savepoint: what it wrote is undone when it throws. */
  const appendWhole = database.transaction(appendOne)

  const appendAll = database.transaction((calls: readonly AppendCall[]) =>
    calls.map(call => {
      if (!call.isAtomic) return appendOne(call)
      try {
        return appendWhole(call)
      } catch (error) {
        if (error instanceof GlynError) return error
        throw error
      }
    }),
  )

  const bind = database.transaction((binding: StoreBinding) => {
    statements.bind.run(binding.scope, binding.partitions)
    return statements.readBinding.get() as StoreBinding
  })

  const claimFor = database.transaction((claim: string) => {
    statements.claim.run(claim)
    return statements.readCluster.get() ?? null
  })

  return {
    bind(binding) {
      const found = bind.immediate(binding)
      if (found.scope === binding.scope && found.partitions === binding.partitions) return
      throw new GlynError(
        'CLUSTER_MISMATCH',
        `store ${path}: it belongs to scope ${found.scope} with ${found.partitions} partitions, not to scope ${binding.scope} with ${binding.partitions}`,
        { details: { found, wanted: binding } },
      )
    },
    cluster: claim => (claim === null ? (statements.readCluster.get() ?? null) : claimFor.immediate(claim)),
    append: calls => appendAll.immediate(calls),
    readStream: ({ type, id }, { fromSequence, limit }) =>
      statements.readStream.all(type, id, fromSequence, limit),
    sequences: aggregates => aggregates.map(sequenceOf),
    readCommand: eventsOf,
    readLog(partition, { afterIndex, limit }) {
      const events = statements.readLog.all(partition, afterIndex, limit + 1)
      if (events.length <= limit) return events
      // The last entry may be cut: it is left to the next call, unless it is the only one.
      const cut = events.at(-1)?.index ?? 0
      const whole = events.filter(event => event.index !== cut)
      return whole.length > 0 ? whole : statements.readEntry.all(partition, cut)
    },
    heads: () => new Map(statements.readHeads.all().map(({ partition, head }) => [partition, head])),
    latestSnapshot({ type, id }) {
      const found = statements.readSnapshot.get(type, id)
      return found === undefined ? undefined : { aggregate: { type, id }, ...found }
    },
    writeSnapshots: snapshots =>
      database
        .transaction(() => {
          for (const { aggregate, sequence, state, definition, timeMs } of snapshots) {
            statements.writeSnapshot.run(aggregate.type, aggregate.id, sequence, state, definition, timeMs)
          }
        })
        .immediate(),
    aggregates: ({ type, after, limit }) =>
      statements.listStreams.all({
        type: type ?? null,
        afterType: after?.type ?? '',
        afterId: after?.id ?? '',
        limit,
      }),
    statistics: () => statements.count.get() as SharedStatistics,
    close: () => void database.close(),
  }
}

const eventColumns = `partition, idx as "index", "offset", aggregate_type as aggregateType, aggregate_id as aggregateId,
  sequence, type, version, data, metadata, command_id as commandId, time_ms as timeMs`

function prepareStatements(database: Database.Database) {
  return {
    bind: database.prepare<[string, number]>('insert or ignore into store values (1, ?, ?, null)'),
    readBinding: database.prepare<[], StoreBinding>('select scope, partitions from store'),
    claim: database.prepare<[string]>('update store set cluster_id = ? where cluster_id is null'),
    readCluster: database.prepare<[], string | null>('select cluster_id from store').pluck(),
    readHead: database.prepare<[number], number>('select last_index from heads where partition = ?').pluck(),
    readHeads: database.prepare<[], { partition: number; head: number }>(
      'select partition, last_index as head from heads',
    ),
    writeHead: database.prepare<[number, number]>(
      'insert into heads values (?, ?) on conflict do update set last_index = excluded.last_index',
    ),
    readSequence: database
      .prepare<[string, string], number>(
        'select sequence from streams where aggregate_type = ? and aggregate_id = ?',
      )
      .pluck(),
    writeSequence: database.prepare<[string, string, number]>(
      'insert into streams values (?, ?, ?) on conflict do update set sequence = excluded.sequence',
    ),
    insertEvent: database.prepare<(string | number)[]>(
      'insert into events values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
    ),
    // Through the first row of the command: an index of one row for each command finds it.
    readCommand: database.prepare<[string, string, string], StoredEvent>(
      `select ${eventColumns} from events where (partition, idx) = (
         select partition, idx from events
         where aggregate_type = ? and aggregate_id = ? and command_id = ? and "offset" = 0
       ) order by "offset"`,
    ),
    readStream: database.prepare<[string, string, number, number], StoredEvent>(
      `select ${eventColumns} from events
       where aggregate_type = ? and aggregate_id = ? and sequence >= ? order by sequence limit ?`,
    ),
    readLog: database.prepare<[number, number, number], StoredEvent>(
      `select ${eventColumns} from events where partition = ? and idx > ? order by idx, "offset" limit ?`,
    ),
    readEntry: database.prepare<[number, number], StoredEvent>(
      `select ${eventColumns} from events where partition = ? and idx = ? order by "offset"`,
    ),
    readSnapshot: database.prepare<[string, string], Omit<SharedSnapshot, 'aggregate'>>(
      `select sequence, state, definition, time_ms as timeMs from snapshots
       where aggregate_type = ? and aggregate_id = ?`,
    ),
    writeSnapshot: database.prepare<(string | number)[]>(
      `insert into snapshots values (?, ?, ?, ?, ?, ?) on conflict do update set
         sequence = excluded.sequence, state = excluded.state, definition = excluded.definition, time_ms = excluded.time_ms
       where excluded.sequence >= snapshots.sequence`,
    ),
    listStreams: database.prepare<
      { type: string | null; afterType: string; afterId: string; limit: number },
      AggregateKey & { sequence: number }
    >(
      `select aggregate_type as type, aggregate_id as id, sequence from streams
       where (aggregate_type, aggregate_id) > (@afterType, @afterId) and (@type is null or aggregate_type = @type)
       order by aggregate_type, aggregate_id limit @limit`,
    ),
    count: database.prepare<[], SharedStatistics>(
      'select coalesce(sum(sequence), 0) as events, count(*) as aggregates from streams',
    ),
  }
}
