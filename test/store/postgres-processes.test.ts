// Several processes append to one PostgreSQL and follow it: all see the same order, without holes, from the first moment.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { plainly } from '../support/plainly.ts'
import { postgresIsMissing, startPostgres } from '../support/postgres-server.ts'

const script = fileURLToPath(new URL('./append-and-follow.ts', import.meta.url))
const callsEach = 25
const names = ['a', 'b', 'c']

t.test('three processes see one history', { skip: postgresIsMissing() ?? false }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const children = names.map(name => {
    const child = spawn(
      ...plainly(process.execPath, [
        '--disable-warning=ExperimentalWarning',
        script,
        server.connectionString,
        name,
        `${callsEach}`,
      ]),
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
    t.teardown(() => child.kill('SIGKILL'))
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', text => {
      errors += text
    })
    const lines: string[] = []
    const { promise: isWritten, resolve: written } = Promise.withResolvers<void>()
    createInterface({ input: child.stdout }).on('line', line => {
      lines.push(line)
      if (line === 'written') written()
    })
    const ended = once(child, 'close').then(([code]) => {
      written()
      return `exit ${code} ${errors}`
    })
    return { child, lines, isWritten, ended }
  })
  await Promise.all(children.map(({ isWritten }) => isWritten))
  for (const { child } of children) child.stdin.write('end\n')
  for (const { ended } of children) t.equal(await ended, 'exit 0 ')
  const seen = children.map(({ lines }) => lines.filter(line => line.startsWith('saw')))
  t.equal(seen[0]?.length, 4)
  for (const other of seen) t.strictSame(other, seen[0], 'the same entries in the same order')
  const entries = (seen[0] ?? []).reduce((sum, line) => sum + Number(line.split(' ')[2]), 0)
  t.ok(entries >= names.length * 3 * callsEach, `${entries} entries`)

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
