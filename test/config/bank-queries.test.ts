// The two queries of the example, from the files that users get, and its settings.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'
import { loadAggregates } from '../../src/plugin/load-aggregates.ts'
import { loadQueries } from '../../src/query/load-queries.ts'
import { createMemorySource } from '../query/memory-source.ts'
import { until, withHost } from '../query/with-host.ts'

const config = fileURLToPath(new URL('../../config/', import.meta.url))

t.test('the example loads without a complaint', async t => {
  const aggregates = await loadAggregates(join(config, 'aggregates'))
  t.match(aggregates, { failed: [], loaded: [{ definition: { type: 'bank_account' } }] })
  const queries = await loadQueries(join(config, 'queries'))
  t.match(queries, { failed: [], ignored: [], queries: [{ name: 'audit' }, { name: 'balance' }] })
})

t.test('balance and audit follow the accounts', async t => {
  const source = createMemorySource()
  const { queries } = await loadQueries(join(config, 'queries'))
  const { host, status, directory } = await withHost(t, { queries, source })
  source.append(1, { id: 'acc-1', events: [['AccountOpened', {}]] })
  source.append(1, { id: 'acc-1', events: [['CustomerDepositedCash', { amount: 100, balance: 100 }]] })
  source.append(2, { id: 'acc-2', events: [['AccountOpened', {}]] })
  source.append(1, { id: 'acc-1', events: [['CustomerWithdrewCash', { amount: 30.5, balance: 69.5 }]] })
  source.append(2, { id: 'acc-2', events: [['CustomerDepositedCash', { amount: 7, balance: 7 }]] })
  source.append(2, { id: 'acc-2', events: [['AccountClosed', {}]] })
  source.append(2, { id: 'acc-3', type: 'something_else', events: [['AccountOpened', {}]] })
  await until(() => status('balance').lag === 0 && status('audit').lag === 0, { see: host.status })

  const ask = (question: string, parameters = {}) =>
    host.ask('balance', question, parameters, { timeoutMs: 60_000 })
  t.strictSame(await ask('get', { id: 'acc-1' }), { id: 'acc-1', amount: 69.5, status: 'open' })
  t.strictSame(await ask('get', { id: 'acc-2' }), { id: 'acc-2', amount: 7, status: 'closed' })
  t.equal(await ask('get', { id: 'acc-3' }), null)
  t.match(await ask('top'), [{ id: 'acc-1' }, { id: 'acc-2' }])
  t.match(await ask('top', { limit: '1' }), [{ id: 'acc-1' }])
  t.strictSame(await ask('total'), { accounts: 2, amount: 76.5 })

  const lines = readFileSync(join(directory, 'data', 'audit.log'), 'utf8')
    .trim()
    .split('\n')
  t.equal(lines.length, 7)
  t.strictSame(
    lines.filter(line => line.includes(' bank_account/acc-1/')),
    [
      '2023-11-14T22:13:20.001Z bank_account/acc-1/1 AccountOpened v1 {}',
      '2023-11-14T22:13:20.002Z bank_account/acc-1/2 CustomerDepositedCash v1 {"amount":100,"balance":100}',
      '2023-11-14T22:13:20.003Z bank_account/acc-1/3 CustomerWithdrewCash v1 {"amount":30.5,"balance":69.5}',
    ],
  )
})

t.test('the settings file is YAML', async t => {
  t.match(parse(readFileSync(join(config, 'glyn.yaml'), 'utf8')), { topic: 'bank_events' })
})
