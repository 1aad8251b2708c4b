// The tables: made once, brought up to date by whoever comes first, readable for people, and not touched when they are not ours.
import t from 'tap'
import { type PostgresMigration, postgresMigrations } from '../../src/store/postgres/postgres-schema.ts'
import { createPostgresStore, postgresStore } from '../../src/store/postgres/postgres-store.ts'
import { postgresIsMissing, startPostgres } from '../support/postgres-server.ts'
import { binding, deposit } from './shared-appends.ts'

const next: readonly PostgresMigration[] = [
  ...postgresMigrations,
  { version: 2, statements: schema => [`alter table ${schema}.events add column note text`] },
  { version: 3, statements: schema => [`update ${schema}.events set note = 'of format 3'`] },
]

t.test('the tables of a PostgreSQL store', { skip: postgresIsMissing() ?? false }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const { connectionString } = server

  await t.test('an older format is brought up to date, once, by many that open at once', async t => {
    const old = postgresStore({ connectionString })
    await old.open(binding)
    await old.append([deposit('a', 0, 'c1'), deposit('b', 0, 'c1')])
    const stores = Array.from({ length: 4 }, () => createPostgresStore({ connectionString }, next))
    await Promise.all(stores.map(store => store.open(binding)))
    t.equal(server.sql('select format from glyn.store'), '3')
    t.equal(server.sql("select count(*) from glyn.events where note = 'of format 3'"), '2')
    t.match(await stores[0]?.append([deposit('a', 1, 'c2')]), [{ type: 'appended' }])
    t.match(await old.append([deposit('b', 1, 'c2')]), [{ type: 'appended' }], 'who has it open goes on')
    await Promise.all([...stores, old].map(store => store.close()))
  })

  await t.test('a newer format is refused, and left as it is', async t => {
    const store = postgresStore({ connectionString })
    t.teardown(() => store.close())
    await t.rejects(store.open(binding), {
      code: 'STORE_FORMAT',
      message: /it has format 3; this version reads formats 1 to 1. Use a newer glyn-node/,
    })
    t.equal(server.sql('select format from glyn.store'), '3')
  })

  await t.test('a step that fails leaves the format as it was', async t => {
    const broken = [
      ...next,
      { version: 4, statements: () => ['create table glyn.half (id int)', 'select 1 / 0'] },
    ]
    const store = createPostgresStore({ connectionString }, broken)
    t.teardown(() => store.close())
    await t.rejects(store.open(binding), { code: 'EVENT_STORE_ERROR', message: /division by zero/ })
    t.equal(server.sql('select format from glyn.store'), '3')
    t.equal(server.sql("select count(*) from pg_tables where tablename = 'half'"), '0')
  })

  await t.test('tables of another program are not touched', async t => {
    server.sql('create schema shop; create table shop.events (id int); insert into shop.events values (1)')
    server.sql('create schema inn; create table inn.store (name text)')
    for (const schema of ['shop', 'inn']) {
      const store = postgresStore({ connectionString, schema })
      t.teardown(() => store.close())
      await t.rejects(store.open(binding), {
        code: 'STORE_FORMAT',
        message: /has tables of another program.*use an empty schema/,
      })
    }
    t.equal(server.sql("select count(*) from pg_tables where schemaname in ('shop', 'inn')"), '2')
  })

  await t.test('a schema that somebody made beforehand is used, without the right to make one', async t => {
    server.sql(`create role app login; create schema mine authorization app`)
    const store = postgresStore({ connectionString: server.url({ user: 'app' }), schema: 'mine' })
    t.teardown(() => store.close())
    await store.open(binding)
    t.match(await store.append([deposit('a', 0, 'c')]), [{ type: 'appended', index: 1 }])
  })

  await t.test('people can read it with psql', async t => {
    t.equal(
      server.sql(
        "select aggregate_type, aggregate_id, sequence, type, data, time at time zone 'utc' from mine.history",
      ),
      'bank_account|a|1|Deposited|{"amount":1}|2023-11-14 22:13:20',
    )
  })

  await t.test('the database holds the rules, whoever writes', async t => {
    const row = (partition: number, index: number, sequence: number, command: string): string =>
      `insert into mine.events values (${partition}, ${index}, 0, 'bank_account', 'a', ${sequence}, 'Deposited', 1, '{}', '{}', '${command}', 0)`
    t.throws(() => server.sql(row(1, 99, 1, 'x')), /events_by_aggregate/, 'a sequence is there once')
    t.throws(() => server.sql(row(1, 99, 2, 'c')), /events_by_command/, 'a command id is there once')
    t.throws(() => server.sql(row(1, 99, 0, 'x')), /check constraint/, 'sequences begin at 1')
  })

  await t.test('a commit is on the disk, though the database would not wait for it', async t => {
    server.sql('create database fast; alter database fast set synchronous_commit = off')
    const store = postgresStore({ connectionString: server.url({ database: 'fast' }) })
    t.teardown(() => store.close())
    await store.open(binding)
    server.sql(
      `create table glyn.seen (value text);
      create function glyn.look() returns trigger language plpgsql as
        $$ begin insert into glyn.seen values (current_setting('synchronous_commit')); return new; end $$;
      create trigger look after insert on glyn.events for each row execute function glyn.look()`,
      'fast',
    )
    await store.append([deposit('a', 0, 'c')])
    t.equal(server.sql('select value from glyn.seen', 'fast'), 'on')
  })
})
