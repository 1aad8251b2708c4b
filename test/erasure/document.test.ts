// The examples of docs/erasure.md do what is said there.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import { createNode } from '../../src/node/create-node.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import { installPluginResolution } from '../../src/plugin/resolve-hook.ts'
import { directoryOf } from '../support/directory-of.ts'
import { filesWith } from './customers.ts'

t.setTimeout(300_000)
installPluginResolution()
const document = readFileSync(fileURLToPath(new URL('../../docs/erasure.md', import.meta.url)), 'utf8')

t.test('a customer is forgotten: in the state, in the read model, in one that is built again', async t => {
  const folder = directoryOf(t)
  for (const [, path = '', text = ''] of document.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  const dataDirectory = join(folder, 'data')
  const node = await createNode({
    topic: 'customers',
    dataDirectory,
    configDirectory: join(folder, 'config'),
    partitions: 2,
  })
  t.teardown(() => node.close())
  t.same((await node.status()).problems, [])
  const act = async (id: string, type: string, data: object): Promise<string> => {
    const outcome = await node.execute('customer', id, { type, data })
    if (outcome.type === 'rejected') throw new Error(outcome.message)
    return outcome.token
  }
  await act('7', 'Register', { name: 'Grace Readable', email: 'grace@example.org' })
  const other = await act('8', 'Register', { name: 'Ada Readable', email: 'ada@example.org' })
  // Two customers, two partitions.
  const token = `${other},${await act('7', 'Order', { article: 'a book' })}`
  const names = (after: string) => node.query('names', 'all', {}, { after, timeoutMs: 60_000 })
  t.same(await names(token), [
    { id: '7', name: 'Grace Readable' },
    { id: '8', name: 'Ada Readable' },
  ])
  t.ok(filesWith(dataDirectory, 'Grace Readable').every(name => name.startsWith('queries/')))

  const { forget } = (await import(pathToFileURL(join(folder, 'examples/forget.ts')).href)) as {
    forget: (node: NodeApi, subject: string) => Promise<string>
  }
  t.equal(await forget(node, 'customer-7'), 'forgotten everywhere')
  await t.rejects(act('7', 'Register', { name: 'again', email: '' }), { code: 'SUBJECT_FORGOTTEN' })
  const later = await act('7', 'Order', { article: 'another book' })
  const left = [{ id: '8', name: 'Ada Readable' }]
  t.same(await names(later), left, 'the read model has forgotten')
  t.same((await node.loadAggregate('customer', '7')).state, { name: null, orders: 2 })
  const events = await node.loadEvents('customer', '7')
  t.match(
    events.map(({ type }) => type),
    ['glyn.Forgotten', 'Ordered', 'glyn.Forgotten', 'Ordered'],
  )
  await node.queries.rebuild('names')
  t.same(await names(later), left, 'built again, it ends the same')
})
