// The API reference is made from the source as it is, and leaves nothing out: every export has its docstring, and whatever
// an exported type speaks of is exported too.
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { directoryOf } from '../support/directory-of.ts'
import { plainly } from '../support/plainly.ts'
import { root } from '../support/snippets.ts'

t.test('typedoc has nothing to complain of', async t => {
  const folder = directoryOf(t)
  const generator = join(root, 'tools', 'api-docs')
  const typedoc = join(generator, 'node_modules', '.bin', 'typedoc')
  const ran = await promisify(execFile)(...plainly(typedoc, ['--out', folder]), { cwd: generator }).catch(
    (error: { readonly stdout: string; readonly stderr: string }) => error,
  )
  // Each line names the export and what it lacks.
  t.equal(`${ran.stdout}${ran.stderr}`, '')
  for (const name of ['createNode', 'connect', 'defineAggregate', 'reject', 'defineQuery']) {
    const file = join(folder, 'index', 'functions', `${name}.md`)
    t.ok(existsSync(file) && readFileSync(file, 'utf8').includes('## Returns'), name)
  }
  t.ok(existsSync(join(folder, 'testing', 'functions', 'given.md')))
  const execute = readFileSync(join(folder, 'index', 'interfaces', 'GlynNode.md'), 'utf8')
  t.match(execute, /Sends a command and waits until its outcome is durable/)
})
