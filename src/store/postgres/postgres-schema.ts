// The tables of a PostgreSQL store, as an ordered list of steps from one format to the next.
import { GlynError } from '../../core/errors.ts'
import type { StoreBinding } from '../shared-store.ts'
import type { Connections, Session } from './connections.ts'
import { codeOf, isGivenUp } from './postgres-errors.ts'

export interface PostgresMigration {
  /** The format after this step, in the column `format` of the table `store`. Ascending, from 1. */
  readonly version: number
  readonly statements: (schema: string) => readonly string[]
}

/**
 * One row per event. `partitions` has one row for each partition, which an append updates, and so locks until it is
 * committed: that is why indexes become visible in their order and without holes. The constraints are the fence against
 * two leaders: a sequence is there once, a command id is there once in an aggregate.
 */
const firstFormat = (schema: string): readonly string[] => [
  `create table ${schema}.store (
    id integer primary key check (id = 1),
    format integer not null,
    scope text not null,
    partitions integer not null,
    cluster_id text
  )`,
  `create table ${schema}.partitions (
    partition integer primary key,
    last_idx bigint not null,
    events bigint not null,
    aggregates bigint not null
  ) with (fillfactor = 20)`,
  `create table ${schema}.events (
    partition integer not null,
    idx bigint not null,
    event_offset integer not null,
    aggregate_type text collate "C" not null,
    aggregate_id text collate "C" not null,
    sequence bigint not null check (sequence >= 1),
    type text not null,
    version integer not null,
    data text not null,
    metadata text not null,
    command_id text collate "C" not null,
    time_ms bigint not null,
    primary key (partition, idx, event_offset),
    constraint events_by_aggregate unique (aggregate_type, aggregate_id, sequence)
  )`,
  `create unique index events_by_command on ${schema}.events (aggregate_type, aggregate_id, command_id) where event_offset = 0`,
  `create unique index events_first on ${schema}.events (aggregate_type, aggregate_id) where sequence = 1`,
  `create table ${schema}.snapshots (
    aggregate_type text collate "C" not null,
    aggregate_id text collate "C" not null,
    sequence bigint not null,
    state text not null,
    definition text not null,
    time_ms bigint not null,
    primary key (aggregate_type, aggregate_id)
  )`,
  `create view ${schema}.history as
    select aggregate_type, aggregate_id, sequence, type, version, data, metadata, command_id,
      to_timestamp(time_ms / 1000.0) as time, partition, idx, event_offset
    from ${schema}.events`,
]

export const postgresMigrations: readonly PostgresMigration[] = [{ version: 1, statements: firstFormat }]

interface Found extends StoreBinding {
  readonly format: number
}

/** Each of many that open at once may lose a race this often. */
const racesMax = 20

/**
 * Makes the tables, or brings them to the newest format. Writes nothing when there is nothing to do. Throws STORE_FORMAT
 * for a newer format and for tables of another program, CLUSTER_MISMATCH for another binding.
 */
