// docs/library.md: every program is compiled, and runs as it stands there, in a process of its own.
import { execFile, spawn } from 'node:child_process'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createControlServer } from '../../src/http/control-server.ts'
import { createNode } from '../../src/node/create-node.ts'
import { compileSnippets } from '../support/compile-snippets.ts'
import { directoryOf } from '../support/directory-of.ts'
import { plainly } from '../support/plainly.ts'
import { root, snippetsOf } from '../support/snippets.ts'

t.setTimeout(300_000)
const hooks = join(root, 'test', 'support', 'resolve-glyn-node.ts')

t.test('the programs of docs/library.md', async t => {
  const folder = directoryOf(t)
  cpSync(join(root, 'config'), join(folder, 'config'), { recursive: true })
  for (const { language, file, text } of snippetsOf('docs/library.md')) {
    if (file === null) throw new Error(`a snippet of ${language} without a name: ${text}`)
    writeFileSync(join(folder, file), text)
  }
  const run = async (file: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> =>
    await promisify(execFile)(...plainly(process.execPath, ['--import', hooks, file, ...args]), {
      cwd: folder,
      timeout: 120_000,
    })

  await t.test('they compile', async t => {
    t.equal(await compileSnippets(folder), '')
  })

  await t.test('a node in a program of somebody: it says nothing itself, and the process ends', async t => {
    t.strictSame(await run('embedded.ts'), { stdout: 'open 100\n100\n', stderr: '' })
  })

  await t.test('what a signal does is for the program to say', async t => {
    const child = spawn(...plainly(process.execPath, ['--import', hooks, 'signals.ts']), { cwd: folder })
    t.teardown(() => child.kill('SIGKILL'))
    const ended = new Promise(resolve => child.once('exit', (code, signal) => resolve({ code, signal })))
    await new Promise(resolve => child.stdout.once('data', resolve))
    child.kill('SIGTERM')
    t.strictSame(await ended, { code: 0, signal: null })
  })

  await t.test('three nodes in one process', async t => {
    t.strictSame(await run('three-nodes.ts'), { stdout: 'accepted 2\n', stderr: '' })
  })

  await t.test('exact types, at work', async t => {
    const program = [
      "import { createNode } from 'glyn-node'",
      "import { add, counter, follow } from './typed.ts'",
      "const node = await createNode({ topic: 'counts', dataDirectory: null, aggregates: [counter] })",
      'console.log(await add(node, 9), await add(node, 2), await follow(node, new AbortController().signal))',
      'await node.close()',
    ]
    writeFileSync(join(folder, 'use-typed.ts'), program.join('\n'))
    t.strictSame(await run('use-typed.ts'), { stdout: 'added 9 full 9\n', stderr: '' })
  })

  await t.test('a client, through each kind of target', async t => {
    mkdirSync(join(folder, 'served'))
    const node = await createNode({
      topic: 'bank_events',
      dataDirectory: join(folder, 'served'),
      configDirectory: join(folder, 'config'),
      partitions: 2,
    })
    t.teardown(() => node.close())
    const server = await createControlServer({
      node,
      socketPath: join(folder, 'served', 'control.sock'),
      tcp: { host: '127.0.0.1', port: 0 },
      log: silentLog,
    })
    t.teardown(() => server.close())
    await node.execute('bank_account', 'acc-1', { type: 'OpenAccount', data: {} })
    const targets = [node.addresses()[0] ?? '', server.url ?? '', './served', './served/control.sock']
    for (const [place, target] of targets.entries()) {
      const { stdout, stderr } = await run('client.ts', target)
      const amount = place + 1
      const events = Array.from({ length: amount }, (_, n) => `bank_account/acc-1/${n + 2} 1\n`)
      t.equal(stderr, '')
      t.equal(stdout, `{ id: 'acc-1', amount: ${amount}, status: 'open' }\n${events.join('')}`, target)
    }
  })
})
