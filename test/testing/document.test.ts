// The tests that docs/testing.md writes are run as they stand there, and compiled.
import { execFile } from 'node:child_process'
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { compileSnippets } from '../support/compile-snippets.ts'
import { directoryOf } from '../support/directory-of.ts'
import { plainly } from '../support/plainly.ts'
import { root, snippetsOf } from '../support/snippets.ts'

t.test('docs/testing.md: given, when, then', async t => {
  const folder = directoryOf(t)
  cpSync(join(root, 'config'), join(folder, 'config'), { recursive: true })
  const files: string[] = []
  for (const { file, text } of snippetsOf('docs/testing.md')) {
    if (file === null) continue
    writeFileSync(join(folder, file), text)
    files.push(file)
  }
  t.strictSame(files, ['bank-account.test.ts', 'balance.test.ts'])
  t.equal(await compileSnippets(folder), '', 'it compiles')

  const hooks = join(root, 'test', 'support', 'resolve-glyn-node.ts')
  for (const file of files) {
    const args = ['--import', hooks, '--test-reporter=tap', join(folder, file)]
    const { stdout } = await promisify(execFile)(...plainly(process.execPath, args)).catch(
      (error: { readonly stdout: string }) => error,
    )
    t.match(stdout, /^# fail 0$/m, stdout)
    t.match(stdout, /^# pass [1-9]/m, file)
  }
})
