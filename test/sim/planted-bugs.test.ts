// The list of planted bugs keeps up with the source: every one of them can still be planted.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { changed } from './plant.ts'
import { plantedBugs } from './planted-bugs.ts'

const read = (file: string): string =>
  readFileSync(fileURLToPath(new URL(`../../${file}`, import.meta.url)), 'utf8')

t.test('every planted bug changes a place that is there, once', async t => {
  t.ok(plantedBugs.length >= 10)
  t.equal(new Set(plantedBugs.map(({ name }) => name)).size, plantedBugs.length, 'each has its own name')
  for (const { name, changes } of plantedBugs) {
    for (const change of changes) t.not(changed(read(change.file), change), read(change.file), name)
  }
})

t.test('a change whose place is gone is refused', async t => {
  const change = { file: 'src/x.ts', find: 'a + b', replace: 'a' }
  t.throws(() => changed('return b + a', change), /src\/x\.ts has 0 places/)
  t.throws(() => changed('a + b, a + b', change), /has 2 places/)
})
