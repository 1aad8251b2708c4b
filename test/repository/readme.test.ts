// README.md, and the snippets of docs/http.md and docs/operations.md, are true: their files are written and compiled, and
// their commands run, from top to bottom, on real nodes.
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { run } from '../../src/cli/main.ts'
import { compileSnippets } from '../support/compile-snippets.ts'
import { directoryOf } from '../support/directory-of.ts'
import { createFolder, createMemoryIo, type MemoryIo, runCli } from '../support/memory-io.ts'
import { plainly } from '../support/plainly.ts'
import { root, snippetsOf } from '../support/snippets.ts'

t.setTimeout(600_000)
const patienceMs = 120_000
const readme = snippetsOf('README.md')

function layConfig(folder: string): void {
  cpSync(join(root, 'config'), join(folder, 'config'), { recursive: true })
  for (const { language, file, text } of readme) {
    if (language !== 'ts') continue
    if (file === null) throw new Error(`the first line of a file has to name it: ${text.slice(0, 80)}`)
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
}

/** Without what is for people: comments, npx, and the installation. */
const linesOf = (document: string): readonly string[] =>
  snippetsOf(document)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text }) => text.split('\n'))
    .map(line =>
      line
        .replace(/\s+#.*$/, '')
        .replace(/^npm ci && (?=npx)/, '')
        .replace(/^npx /, '')
        .trim(),
    )
    .filter(line => line !== '' && line !== 'npm ci && npm test')

async function until<Found>(look: () => Promise<Found | null>, what: () => string): Promise<Found> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (performance.now() > deadline) throw new Error(`it is not so: ${what()}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

interface Started {
  readonly io: MemoryIo
  readonly address: string
  stop(): Promise<number>
}

async function start(t: Test, folder: string, words: readonly string[]): Promise<Started> {
  const io = createMemoryIo(folder)
  const ended = run([...words, '--json'], io)
  let isOver = false
  const stop = async (): Promise<number> => {
    if (!isOver) io.signal('SIGTERM')
    isOver = true
    return await ended
  }
  t.teardown(stop)
  const line = await Promise.race([
    until(
      async () => (io.out().includes('\n') ? io.out() : null),
      () => `${words.join(' ')} is ready; ${io.err()}`,
    ),
    ended.then(code => Promise.reject(new Error(`${words.join(' ')} ended with ${code}: ${io.err()}`))),
  ])
  const { addresses } = JSON.parse(line.split('\n')[0] ?? '') as { readonly addresses: readonly string[] }
  return { io, address: addresses[0] ?? '', stop }
}

t.test('the programs of README.md compile', async t => {
  const folder = directoryOf(t)
  layConfig(folder)
  t.equal(await compileSnippets(folder), '')
})

t.test('the commands run', async t => {
  const folder = await createFolder(t)
  layConfig(folder)
  const deposits = readme.find(({ language }) => language === 'json')?.text ?? ''
  writeFileSync(join(folder, 'deposits.ndjson'), deposits)
  const nodes: Started[] = []
  const succeed = async (words: readonly string[]): Promise<string> => {
    let last = ''
    // Queries are a moment behind, and so are replicas.
    return await until(
      async () => {
        const { code, out, err } = await runCli(folder, words)
        last = `${code}: ${out}${err}`
        return code === 0 ? out : null
      },
      () => `${words.join(' ')}: ${last}`,
    )
  }
  let commands = 0
  for (const line of linesOf('README.md')) {
    commands += 1
    const first = nodes[0]?.address ?? ''
    const [program, ...words] = line
      .replace(/\/ip4\/\S*12D3Koo…/, first)
      .replace('/ip4/0.0.0.0/tcp/4001', '/ip4/127.0.0.1/tcp/0')
      .split(/\s+/)
    if (program === 'curl') {
      await curl(t, folder, line)
    } else if (program !== 'glyn-node') {
      throw new Error(`the test cannot run ${line}`)
    } else if (words[0] !== 'start') {
      const out = await succeed(words)
      t.pass(line)
      if (line.startsWith('glyn-node state')) t.match(out, /70/, 'as it says')
    } else if (words.includes('--secret-file')) {
      const secured = await start(t, folder, [...words, '--data-dir', 'secured'])
      t.equal(await secured.stop(), 0, line)
    } else {
      nodes.push(await start(t, folder, words))
      t.pass(line)
    }
  }
  t.ok(commands > 18, `${commands} commands ran`)

  await t.test('what the text says beside them', async t => {
    const added = await succeed(['send-command', 'counter', 'a', 'Add', 'by:=7', '--json'])
    const { token } = JSON.parse(added) as { readonly token: string }
    t.match(await succeed(['query', 'totals', 'get', 'id=a', '--after', token]), /7/)
    const { code, out, err } = await runCli(folder, ['send-command', 'counter', 'a', 'Add', 'by:=7'])
    t.equal(code, 3)
    t.match(`${out}${err}`, /at most 10/)
    const much = ['send-command', 'bank_account', 'acc-1', 'WithDrawMoney', 'amount:=100000']
    t.equal((await runCli(folder, much)).code, 3, 'withdraw too much')
    await succeed(['init', 'my-bank'])
    await curl(t, folder, linesOf('docs/http.md').join('\n'))
  })

  await t.test('the program of the library', async t => {
    writeFileSync(
      join(folder, 'main.ts'),
      (readme.find(({ file }) => file === 'program.ts')?.text ?? '').replace("'./data'", "'./library'"),
    )
    const hooks = join(root, 'test', 'support', 'resolve-glyn-node.ts')
    const args = ['--import', hooks, 'main.ts']
    const ran = await promisify(execFile)(...plainly(process.execPath, args), { cwd: folder })
    t.strictSame(ran, { stdout: 'rejected\n', stderr: '' }, 'an account of its own is not open yet')
  })

  await t.test('docs/operations.md: what recover would do', async t => {
    for (const node of nodes.toReversed()) t.equal(await node.stop(), 0)
    symlinkSync('node-2', join(folder, 'node-4'), 'dir')
    const lines = linesOf('docs/operations.md')
    t.strictSame(lines, ['glyn-node recover --data-dir ./node-3 --data-dir ./node-4'])
    const { code, out, err } = await runCli(folder, (lines[0] ?? '').split(' ').slice(1))
    // Two of three are a majority: there is nothing to recover.
    t.match(`${out}${err}`, /majority|nothing/i)
    t.ok([0, 2].includes(code), `${code}: ${out}${err}`)
  })
})

/** The stream of all events has no end: what comes in a while is enough. */
async function curl(t: Test, folder: string, line: string): Promise<void> {
  const command = `${line} --silent --show-error --fail --max-time 2`
  const { stdout, code } = await promisify(execFile)(...plainly('sh', ['-c', command]), { cwd: folder }).then(
    ({ stdout }) => ({ stdout, code: 0 }),
    (error: { readonly stdout: string; readonly code: number }) => error,
  )
  const isStream = line.includes('/v1/events')
  t.equal(code, isStream ? 28 : 0, line)
  t.not(stdout, '')
}
