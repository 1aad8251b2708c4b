// The examples of docs/reactions.md do what is said there.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import { createNode } from '../../src/node/create-node.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import { installPluginResolution } from '../../src/plugin/resolve-hook.ts'
import { eventually } from '../node/memory-cluster.ts'
import { directoryOf } from '../support/directory-of.ts'

t.setTimeout(300_000)
installPluginResolution()
const root = fileURLToPath(new URL('../..', import.meta.url))
const document = readFileSync(join(root, 'docs', 'reactions.md'), 'utf8')

/** Each example under the path that its first line names, beside a copy of the bank. */
function lay(folder: string): void {
  cpSync(join(root, 'config'), join(folder, 'config'), { recursive: true })
  for (const [, path = '', text = ''] of document.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
}

const urlOf = (folder: string, path: string): string => pathToFileURL(join(folder, path)).href

t.test('the config folder: a present once, and a report with a key for a large deposit', async t => {
  const folder = directoryOf(t)
  lay(folder)
  const reports: { readonly key: unknown; readonly body: string }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => (body += String(chunk)))
    request.on('end', () => {
      reports.push({ key: request.headers['idempotency-key'], body })
      // The first time it fails after it has had its effect.
      response.writeHead(reports.length === 1 ? 500 : 200).end()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  process.env['REPORT_URL'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.teardown(() => delete process.env['REPORT_URL'])
  // Without a data directory the query would write where the test was started.
  process.env['GLYN_AUDIT_FILE'] = join(folder, 'audit.log')
  t.teardown(() => delete process.env['GLYN_AUDIT_FILE'])
  const node = await createNode({
    topic: 'bank_events',
    dataDirectory: null,
    configDirectory: join(folder, 'config'),
    partitions: 2,
  })
  t.teardown(() => node.close())
  t.same((await node.status()).problems, [])
  const act = (type: string, data: object = {}) =>
    node.execute('bank_account', 'ann', { type, data }, { metadata: { user: type } })
  const balance = async (): Promise<number> =>
    ((await node.loadAggregate('bank_account', 'ann')).state as { balance: number }).balance
  await act('OpenAccount')
  await eventually(async () => (await balance()) === 5, 'the present')
  const [, present] = await node.loadEvents('bank_account', 'ann')
  t.match(present, { commandId: 'glyn:out/welcome/1.0/ann', metadata: { user: 'OpenAccount' } })
  await act('DepositMoney', { amount: 1000 })
  await eventually(() => reports.length === 2, 'the report, and once more')
  const key = 'large-deposits:bank_account/ann/3'
  const body = JSON.stringify({ account: 'ann', amount: 1000 })
  t.strictSame(reports, [
    { key, body },
    { key, body },
  ])
  await act('WithDrawMoney', { amount: 1005 })
  const timers = async () => (await node.status()).reactions.find(({ name }) => name === 'welcome')?.timers
  await eventually(async () => (await timers()) === 1, 'a timer waits for the empty account')
  await act('DepositMoney', { amount: 1 })
  await eventually(async () => (await timers()) === 0, 'and is cancelled')

  t.match((await node.loadAggregate('glyn.process.welcome', 'ann')).state, { state: { balance: 1 } })
  await t.rejects(node.execute('glyn.process.welcome', 'ann', { type: 'Fire', data: {} }), {
    code: 'INVALID_ARGUMENT',
    message: /one that does not begin with glyn\./,
  })
  await t.rejects(
    node.execute(
      'bank_account',
      'ann',
      { type: 'CloseAccount', data: {} },
      { commandId: 'glyn:out/welcome/9.0/ann' },
    ),
    { code: 'INVALID_ARGUMENT', message: /command id is .*one that does not begin with glyn:/ },
  )
  const told: string[] = []
  for await (const { id } of node.subscribe({
    from: 'start',
    until: 'now',
    signal: new AbortController().signal,
  }))
    told.push(id)
  t.strictSame(
    told.sort(),
    [1, 2, 3, 4, 5].map(n => `bank_account/ann/${n}`),
    'feeds show no entries of ours',
  )
  await eventually(async () => {
    const found = (await node.query('balance', 'get', { id: 'ann' })) as { readonly amount: number } | null
    return found?.amount === 1
  }, 'the query has seen all of it')
})

t.test('in the library', async t => {
  const folder = directoryOf(t)
  lay(folder)
  const path = join(folder, 'library.ts')
  writeFileSync(path, `${readFileSync(path, 'utf8')}\nexport { node }\n`)
  const { node } = (await import(urlOf(folder, 'library.ts'))) as { readonly node: NodeApi }
  t.teardown(() => node.close())
  t.match((await node.status()).reactions, [
    { kind: 'handler', name: 'audit', state: 'running' },
    { kind: 'process', name: 'welcome', state: 'running' },
  ])
})

t.test('in the simulator', async t => {
  const folder = directoryOf(t)
  lay(folder)
  await import(urlOf(folder, 'simulated.ts'))
  t.match(document, /a present is given once/)
})