export async function openSchema(
  connections: Connections,
  options: {
    readonly schema: string
    readonly binding: StoreBinding
    readonly migrations: readonly PostgresMigration[]
  },
): Promise<void> {
  const { location } = connections
  const { schema, binding, migrations } = options
  const newest = migrations.at(-1)?.version ?? 0
  for (let race = 1; ; race += 1) {
    const found = await connections
      .run(session => findStore(session, schema), { isRepeatable: true })
      .catch(error => {
        // A table of this name with other columns.
        throw error instanceof GlynError && codeOf(error.cause) === '42703' ? occupied(error) : error
      })
    if (found !== null) checkFound(found)
    if (found?.format === newest) return
    try {
      await connections.run(session =>
        session.transaction(() => (found === null ? create(session) : upgrade(session))),
      )
    } catch (error) {
      const isRace = isRaceOf(error)
      if (!isRace || race >= racesMax) {
        if (isRace && found === null) throw occupied(error)
        throw error
      }
      if (found === null && race > 3 && (await hasTables(connections, schema))) throw occupied(error)
    }
  }

  async function create(session: Session): Promise<void> {
    const [known] = await session.query('select 1 as known from pg_namespace where nspname = $1', [schema])
    // Whoever may use the schema need not be allowed to make one.
    if (known === undefined) await session.query(`create schema ${schema}`)
    for (const step of migrations) {
      for (const statement of step.statements(schema)) await session.query(statement)
    }
    await session.query(
      `insert into ${schema}.partitions (partition, last_idx, events, aggregates)
       select partition, 0, 0, 0 from unnest($1::integer[]) as partition`,
      [Array.from({ length: binding.partitions }, (_, number) => number + 1)],
    )
    await session.query(
      `insert into ${schema}.store (id, format, scope, partitions) values (1, $1, $2, $3)`,
      [newest, binding.scope, binding.partitions],
    )
  }

  async function upgrade(session: Session): Promise<void> {
    const [row] = await session.query<Found>(
      `select format, scope, partitions from ${schema}.store where id = 1 for update`,
    )
    // Another node may have been first.
    for (const step of migrations) {
      if (row === undefined || step.version <= row.format) continue
      for (const statement of step.statements(schema)) await session.query(statement)
      await session.query(`update ${schema}.store set format = $1 where id = 1`, [step.version])
    }
  }

  function checkFound(found: Found): void {
    if (found.format > newest) {
      throw new GlynError(
        'STORE_FORMAT',
        `store ${location}: it has format ${found.format}; this version reads formats 1 to ${newest}. Use a newer glyn-node`,
        { details: { found: found.format, newest } },
      )
    }
    if (found.scope === binding.scope && found.partitions === binding.partitions) return
    throw new GlynError(
      'CLUSTER_MISMATCH',
      `store ${location}: it belongs to scope ${found.scope} with ${found.partitions} partitions, not to scope ${binding.scope} with ${binding.partitions}; another scope needs another schema`,
      { details: { found: { scope: found.scope, partitions: found.partitions }, wanted: binding } },
    )
  }

  function occupied(error: unknown): GlynError {
    return new GlynError(
      'STORE_FORMAT',
      `store ${location}: the schema ${schema} has tables of another program, or of an opening that was cut off; use an empty schema`,
      { cause: error },
    )
  }
}

async function findStore(session: Session, schema: string): Promise<Found | null> {
  const [environment] = await session.query<{ encoding: string; known: boolean }>(
    `select current_setting('server_encoding') as encoding,
       exists (select 1 from pg_tables where schemaname = $1 and tablename = 'store') as known`,
    [schema],
  )
  if (environment !== undefined && !/^utf-?8$/i.test(environment.encoding)) {
    throw new GlynError(
      'INVALID_CONFIGURATION',
      `postgres store: the database has the encoding ${environment.encoding}, which cannot keep every text; allowed: UTF8 (createdb --encoding=UTF8 --template=template0)`,
    )
  }
  if (environment?.known !== true) return null
  const [found] = await session.query<Found>(
    `select format, scope, partitions from ${schema}.store where id = 1`,
  )
  return found ?? null
}

/** Names that exist already: another node made them a moment ago, or they are not ours. */
function isRaceOf(error: unknown): boolean {
  const cause = error instanceof GlynError ? error.cause : error
  const isTuple = cause instanceof Error && cause.message.includes('concurrently updated')
  return ['23505', '42P07', '42P06', '42710'].includes(codeOf(cause)) || isGivenUp(cause) || isTuple
}

async function hasTables(connections: Connections, schema: string): Promise<boolean> {
  return connections.run(
    async session =>
      (await findStore(session, schema)) === null &&
      (await session.query('select 1 as one from pg_tables where schemaname = $1 limit 1', [schema])).length >
        0,
    { isRepeatable: true },
  )
}
