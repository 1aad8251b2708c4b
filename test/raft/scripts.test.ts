// Each file in scripts/ is one behaviour with its golden output. REWRITE=1 writes the output of today into the files.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { runScript } from './raft-script.ts'

const folder = new URL('./scripts/', import.meta.url)
const names = readdirSync(folder).filter(name => name.endsWith('.txt'))

t.test('there are scripts', t => {
  t.ok(names.length >= 15, `${names.length} scripts`)
  t.end()
})

for (const name of names) {
  const file = new URL(name, folder)
  const expected = readFileSync(file, 'utf8')
  t.test(`${name}: ${claimOf(expected)}`, t => {
    const actual = runScript(expected)
    if (process.env['REWRITE'] === '1') writeFileSync(file, actual)
    else t.equal(actual, expected)
    t.end()
  })
}

/** The comment at the head of the script. */
function claimOf(script: string): string {
  const [head = ''] = script.split('\n\n')
  return head.replaceAll(/^# /gm, '').replaceAll('\n', ' ')
}
