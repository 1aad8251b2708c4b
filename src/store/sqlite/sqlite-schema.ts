// The tables of glyn.db, as an ordered list of steps from one format to the next.
import type { Database } from 'better-sqlite3'
import { GlynError } from '../../core/errors.ts'
import { eventKindsTable } from './event-kinds.ts'
import { rowId } from './row-id.ts'

export interface Migration {
  /** The format after this step: `PRAGMA user_version`. Ascending, from 1. */
  readonly version: number
  readonly sql: string
}

/** `PRAGMA application_id`: 'glyn' in ASCII. Tells our files from other SQLite databases. */
export const applicationId = 0x676c796e

/**
 * One row per event, and one for an entry without events; the first row of an entry (offset 0) has the entry's hash.
 * `payload` holds the bytes of a noop or config entry, and those of a command entry only where encoding the row's
 * columns would give other bytes (a field of a newer version, say).
 */
const firstFormat = `
create table settings (
  name text primary key,
  value text not null
) strict, without rowid;

create table partitions (
  partition integer primary key,
  term integer not null,
  vote text,
  commit_idx integer not null,
  last_idx integer not null,
  events integer not null
) strict;

create table log (
  partition integer not null,
  idx integer not null,
  offset integer not null,
  term integer not null,
  kind text not null,
  aggregate_type text,
  aggregate_id text,
  sequence integer,
  event_type text,
  event_version integer,
  data text,
  metadata text,
  command_id text,
  time_ms integer,
  hash blob,
  payload blob,
  primary key (partition, idx, offset)
) strict;

create unique index log_by_aggregate on log (aggregate_type, aggregate_id, sequence)
  where aggregate_type is not null;

create index log_by_command on log (command_id) where offset = 0 and command_id is not null;

create index log_configurations on log (partition, idx) where kind = 'config';

create table snapshots (
  aggregate_type text not null,
  aggregate_id text not null,
  sequence integer not null,
  partition integer not null,
  idx integer not null,
  state text not null,
  definition text not null,
  time_ms integer not null,
  primary key (aggregate_type, aggregate_id)
) strict, without rowid;

create view events as
select
  aggregate_type, aggregate_id, sequence, log.partition as partition, idx as "index", offset,
  event_type as type, event_version as version, data, metadata, command_id,
  strftime('%Y-%m-%dT%H:%M:%fZ', time_ms / 1000.0, 'unixepoch') as time
from log join partitions on partitions.partition = log.partition
where kind = 'command' and idx <= commit_idx;
`

/** The columns of a row of history, in `tail` and in `log`. */
const rowColumns = `
  partition integer not null,
  idx integer not null,
  offset integer not null,
  term integer not null,
  kind text not null,
  aggregate_type text,
  aggregate_id text,
  sequence integer,
  event_type text,
  event_version integer,
  data text,
  metadata text,
  command_id text,
  time_ms integer,
  hash blob,
  payload blob`

/** The names of {@link rowColumns}. */
export const rowColumnNames =
  'partition, idx, offset, term, kind, aggregate_type, aggregate_id, sequence, event_type, event_version, data, ' +
  'metadata, command_id, time_ms, hash, payload'

/**
 * History in two tables. A commit appends to `tail`, in the order of writing and without an index, so that it writes few
 * pages. Folds move the rows, sorted, into `log`, where a partition's entries lie together and are found by aggregate
 * and by command.
 *
 * Invariants, true at every commit. Of each partition `log` holds the entries 1 to `partitions.last_idx`; `tail` holds
 * all that follow, without gaps. A row of `tail` up to `last_idx` is a copy of one in `log`, which the end of the fold
 * removes. Commit indexes are the larger of `partitions.commit_idx` and what the rows of `tail` say: the one that was
 * known when the row was written. Ids in `tail` only grow. The rows up to `tail_state.folded_through` have left it after a
 * fold; `tail_state.epoch` grows when a truncation removes others.
 */
const secondFormat = `
create table tail (
  id integer primary key,${rowColumns},
  commit_idx integer not null
) strict;

create table tail_state (
  epoch integer not null,
  folded_through integer not null
) strict;

insert into tail_state (epoch, folded_through) values (1, 0);

drop view events;
drop index log_by_aggregate;
drop index log_by_command;
drop index log_configurations;
alter table log rename to log_before;

create table log (
  id integer primary key,${rowColumns}
) strict;

insert into log (id, ${rowColumnNames})
select ${rowId('partition', 'idx', 'offset')}, ${rowColumnNames} from log_before order by partition, idx, offset;

drop table log_before;

create unique index log_by_aggregate on log (aggregate_type, aggregate_id, sequence)
  where aggregate_type is not null;

create index log_by_command on log (partition, command_id) where offset = 0 and command_id is not null;

create index log_configurations on log (partition, idx) where kind = 'config';

create view events as
with known as (
  select partition, max(commit_idx) as commit_idx
  from (select partition, commit_idx from partitions union all select partition, commit_idx from tail)
  group by partition
)
select
  aggregate_type, aggregate_id, sequence, log.partition as partition, idx as "index", offset,
  event_type as type, event_version as version, data, metadata, command_id,
  strftime('%Y-%m-%dT%H:%M:%fZ', time_ms / 1000.0, 'unixepoch') as time
from log join known on known.partition = log.partition
where kind = 'command' and idx <= known.commit_idx
union all
select
  aggregate_type, aggregate_id, sequence, tail.partition, idx, offset,
  event_type, event_version, data, metadata, command_id,
  strftime('%Y-%m-%dT%H:%M:%fZ', time_ms / 1000.0, 'unixepoch')
from tail join partitions on partitions.partition = tail.partition join known on known.partition = tail.partition
where kind = 'command' and idx > partitions.last_idx and idx <= known.commit_idx;
`

export const migrations: readonly Migration[] = [
  { version: 1, sql: firstFormat },
  { version: 2, sql: secondFormat },
  { version: 3, sql: eventKindsTable },
]

/**
 * Brings the database to the newest format, each step in a transaction of its own. Throws STORE_FORMAT for a newer
 * format, and for a database that is not ours.
 */
export function migrate(
  database: Database,
  options: {
    readonly location: string
    readonly migrations: readonly Migration[]
    /** Told before a database that holds something is changed. */
    readonly onMigrating?: (formats: { readonly from: number; readonly to: number }) => void
  },
): void {
  const { location, migrations: steps, onMigrating } = options
  const found = Number(database.pragma('user_version', { simple: true }))
  const newest = steps.at(-1)?.version ?? 0
  const isEmpty = database.prepare('select 1 from sqlite_schema limit 1').get() === undefined
  const isOurs = Number(database.pragma('application_id', { simple: true })) === applicationId
  if (!isEmpty && !isOurs) {
    throw new GlynError('STORE_FORMAT', `store ${location}: it is a SQLite database of another program`)
  }
  if (found > newest) {
    throw new GlynError(
      'STORE_FORMAT',
      `store ${location}: it has format ${found}; this version reads formats 1 to ${newest}. Use a newer glyn-node`,
      { details: { found, newest } },
    )
  }
  if (!isEmpty && found < newest) onMigrating?.({ from: found, to: newest })
  for (const step of steps) {
    if (step.version <= found) continue
    const run = database.transaction(() => {
      database.exec(step.sql)
      database.pragma(`application_id = ${applicationId}`)
      database.pragma(`user_version = ${step.version}`)
    })
    run.immediate()
  }
}
