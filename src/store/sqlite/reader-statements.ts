// What the main thread asks SQLite: the statements of its reading connection, and the shapes of their rows.
import type { Database, Statement } from 'better-sqlite3'
import type { AggregateKey } from '../../core/command.ts'
import type { EntryKind } from '../../raft/entry.ts'
import type { Snapshot } from '../store.ts'
import { rowsBetween } from './row-id.ts'
import { type EventRow, eventColumns } from './sqlite-log-reader.ts'
import { rowColumnNames } from './sqlite-schema.ts'

/** Named, so that declarations can name it. */
export interface ReaderStatements {
  readonly readPartitions: Statement<[], PartitionRow>
  readonly readLastIndex: Statement<[number, number, number, number], number>
  readonly readCommits: Statement<[], { readonly partition: number; readonly commit: number }>
  readonly readTailEntries: Statement<
    [],
    {
      readonly partition: number
      readonly logEnd: number
      readonly index: number
      readonly commit: number
    }
  >
  readonly readTailConfigurations: Statement<
    [],
    { readonly partition: number; readonly index: number; readonly payload: Buffer }
  >
  readonly readConfigurations: Statement<[number], { readonly index: number; readonly payload: Buffer }>
  readonly readEntries: Statement<[number, number, number, number], EntryRow>
  readonly readTailEntry: Statement<[number], EntryRow>
  readonly readAggregate: Statement<unknown[], EventRow>
  readonly findCommand: Statement<[number, string, number, string, string], number>
  readonly readEvents: Statement<unknown[], EventRow>
  readonly readTailEvent: Statement<unknown[], EventRow>
  readonly readTailAggregates: Statement<[{ readonly type: string | null }], AggregateRow>
  readonly readSnapshot: Statement<[string, string], Omit<Snapshot, 'aggregate'>>
  readonly readSnapshots: Statement<[string, string, number], AggregateKey & Omit<Snapshot, 'aggregate'>>
  readonly readSettings: Statement<[string], { readonly name: string; readonly value: string }>
  readonly readCounts: Statement<[], { readonly events: number; readonly entries: number }>
  readonly readBytes: Statement<[], number>
  readonly nextAggregate: Statement<[string, string], AggregateKey>
  readonly readPlaces: Statement<
    [string, string],
    { readonly partition: number; readonly idx: number; readonly sequence: number }
  >
}

