// Where the keys of a node rest: `keys.db` says which key is whose and where it lies, `keys.bin` holds the bytes. A key that
// is destroyed is overwritten in its place: no journal, no WAL and no page of a B-tree ever had a copy of it.
import { existsSync } from 'node:fs'
import { join } from 'node:path'

export const keyDatabasePath = (directory: string): string => join(directory, 'keys.db')
export const keyBytesPath = (directory: string): string => join(directory, 'keys.bin')

export const hasKeyFiles = (directory: string): boolean => existsSync(keyDatabasePath(directory))

export const keySchema = `
create table if not exists keys (
  id text primary key,
  subject text not null,
  aggregate_type text not null,
  aggregate_id text not null,
  slot integer,
  destroyed integer not null,
  told integer not null
) strict, without rowid;

create index if not exists keys_by_subject on keys (subject, aggregate_type, aggregate_id);

create index if not exists keys_to_wipe on keys (id) where destroyed = 1 and slot is not null;

create index if not exists keys_untold on keys (id) where destroyed = 1 and told = 0;

create table if not exists forgotten (
  subject text primary key
) strict, without rowid;
`

export const keyFormat = 1
/** `PRAGMA application_id`: 'glyk' in ASCII. */
export const keyApplicationId = 0x676c796b
