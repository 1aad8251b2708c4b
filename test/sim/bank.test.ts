// The example of docs/testing.md runs as it stands there; and its invariant sees a bank that makes money.
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import { installPluginResolution } from '../../src/plugin/resolve-hook.ts'

installPluginResolution()
const root = fileURLToPath(new URL('../..', import.meta.url))
const document = readFileSync(join(root, 'docs', 'testing.md'), 'utf8')
const [, example = ''] = /```ts\n(import { simulate }[\s\S]*?)```/.exec(document) ?? []

/** The example beside a copy of the example's config. Its import runs it. */
function lay(folder: string, changes: { readonly find: string; readonly replace: string }): string {
  cpSync(join(root, 'config'), join(folder, 'config'), { recursive: true })
  const testing = pathToFileURL(join(root, 'src', 'testing', 'index.ts')).href
  const path = join(folder, 'bank.ts')
  writeFileSync(
    path,
    example.replace("'glyn-node/testing'", `'${testing}'`).replace(changes.find, changes.replace),
  )
  return pathToFileURL(path).href
}

t.test('the example of docs/testing.md passes', async t => {
  await import(lay(t.testdir(), { find: '', replace: '' }))
  t.match(example, /money is neither made nor lost/)
})

t.test('a transfer that pays more than it takes is found, and told', async t => {
  const url = lay(t.testdir(), {
    find: "bank_account', to, { type: 'DepositMoney', data: { amount }",
    replace: "bank_account', to, { type: 'DepositMoney', data: { amount: amount + 1 }",
  })
  const failure = await import(url).then(
    () => null,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
  t.match(failure, /seed 1: money is neither made nor lost: there are \d+ in \d accounts/)
  t.match(failure, /\d\.\d{3} s {2}/, 'with what happened before')
})
