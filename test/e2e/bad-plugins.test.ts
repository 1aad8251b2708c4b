// Queries that throw, loop or do not load: commands and the other queries do not feel it, and `status` says so.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createControlClient } from '../../src/http/control-client.ts'
import { ask, createWorkplace, eventually, run, runJson } from './real-node.ts'

t.setTimeout(600_000)

interface Status {
  readonly queries: readonly {
    readonly name: string
    readonly state: string
    readonly lag: number
    readonly lastError: { readonly message: string } | null
  }[]
  readonly problems: readonly string[]
}

t.test('plugins that throw, loop or do not load stop nothing else and show in status', async t => {
  const place = createWorkplace()
  t.teardown(place.close)
  t.equal((await run(['init', place.folder])).code, 0)
  const queries = join(place.folder, 'config', 'queries')
  writeFileSync(join(queries, 'loops.ts'), 'export default () => { for (;;); }\n')
  writeFileSync(join(queries, 'throws.ts'), "export default () => { throw new Error('no such luck') }\n")
  writeFileSync(join(queries, 'broken.ts'), 'export default (\n')
  const node = await place.start('node', ['--config', join(place.folder, 'config')])
  const at = ['--data-dir', node.dataDir]
  const opened = await runJson<{ token: string }>([
    'send-command',
    'bank_account',
    'acc-1',
    'OpenAccount',
    ...at,
  ])
  const client = createControlClient({ socketPath: node.ready.control })
  t.teardown(() => client.close())
  const startedAt = performance.now()
  const deposit = { type: 'DepositMoney', data: { amount: 7 } }
  const paid = await client.execute('bank_account', 'acc-1', deposit, { timeoutMs: 60_000 })
  // The one that loops is ended after ten seconds.
  t.ok(performance.now() - startedAt < 8000, 'a command waits for none of them')
  if (paid.type !== 'accepted') throw new Error(JSON.stringify(paid))
  t.ok(opened.token !== paid.token)
  const answer = await runJson(['query', 'balance', 'get', 'id=acc-1', '--after', paid.token, ...at])
  t.match(answer, { amount: 7 }, 'another query answers')

  let status: Status = { queries: [], problems: [] }
  const errorOf = (name: string): string =>
    status.queries.find(query => query.name === name)?.lastError?.message ?? ''
  const bad = ['throws', 'loops', 'broken']
  // One that is being tried again is no problem just then.
  await eventually(async () => {
    status = await ask<Status>(['status', ...at])
    return bad.every(name => errorOf(name) !== '' && status.problems.some(problem => problem.includes(name)))
  }, 'status names the three, and each is a problem')
  t.match(errorOf('throws'), /no such luck/)
  t.match(errorOf('loops'), /10/, 'the limit of time is named')
  t.match(errorOf('broken'), /broken\.ts/)
  t.equal(status.queries.find(query => query.name === 'balance')?.state, 'running')
  t.equal(await node.kill('SIGTERM'), 0, 'the node stops as ever')
})
