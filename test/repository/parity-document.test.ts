// docs/parity.md: every row says which test shows it, and that test is there.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../support/snippets.ts'

const document = readFileSync(join(root, 'docs', 'parity.md'), 'utf8')
/** The rows of all tables, without their heads. */
const rows = document
  .split('\n')
  .filter(line => line.startsWith('|') && !/^\| (promise|defect|what) \||^\| ?-/.test(line))
  .map(line => line.split(' | ').map(cell => cell.replace(/^\| | \|$/g, '')))

t.test('each row links to the tests that show it', async t => {
  t.ok(rows.length >= 25, `${rows.length} rows`)
  for (const [what = '', here = '', shown = '', ...rest] of rows) {
    t.strictSame([what !== '', here !== '', rest], [true, true, []], what)
    const links = [...shown.matchAll(/\]\(\.\.\/([^)]+)\)/g)].map(([, path = '']) => path)
    t.ok(links.length > 0, `${what} has a link`)
    for (const path of links) {
      t.match(path, /^test\/(types\/\w+\.ts|.*\.test\.ts)$/, path)
      t.ok(existsSync(join(root, path)), path)
    }
  }
})

t.test('every test of parity is linked', async t => {
  for (const name of readdirSync(join(root, 'test', 'parity'))) {
    if (name.endsWith('.test.ts')) t.ok(document.includes(`test/parity/${name}`), name)
  }
})
