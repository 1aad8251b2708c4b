// docs/stores.md, "Running nodes on a shared store": its program runs as it stands there.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import type { NodeApi } from '../../src/node/node-api.ts'
import { createMemorySharedStore } from '../../src/store/memory/memory-shared-store.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

t.test('the program of the document starts a node, and reads what it executed', async t => {
  const document = readFileSync(join(root, 'docs', 'stores.md'), 'utf8')
  const [, text = ''] = /^```ts shared-node\.ts\n([\s\S]*?)^```$/m.exec(document) ?? []
  const folder = t.testdir()
  const installed = join(folder, 'node_modules', 'glyn-node')
  mkdirSync(installed, { recursive: true })
  symlinkSync(join(root, 'src'), join(installed, 'src'))
  writeFileSync(join(installed, 'package.json'), '{"type":"module","exports":"./src/index.ts"}')
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'shared-node.ts'), text)
  const { start } = (await import(pathToFileURL(join(folder, 'shared-node.ts')).href)) as {
    start(...given: unknown[]): Promise<{ node: NodeApi; events: readonly object[] }>
  }
  const { node, events } = await start(createMemorySharedStore(), null, [])
  t.teardown(() => node.close())
  t.match(events, [{ type: 'Deposited', sequence: 1, data: '{"amount":5}', partition: Number, index: 1 }])
  t.equal((await node.status()).store.type, 'shared')
})