/** Those of `createSqliteReader`. */
export function prepareReaderStatements(database: Database): ReaderStatements {
  const one = <Parameters extends unknown[], Value>(sql: string): Statement<Parameters, Value> =>
    database.prepare<Parameters, Value>(sql).pluck() as Statement<Parameters, Value>
  const events = (sql: string): Statement<unknown[], EventRow> =>
    database.prepare<unknown[], EventRow>(sql).raw()
  return {
    readPartitions: database.prepare<[], PartitionRow>(
      'select partition, term, vote, commit_idx as "commit", last_idx as lastIndex from partitions order by partition',
    ),
    readLastIndex: one<[number, number, number, number], number>(
      `select idx from log where ${rowsBetween} order by id desc limit 1`,
    ),
    readCommits: database.prepare<[], { readonly partition: number; readonly commit: number }>(
      `select partition, max(commit_idx) as "commit"
       from (select partition, commit_idx from partitions union all select partition, commit_idx from tail)
       group by partition`,
    ),
    readTailEntries: database.prepare<
      [],
      {
        readonly partition: number
        readonly logEnd: number
        readonly index: number
        readonly commit: number
      }
    >(
      `select tail.partition as partition, last_idx as logEnd, idx as "index", tail.commit_idx as "commit"
       from tail cross join partitions on partitions.partition = tail.partition
       where idx > last_idx and offset = 0 order by id`,
    ),
    readTailConfigurations: database.prepare<
      [],
      { readonly partition: number; readonly index: number; readonly payload: Buffer }
    >(
      `select tail.partition as partition, idx as "index", payload
       from tail cross join partitions on partitions.partition = tail.partition
       where kind = 'config' and idx > last_idx order by id`,
    ),
    readConfigurations: database.prepare<[number], { readonly index: number; readonly payload: Buffer }>(
      `select idx as "index", payload from log indexed by log_configurations
       where partition = ? and kind = 'config' order by idx`,
    ),
    readEntries: database.prepare<[number, number, number, number], EntryRow>(
      `select ${rowColumnNames} from log where ${rowsBetween} order by id`,
    ),
    readTailEntry: database.prepare<[number], EntryRow>(`select ${rowColumnNames} from tail where id = ?`),
    readAggregate: events(
      `select ${eventColumns} from log indexed by log_by_aggregate
       where aggregate_type = ? and aggregate_id = ? and sequence >= ? and partition = ? and idx <= ?
       order by sequence limit ?`,
    ),
    findCommand: one<[number, string, number, string, string], number>(
      `select idx from log indexed by log_by_command
       where partition = ? and command_id = ? and offset = 0 and idx <= ? and aggregate_type = ? and aggregate_id = ?
       order by idx limit 1`,
    ),
    readEvents: events(
      `select ${eventColumns} from log where ${rowsBetween} and kind = 'command' order by id`,
    ),
    readTailEvent: events(`select ${eventColumns} from tail where id = ? and kind = 'command'`),
    readTailAggregates: database.prepare<[{ readonly type: string | null }], AggregateRow>(
      `select aggregate_type as type, aggregate_id as id, partition, idx, sequence from tail
       where aggregate_type is not null and (:type is null or aggregate_type = :type)
       order by aggregate_type, aggregate_id, sequence desc`,
    ),
    readSnapshot: database.prepare<[string, string], Omit<Snapshot, 'aggregate'>>(
      `select sequence, idx as "index", partition, state, definition, time_ms as timeMs from snapshots
       where aggregate_type = ? and aggregate_id = ?`,
    ),
    readSnapshots: database.prepare<[string, string, number], AggregateKey & Omit<Snapshot, 'aggregate'>>(
      `select aggregate_type as type, aggregate_id as id, sequence, idx as "index", partition, state, definition,
         time_ms as timeMs
       from snapshots where (aggregate_type, aggregate_id) > (?, ?) order by aggregate_type, aggregate_id limit ?`,
    ),
    readSettings: database.prepare<[string], { readonly name: string; readonly value: string }>(
      'select name, value from settings where name <> ? order by name',
    ),
    readCounts: database.prepare<[], { readonly events: number; readonly entries: number }>(
      `with unfolded as (
         select kind, offset from tail cross join partitions on partitions.partition = tail.partition
         where idx > last_idx
       )
       select
         (select coalesce(sum(events), 0) from partitions)
           + (select count(*) from unfolded where kind = 'command') as events,
         (select coalesce(sum(last_idx), 0) from partitions)
           + (select count(*) from unfolded where offset = 0) as entries`,
    ),
    readBytes: one<[], number>('select page_count * page_size from pragma_page_count(), pragma_page_size()'),
    nextAggregate: database.prepare<[string, string], AggregateKey>(
      `select aggregate_type as type, aggregate_id as id from log indexed by log_by_aggregate
       where aggregate_type is not null and (aggregate_type, aggregate_id) > (?, ?)
       order by aggregate_type, aggregate_id limit 1`,
    ),
    readPlaces: database.prepare<
      [string, string],
      { readonly partition: number; readonly idx: number; readonly sequence: number }
    >(
      `select partition, idx, sequence from log indexed by log_by_aggregate
       where aggregate_type = ? and aggregate_id = ? order by sequence desc`,
    ),
  }
}

export interface EntryRow {
  readonly idx: number
  readonly offset: number
  readonly term: number
  readonly kind: EntryKind
  readonly aggregate_type: string | null
  readonly aggregate_id: string | null
  readonly sequence: number | null
  readonly event_type: string | null
  readonly event_version: number | null
  readonly data: string | null
  readonly metadata: string | null
  readonly command_id: string | null
  readonly time_ms: number | null
  readonly hash: Buffer | null
  readonly payload: Buffer | null
}

export interface PartitionRow {
  readonly partition: number
  readonly term: number
  readonly vote: string | null
  readonly commit: number
  readonly lastIndex: number
}

export type AggregateRow = AggregateKey & {
  readonly partition: number
  readonly idx: number
  readonly sequence: number
}
