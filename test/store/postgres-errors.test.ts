// What a user reads when the database is not as it should be: where, what, and what to do; never the password.
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { ErrorCode, GlynError } from '../../src/core/errors.ts'
import { toStoreError } from '../../src/store/postgres/postgres-errors.ts'
import type { PostgresOptions } from '../../src/store/postgres/postgres-options.ts'
import { postgresStore } from '../../src/store/postgres/postgres-store.ts'
import { postgresIsMissing, startPostgres } from '../support/postgres-server.ts'
import { binding, deposit } from './shared-appends.ts'

const password = 'geheim-4711'

async function errorOf(action: () => unknown): Promise<GlynError> {
  try {
    await action()
  } catch (error) {
    return error as GlynError
  }
  throw new Error('nothing went wrong')
}

async function openError(options: PostgresOptions): Promise<GlynError> {
  return errorOf(async () => {
    const store = postgresStore({ connectTimeoutMs: 2000, ...options })
    try {
      await store.open(binding)
    } finally {
      await store.close()
    }
  })
}

t.test('options that are not allowed are named', async t => {
  const connectionString = `postgres://bank:${password}@db.example/bank`
  const cases: readonly (readonly [PostgresOptions, RegExp])[] = [
    [{ connectionString: '' }, /connectionString is not one; allowed: postgres:/],
    [{ connectionString: `mysql://bank:${password}@db/bank` }, /connectionString is not one/],
    [{ connectionString: `postgres://bank:${password}/@db/bank` }, /cannot be read; .*\/ is %2F/],
    [{ connectionString: `postgres://bank:12#${password}@db/bank` }, /cannot be read; .* # is %23/],
    [{ connectionString: `postgres://bank:${password}@one,two/bank` }, /names several hosts/],
    [{ connectionString, schema: 'Bank' }, /schema is "Bank"; allowed: 1 to 63 lower-case letters/],
    [{ connectionString, schema: 'pg_bank' }, /schema is "pg_bank"/],
    [{ connectionString, schema: 'a; drop table events' }, /schema is "a; drop table events"/],
    [{ connectionString, poolSize: 0 }, /poolSize is 0; allowed: a whole number from 1 to 500/],
    [{ connectionString, statementTimeoutMs: 1.5 }, /statementTimeoutMs is 1.5/],
    [{ connectionString, connectTimeoutMs: Number.NaN }, /connectTimeoutMs is NaN/],
  ]
  for (const [options, message] of cases) {
    const error = await errorOf(() => postgresStore(options))
    t.equal(error.code, 'INVALID_CONFIGURATION', String(message))
    t.match(error.message, message)
    t.notMatch(error.message, new RegExp(password))
  }
  const unusable = postgresStore({ connectionString: `${connectionString}?sslrootcert=/no/such/file` })
  await t.rejects(unusable.open(binding), { code: 'INVALID_CONFIGURATION' })
  await t.resolves(unusable.close(), 'a store that never opened can be closed')
  const missing = await openError({ connectionString: `${connectionString}?sslrootcert=/no/such/file` })
  t.match(missing, { code: 'INVALID_CONFIGURATION', message: /ENOENT.*files of sslrootcert/ })
  t.notMatch(missing.message, new RegExp(password))
})

t.test('the location names host, port, database and schema, and no secret', async t => {
  for (const [connectionString, schema, location] of [
    [`postgres://bank:${password}@db.example/bank`, 'glyn', 'postgres://db.example:5432/bank'],
    [`postgresql://bank:%40@[::1]:7/bank?sslmode=verify-full`, 'two', 'postgres://[::1]:7/bank?schema=two'],
    [`postgres://b:c@/bank?host=/run/pg`, 'glyn', 'postgres:///bank?host=/run/pg&port=5432'],
    [`postgres://db/bank?password=${password}&user=u`, 'glyn', 'postgres://db:5432/bank'],
    ['postgres://b:p%zz@db/bank%zz', 'glyn', 'postgres://db:5432/bank%zz'],
  ] as const) {
    t.equal(postgresStore({ connectionString, schema }).location, location)
  }
})

t.test('what the database says has a code of ours and says what to do', async t => {
  const cases: readonly (readonly [string, ErrorCode, RegExp])[] = [
    ['53100', 'STORE_FULL', /disk of the database is full; make room/],
    ['25006', 'STORE_READ_ONLY', /a standby/],
    ['57P01', 'UNAVAILABLE', /may have been written/],
    ['08006', 'UNAVAILABLE', /may have been written/],
    ['53300', 'UNAVAILABLE', /max_connections/],
    ['57014', 'UNAVAILABLE', /took too long/],
    ['40001', 'TRANSACTION_FAILED', /again and again/],
    ['XX001', 'STORE_CORRUPT', /restore a backup/],
    ['58030', 'EVENT_STORE_ERROR', /disk of the database failed/],
    ['22021', 'EVENT_STORE_ERROR', /PostgreSQL refused/],
    ['EHOSTUNREACH', 'UNAVAILABLE', /firewalls/],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'INVALID_CONFIGURATION', /sslrootcert=<file>/],
  ]
  for (const [code, ours, message] of cases) {
    const error = toStoreError(Object.assign(new Error('as it says'), { code }), 'postgres://db:5432/bank')
    t.match(error, { code: ours, details: { postgres: code } })
    t.match(error.message, message)
    t.match(error.message, /^store postgres:\/\/db:5432\/bank: .*as it says/)
  }
})

