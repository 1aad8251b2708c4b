import { join } from 'node:path'
import t from 'tap'
// Loaded before the plugins, whose imports have a deadline.
import '../../src/index.ts'
import { loadAggregates } from '../../src/plugin/load-aggregates.ts'

const aggregate = (type: string): string => `
import { defineAggregate } from 'glyn-node'
export default defineAggregate({ type: '${type}', emptyState: 0, handle: () => [], apply: state => state })
`

t.test('a folder of good and bad files: the good ones load, each bad one says why', async t => {
  const directory = t.testdir({
    'b-good.ts': aggregate('good'),
    'a-plain.js': `export default { type: 'plain', emptyState: 0, handle() { return [] }, apply(state) { return state } }`,
    'module.mjs': aggregate('module'),
    'syntax.ts': 'export default {\n  type: (((\n}',
    'enum.ts': 'enum Colour { Red }\nexport default Colour',
    'throws.ts': `throw new TypeError('no luck')`,
    'throws-text.ts': `throw 'just text'`,
    'nothing.ts': '',
    'named.ts': 'export const aggregate = {}',
    'shape.ts': `export default { type: 'shape', emptyState: 0, handle() {} }`,
    'refused.ts': aggregate('1 bad name'),
    'missing-import.ts': `import './not-there.ts'\nexport default {}`,
    'never.ts': 'await new Promise(() => {})\nexport default {}',
    'twin-1.ts': aggregate('twin'),
    'twin-2.ts': aggregate('twin'),
    '_helper.ts': 'throw new Error("must not be imported")',
    '.hidden.ts': 'throw new Error("must not be imported")',
    'types.d.ts': 'export {}',
    'good.test.ts': 'throw new Error("must not be imported")',
    'notes.md': '# notes',
    README: 'text',
    'folder.ts': {},
    deeper: { 'inner.ts': aggregate('inner') },
  })
  const { loaded, failed, ignored } = await loadAggregates(directory, { importTimeoutMs: 3000 })
  const names = (files: readonly { readonly file: string }[]): string[] =>
    files.map(({ file }) => file.slice(directory.length + 1))

  t.strictSame(names(loaded), ['a-plain.js', 'b-good.ts', 'module.mjs'], 'sorted')
  t.strictSame(
    loaded.map(({ definition }) => definition.type),
    ['plain', 'good', 'module'],
  )
  t.match(loaded[0], { contentHash: /^[0-9a-f]{64}$/ })

  const messages = new Map(failed.map(({ file, message }) => [file.slice(directory.length + 1), message]))
  const table: Record<string, RegExp> = {
    'syntax.ts': /syntax\.ts: syntax error/,
    'enum.ts': /enum\.ts: .*enum/i,
    'throws.ts': /throws\.ts: TypeError: no luck/,
    'throws-text.ts': /throws-text\.ts: the module threw "just text"/,
    'nothing.ts': /nothing\.ts: no default export; it exports nothing/,
    'named.ts': /named\.ts: no default export; it exports only aggregate/,
    'shape.ts': /shape\.ts: the default export is not a valid aggregate: aggregate: apply is missing/,
    'refused.ts': /refused\.ts: .*type is "1 bad name"; allowed: letters/,
    'missing-import.ts': /missing-import\.ts: .*not-there\.ts/,
    'never.ts': /never\.ts: its import did not finish within 3000 ms/,
    'twin-1.ts': /twin-1\.ts: aggregate twin is also defined by .*twin-2\.ts; none of them is loaded/,
    'twin-2.ts': /twin-2\.ts: aggregate twin is also defined by .*twin-1\.ts/,
  }
  t.strictSame([...messages.keys()].sort(), Object.keys(table).sort())
  for (const [file, message] of Object.entries(table)) {
    t.match(messages.get(file), message)
    t.ok(messages.get(file)?.startsWith(join(directory, file)), `${file} is named by its whole path`)
  }
  t.match(failed.find(({ file }) => file.endsWith('throws.ts'))?.stack, /throws\.ts:1/, 'with its stack')

  const whys = Object.fromEntries(ignored.map(({ file, why }) => [file.slice(directory.length + 1), why]))
  t.strictSame(whys, {
    '.hidden.ts': 'its name starts with .',
    README: 'its extension is missing; allowed: .ts, .js, .mjs',
    '_helper.ts': 'its name starts with _ (a helper of other files)',
    deeper: 'its extension is missing; allowed: .ts, .js, .mjs',
    'folder.ts': 'it is a directory',
    'good.test.ts': 'it is a test',
    'notes.md': 'its extension is .md; allowed: .ts, .js, .mjs',
    'types.d.ts': 'it holds declarations only',
  })
})

t.test('a directory that is not there is empty, with a note', async t => {
  const directory = join(t.testdir(), 'nowhere')
  t.strictSame(await loadAggregates(directory), {
    loaded: [],
    failed: [],
    ignored: [{ file: directory, why: 'the directory does not exist' }],
  })
})

t.test('a file where a directory should be is a failure that names it', async t => {
  const file = join(t.testdir({ aggregates: 'text' }), 'aggregates')
  t.match(await loadAggregates(file), {
    loaded: [],
    failed: [{ file, message: /cannot be listed: ENOTDIR/ }],
  })
})

t.test('a file whose content changed is another module', async t => {
  const { writeFileSync } = await import('node:fs')
  const directory = t.testdir({ 'one.ts': aggregate('first') })
  const first = await loadAggregates(directory)
  writeFileSync(join(directory, 'one.ts'), aggregate('second'))
  const second = await loadAggregates(directory)
  t.strictSame(
    [first, second].map(({ loaded }) => loaded[0]?.definition.type),
    ['first', 'second'],
  )
  t.not(first.loaded[0]?.contentHash, second.loaded[0]?.contentHash)
})
