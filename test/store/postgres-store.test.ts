// The conformance kit on a real PostgreSQL.
import t from 'tap'
import { postgresStore } from '../../src/store/postgres/postgres-store.ts'
import { checkClaim, sharedStoreClaims } from '../../src/testing/shared-store/check-shared-store.ts'
import { postgresIsMissing, startPostgres } from '../support/postgres-server.ts'

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
