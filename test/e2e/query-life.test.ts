// The life of a query file on a real node: dropped in, changed, broken, corrected, deleted, without a restart.
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ask, askInWords, createWorkplace, eventually, repository, run, runJson } from './real-node.ts'

t.setTimeout(600_000)

interface Query {
  readonly name: string
  readonly state: string
  readonly lag: number
  readonly lastError: { readonly message: string } | null
  readonly building: { readonly lastError: { readonly message: string } | null } | null
}

/** Counts events, times a factor. */
const count = (factor: number): string => `
import { factor } from './_factor.ts'
export default {
  name: 'count',
  init: db => db.exec('create table if not exists seen (n integer not null)'),
  handle: (id, events, { db }) => void db.prepare('insert into seen values (?)').run(events.length * factor * ${factor}),
  answer: { sum: db => db.prepare('select coalesce(sum(n), 0) as sum from seen').get() },
}
`

t.test('a query file is dropped in, changed, broken, corrected and deleted while the node runs', async t => {
  const place = createWorkplace()
  t.teardown(place.close)
  const config = join(place.folder, 'config')
  mkdirSync(config)
  cpSync(join(repository, 'config', 'aggregates'), join(config, 'aggregates'), { recursive: true })
  const node = await place.start('node', ['--config', config, '--partitions', '4'])
  const target = ['--data-dir', node.dataDir]
  await runJson(['send-command', 'bank_account', 'a', 'OpenAccount', ...target])
  for (let i = 0; i < 3; i += 1) {
    await runJson(['send-command', 'bank_account', 'a', 'DepositMoney', 'amount:=1', ...target])
  }
  const queries = () => ask<Query[]>(['queries', ...target])
  const sum = async () => (await ask<{ sum: number }>(['query', 'count', 'sum', ...target])).sum

  t.strictSame(await queries(), [], 'there is no folder of queries')
  const folder = join(config, 'queries')
  mkdirSync(folder)
  writeFileSync(join(folder, '_factor.ts'), 'export const factor = 1')
  writeFileSync(join(folder, 'count.ts'), count(1))
  await eventually(async () => (await sum()) === 4, 'it has caught up from the first event, and answers')

  writeFileSync(join(folder, 'count.ts'), count(10))
  await eventually(async () => (await sum()) === 40, 'the new version answers')
  writeFileSync(join(folder, '_factor.ts'), 'export const factor = 2')
  await eventually(async () => (await sum()) === 80, 'so does one whose helper has changed')

  writeFileSync(join(folder, 'count.ts'), 'export default {')
  await eventually(
    async () => /count\.ts: syntax error/.test((await queries())[0]?.building?.lastError?.message ?? ''),
    'queries says why the new version does not load',
  )
  const { token } = await runJson<{ token: string }>([
    'send-command',
    'bank_account',
    'a',
    'DepositMoney',
    'amount:=1',
    ...target,
  ])
  const after = await runJson(['query', 'count', 'sum', '--after', token, ...target])
  t.strictSame(after, { sum: 100 }, 'the old one goes on')
  // Not while it is tried again.
  await eventually(async () => {
    const stdout = await askInWords(['status', ...target])
    return /problem: query count: its new version does not get further: .*syntax error/.test(stdout)
  }, 'so does status')

  writeFileSync(join(folder, 'count.ts'), count(1))
  await eventually(async () => (await sum()) === 10, 'corrected, it takes over')
  await node.kill('SIGKILL')
  await node.restart()
  t.equal(await sum(), 10, 'a killed node goes on where it was')
  // Somewhere between the change of the file and the swap, or after it.
  for (const [round, waitMs] of [300, 900].entries()) {
    writeFileSync(join(folder, 'count.ts'), count(round + 3))
    await new Promise(resolve => setTimeout(resolve, waitMs))
    await node.kill('SIGKILL')
    await node.restart()
    await eventually(
      async () => (await sum()) === 10 * (round + 3),
      `killed after ${waitMs} ms: each event counts once`,
    )
  }
  await eventually(async () => (await queries())[0]?.building === null, 'nothing is left to build')
  const rebuilt = await run(['queries', 'rebuild', 'count', ...target])
  t.match(rebuilt, { code: 0, stdout: /^count is built again, in / }, rebuilt.stderr)
  t.equal(await sum(), 40)

  rmSync(join(folder, 'count.ts'))
  await eventually(async () => (await queries()).length === 0, 'deleted, it is gone')
  t.match(await run(['query', 'count', 'sum', ...target]), { code: 2, stderr: /no query "count"/ })
})

t.test('a node with a thread inside of a SQL statement without end can be stopped', async t => {
  const place = createWorkplace()
  t.teardown(place.close)
  const config = join(place.folder, 'config')
  mkdirSync(join(config, 'queries'), { recursive: true })
  const endless =
    'with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) as n from n'
  writeFileSync(
    join(config, 'queries', 'endless.ts'),
    `export default { name: 'endless', handle() {}, answer: { ever: db => db.prepare('${endless}').get() } }`,
  )
  const node = await place.start('node', ['--config', config, '--partitions', '1'])
  await eventually(
    async () => (await ask<Query[]>(['queries', '--data-dir', node.dataDir]))[0]?.state === 'running',
    'the thread is there',
  )
  const asked = await run(['query', 'endless', 'ever', '--timeout', '2s', '--data-dir', node.dataDir])
  t.match(asked.stderr, /did not answer ever within 2000 ms/)
  await node.kill('SIGTERM')
  t.match(node.log(), /a thread is inside of a SQL statement and does not end: the process is killed/)
})
