// The conformance kit on a real PostgreSQL, and the ways to it: a socket, TLS.
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { postgresStore } from '../../src/store/postgres/postgres-store.ts'
import { checkClaim, sharedStoreClaims } from '../../src/testing/shared-store/check-shared-store.ts'
import { postgresIsMissing, startPostgres } from '../support/postgres-server.ts'
import { binding, deposit } from './shared-appends.ts'

const missing = postgresIsMissing()
t.test('the PostgreSQL store keeps the promises of a shared store', { skip: missing ?? false }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const { connectionString } = server
  for (const claim of sharedStoreClaims) {
    await t.test(claim.name, () =>
      checkClaim(claim, { create: place => postgresStore({ connectionString, schema: place, poolSize: 4 }) }),
    )
  }
})

t.test('a unix socket leads to it', { skip: missing ?? false }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const connectionString = `postgres://glyn@/postgres?host=${server.folder}&port=${server.port}`
  const store = postgresStore({ connectionString, schema: 'by_socket' })
  t.teardown(() => store.close())
  t.equal(store.location, `postgres:///postgres?host=${server.folder}&port=${server.port}&schema=by_socket`)
  await store.open(binding)
  t.match(await store.append([deposit('a', 0, 'c')]), [{ type: 'appended', index: 1 }])
})

const openssl = spawnSync('openssl', ['version']).status === 0 ? null : 'openssl is not installed'

t.test('TLS, with an authority that is trusted or not', { skip: missing ?? openssl ?? false }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const [key, certificate] = [join(server.folder, 'server.key'), join(server.folder, 'server.crt')]
  const made = spawnSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=IP:127.0.0.1,DNS:localhost',
      '-keyout',
      key,
      '-out',
      certificate,
    ],
    { encoding: 'utf8' },
  )
  t.equal(made.status, 0, made.stderr)
  chmodSync(key, 0o600)
  const { uid, gid } = statSync(server.folder)
  chownSync(key, uid, gid)
  server.sql(`alter system set ssl_key_file = '${key}'`)
  server.sql(`alter system set ssl_cert_file = '${certificate}'`)
  server.sql('alter system set ssl = on')
  server.sql('select pg_reload_conf()')
  const stranger = postgresStore({ connectionString: `${server.connectionString}?sslmode=verify-full` })
  t.teardown(() => stranger.close())
  await t.rejects(stranger.open(binding), {
    code: 'INVALID_CONFIGURATION',
    message: /its certificate is not trusted; .*sslrootcert=/,
  })
  const store = postgresStore({
    connectionString: `${server.connectionString}?sslmode=verify-full&sslrootcert=${certificate}`,
  })
  t.teardown(() => store.close())
  await store.open(binding)
  t.match(await store.append([deposit('a', 0, 'c')]), [{ type: 'appended', index: 1 }])
  t.equal(
    server.sql(
      "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'glyn-node'",
    ),
    't',
  )
})
