// From nodes into PostgreSQL and back, on a real server: the same history by hash.
import { join } from 'node:path'
import t from 'tap'
import { directoryOf } from '../../support/directory-of.ts'
import { runCli } from '../../support/memory-io.ts'
import { postgresIsMissing, startPostgres } from '../../support/postgres-server.ts'
import { serveNode } from './served-node.ts'

const missing = postgresIsMissing()

t.test('a node, PostgreSQL, a node', { skip: missing ?? false, timeout: 180_000 }, async t => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const folder = directoryOf(t)
  const json = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { code, out, err } = await runCli(folder, [...args, '--json'])
    if (code !== 0) throw new Error(`${args.join(' ')}: ${code} ${err}`)
    return JSON.parse(out) as Record<string, unknown>
  }
  const a = await serveNode(t, join(folder, 'a'))
  for (let n = 0; n < 200; n += 1)
    await a.node.execute(
      'counter',
      `k${n % 30}`,
      { type: 'Add', data: { by: n } },
      { metadata: { '2': 'b', '1': 'ä' } },
    )
  const exported = await json('export', 'a.ndjson', '--data-dir', 'a')
  const store = ['--store', server.connectionString]
  const imported = await json('import', 'a.ndjson', ...store, '--partitions', '7')
  t.match(imported, { appended: 200, there: 0, hash: exported['hash'] })
  t.match(
    await json('import', 'a.ndjson', ...store),
    { appended: 0, there: 200 },
    'what it is bound to is found',
  )
  const back = await json('export', 'pg.cloudevents', '--format', 'cloudevents', ...store)
  t.match(back, { events: 200, hash: exported['hash'] })
  t.match(await json('export', 'later.ndjson', ...store, '--from', String(back['token'])), { events: 0 })
  await serveNode(t, join(folder, 'b'), { partitions: 3 })
  t.match(await json('import', 'pg.cloudevents', '--data-dir', 'b'), {
    appended: 200,
    hash: exported['hash'],
  })

  const wrong = async (...args: string[]) => await runCli(folder, args)
  t.match(await wrong('export', 'x', ...store, '--partitions', '8'), {
    code: 1,
    err: /belongs to scope default with 7 partitions/,
  })
  t.match(await wrong('export', 'x', ...store, '--data-dir', 'a'), { code: 2, err: /--store stands alone/ })
  t.match(await wrong('export', 'x', '--store', 'mysql://x'), { code: 2, err: /allowed: postgres:/ })
  t.match(await wrong('import', 'a.ndjson', '--partitions', '7'), { code: 2, err: /go with --store/ })
})
