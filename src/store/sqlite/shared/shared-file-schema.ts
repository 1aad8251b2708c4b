// The tables of a SQLite file that several nodes share, and who may open it.
import type { Database } from 'better-sqlite3'
import { GlynError } from '../../../core/errors.ts'

/** `PRAGMA application_id`: 'glys' in ASCII. Tells these files from those of single nodes, and from other databases. */
const applicationId = 0x676c7973
/** `PRAGMA user_version`. */
const format = 1

/** `streams` and `heads` say what could be computed from `events`, which would take a walk through all of them. */
const tables = `
create table store (
  id integer primary key check (id = 1),
  scope text not null,
  partitions integer not null,
  cluster_id text
) strict;

create table heads (
  partition integer primary key,
  last_index integer not null
) strict;

create table streams (
  aggregate_type text not null,
  aggregate_id text not null,
  sequence integer not null,
  primary key (aggregate_type, aggregate_id)
) strict, without rowid;

create table events (
  partition integer not null,
  idx integer not null,
  "offset" integer not null,
  aggregate_type text not null,
  aggregate_id text not null,
  sequence integer not null,
  type text not null,
  version integer not null,
  data text not null,
  metadata text not null,
  command_id text not null,
  time_ms integer not null,
  primary key (partition, idx, "offset"),
  unique (aggregate_type, aggregate_id, sequence)
) strict, without rowid;

create unique index events_by_command on events (aggregate_type, aggregate_id, command_id) where "offset" = 0;

create table snapshots (
  aggregate_type text not null,
  aggregate_id text not null,
  sequence integer not null,
  state text not null,
  definition text not null,
  time_ms integer not null,
  primary key (aggregate_type, aggregate_id)
) strict, without rowid;
`

/**
 * Makes the tables of an empty file. Several processes may do so at once. Throws STORE_FORMAT for a newer format, and for a
 * database that is none of these.
 */
export function prepareSharedFile(database: Database, location: string): void {
  const pragma = (name: string): number => Number(database.pragma(name, { simple: true }))
  const prepare = database.transaction(() => {
    const isEmpty = database.prepare('select 1 from sqlite_schema limit 1').get() === undefined
    if (isEmpty) {
      database.exec(tables)
      database.pragma(`application_id = ${applicationId}`)
      database.pragma(`user_version = ${format}`)
      return
    }
    if (pragma('application_id') !== applicationId) {
      throw new GlynError(
        'STORE_FORMAT',
        `store ${location}: it is a SQLite database, but not one that nodes share; name a file of its own`,
      )
    }
    const found = pragma('user_version')
    if (found > format) {
      throw new GlynError(
        'STORE_FORMAT',
        `store ${location}: it has format ${found}; this version reads format ${format}. Use a newer glyn-node`,
        { details: { found, newest: format } },
      )
    }
  })
  prepare.immediate()
}
