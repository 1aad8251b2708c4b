// Several processes on one PostgreSQL, and what they leave in its tables.
import t from 'tap'
import { postgresIsMissing, startPostgres } from '../support/postgres-server.ts'
import { checkThreeProcesses } from './three-processes.ts'

t.test('three processes see one history', { skip: postgresIsMissing() ?? false }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  await checkThreeProcesses(t, server.connectionString)

  await t.test('and the tables say the same', async t => {
    const holes = server.sql(
      `select count(*) from (select partition, idx, lag(idx, 1, 0::bigint) over (partition by partition order by idx) as before
         from (select distinct partition, idx from glyn.events) entries) pairs where idx <> before + 1`,
    )
    t.equal(holes, '0', 'no index is missing')
    const gaps = server.sql(
      `select count(*) from (select sequence, lag(sequence, 1, 0::bigint) over (partition by aggregate_type, aggregate_id order by sequence) as before
         from glyn.events) pairs where sequence <> before + 1`,
    )
    t.equal(gaps, '0', 'no sequence is missing')
    const counts = server.sql(
      `select (select sum(events) from glyn.partitions) - (select count(*) from glyn.events),
         (select sum(aggregates) from glyn.partitions) - (select count(distinct (aggregate_type, aggregate_id)) from glyn.events)`,
    )
    t.equal(counts, '0|0', 'the counters are right')
  })
})