t.test('nobody there', async t => {
  const probe = createServer(socket => socket.on('error', () => {}).resume())
  await new Promise<void>(resolve => probe.listen(0, '127.0.0.1', resolve))
  const address = probe.address()
  const port = typeof address === 'object' ? address?.port : 0
  const silent = await openError({
    connectionString: `postgres://bank:${password}@127.0.0.1:${port}/bank`,
    connectTimeoutMs: 400,
  })
  t.match(silent, { code: 'UNAVAILABLE', retryable: true, message: /did not answer in time/ })
  await new Promise(resolve => probe.close(resolve))

  const refused = await openError({ connectionString: `postgres://bank:${password}@127.0.0.1:${port}/bank` })
  t.match(refused, { code: 'UNAVAILABLE', retryable: true })
  t.match(
    refused.message,
    new RegExp(`^store postgres://127.0.0.1:${port}/bank: nothing listens there; start`),
  )
  const unknown = await openError({
    connectionString: `postgres://bank:${password}@no-such-host.invalid/bank`,
  })
  t.match(unknown, { code: 'UNAVAILABLE', message: /the host name is not known/ })
  const socket = await openError({ connectionString: 'postgres:///bank?host=/no/such/folder' })
  t.match(socket, { code: 'UNAVAILABLE', message: /there is no socket/ })
  for (const { message } of [silent, refused, unknown]) t.notMatch(message, new RegExp(password))
})

t.test('a real server that says no', { skip: postgresIsMissing() ?? false }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  server.sql(`create role closed login password '${password}'; create role guest login; create database bank;
    create database latin encoding 'SQL_ASCII' template template0; create database readonly;
    alter database readonly set default_transaction_read_only = on`)
  const hba = join(server.folder, 'data', 'pg_hba.conf')
  writeFileSync(
    hba,
    `host all closed 127.0.0.1/32 scram-sha-256\nhost all stranger all reject\n${readFileSync(hba, 'utf8')}`,
  )
  server.sql('select pg_reload_conf()')

  const cases: readonly (readonly [string, Partial<PostgresOptions>, ErrorCode, RegExp])[] = [
    [server.url({ user: 'closed', password: 'x' }), {}, 'INVALID_CONFIGURATION', /user or password is wrong/],
    [server.url({ user: 'closed' }), {}, 'INVALID_CONFIGURATION', /wants a password/],
    [server.url({ user: 'nobody', password }), {}, 'INVALID_CONFIGURATION', /does not let this user in/],
    [server.url({ user: 'stranger', password }), {}, 'INVALID_CONFIGURATION', /pg_hba.conf/],
    [
      server.url({ database: 'nowhere', password }),
      {},
      'INVALID_CONFIGURATION',
      /does not exist; make it with createdb/,
    ],
    [server.url({ database: 'latin' }), {}, 'INVALID_CONFIGURATION', /encoding SQL_ASCII, .*allowed: UTF8/],
    [server.url({ database: 'readonly' }), {}, 'STORE_READ_ONLY', /name the primary/],
    [server.url({ user: 'guest', database: 'bank' }), {}, 'STORE_READ_ONLY', /lacks a right; .*grant create/],
    [`${server.connectionString}?sslmode=verify-full`, {}, 'INVALID_CONFIGURATION', /speaks no TLS/],
  ]
  for (const [connectionString, options, code, message] of cases) {
    const error = await openError({ connectionString, connectTimeoutMs: 20_000, ...options })
    t.equal(error.code, code, `${connectionString}: ${error.message}`)
    t.match(error.message, message)
    t.match(error.message, /postgres:\/\/127.0.0.1|postgres store/)
    t.notMatch(error.message, new RegExp(password))
  }

  t.test('a right that is missing later, a table that is gone', async t => {
    const owner = postgresStore({ connectionString: server.connectionString })
    t.teardown(() => owner.close())
    await owner.open(binding)
    server.sql('grant usage on schema glyn to guest; grant select on all tables in schema glyn to guest')
    const guest = postgresStore({ connectionString: server.url({ user: 'guest' }) })
    t.teardown(() => guest.close())
    await guest.open(binding)
    t.strictSame(await guest.heads(), new Map(), 'who may only read can read')
    t.match(await errorOf(() => guest.append([deposit('a', 0, 'c')])), {
      code: 'STORE_READ_ONLY',
      message: /lacks a right/,
    })
    server.sql('drop table glyn.snapshots')
    t.match(await errorOf(() => owner.latestSnapshot({ type: 'a', id: 'b' })), {
      code: 'EVENT_STORE_ERROR',
      message: /tables of the store are missing/,
    })
    await owner.append([deposit('a', 0, 'c')])
    t.equal(server.sql('select count(*) from glyn.events'), '1', 'and the rest goes on')
  })
})
