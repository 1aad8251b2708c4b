// What users install: the packed tarball in an empty directory, without the sources around it.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { plainly } from '../support/plainly.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tools = join(root, 'node_modules', '.bin')
const run = (file: string, args: readonly string[], options: { readonly cwd: string }) =>
  promisify(execFile)(...plainly(file, args), options)
const readyTimeoutMs = 60_000

/** What `npm pack` reads, and what `prepack` needs to build. */
const packed = [
  'package.json',
  'bin',
  'src',
  'config',
  'docs',
  'proto',
  'tsconfig.json',
  'tsconfig.build.json',
]
const alsoPacked = ['README.md', 'LICENSE', 'CHANGELOG.md']

/** Packs a copy, because building writes `dist`, which a node of the checkout may be running from. */
async function pack(folder: string): Promise<string> {
  mkdirSync(folder)
  for (const name of [...packed, ...alsoPacked]) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(folder, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const generator = join('tools', 'api-docs')
  mkdirSync(join(folder, generator), { recursive: true })
  for (const name of ['package.json', 'typedoc.json'])
    cpSync(join(root, generator, name), join(folder, generator, name))
  symlinkSync(join(root, generator, 'node_modules'), join(folder, generator, 'node_modules'))
  await run('npm', ['pack', '--loglevel=error'], { cwd: folder })
  const tarball = readdirSync(folder).find(name => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error(`npm pack made no tarball in ${folder}`)
  return join(folder, tarball)
}

function readyLine(child: ChildProcess, log: () => string): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`not ready in ${readyTimeoutMs} ms:\n${log()}`))
    }, readyTimeoutMs)
    child.once('exit', code => {
      clearTimeout(timer)
      reject(new Error(`it ended with ${code} before it was ready:\n${log()}`))
    })
    if (child.stdout === null) throw new Error('the child has no stdout')
    createInterface({ input: child.stdout }).once('line', line => {
      clearTimeout(timer)
      resolve(JSON.parse(line) as Record<string, unknown>)
    })
  })
}

t.test('the packed tarball works in an empty directory', async t => {
  // Outside of the checkout: nothing may be found in a node_modules further up.
  const folder = mkdtempSync(join(tmpdir(), 'glyn-pack-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const tarball = await pack(join(folder, 'packed'))
  const home = join(folder, 'home')
  mkdirSync(home)
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name: 'home', private: true, type: 'module' }))
  await run('npm', ['install', tarball, '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: home,
  })
  const installed = join(home, 'node_modules', 'glyn-node')
  const executable = join(home, 'node_modules', '.bin', 'glyn-node')
  const glyn = (...args: string[]) => run(executable, args, { cwd: home })

  await t.test('it holds what is needed to run, and neither sources nor tests', async t => {
    const names = readdirSync(installed).sort()
    const wanted = ['bin', 'config', 'dist', 'docs', 'package.json', 'proto']
    t.ok(existsSync(join(installed, 'docs', 'api', 'README.md')), 'with the API reference')
    t.strictSame(names, [...wanted, ...alsoPacked.filter(name => existsSync(join(root, name)))].sort())
  })

  await t.test('the executable says its version', async t => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    const { stdout } = await run('npx', ['--no-install', 'glyn-node', '--version'], { cwd: home })
    t.equal(stdout.trim(), version)
  })

  await t.test('the library is imported by its name', async t => {
    const script =
      "import { GlynError, defineAggregate } from 'glyn-node'; console.log(typeof GlynError, typeof defineAggregate)"
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: home })
    t.equal(stdout.trim(), 'function function')
  })

  await t.test('the schemas of what travels on the topic are found by name', async t => {
    const script =
      "import { readFileSync } from 'node:fs'; for (const name of ['pubsub/topic-message', 'store/record']) console.log(/package (.*);/.exec(readFileSync(new URL(import.meta.resolve('glyn-node/proto/' + name + '.proto')), 'utf8'))[1])"
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: home })
    t.equal(stdout, 'glyn.pubsub\nglyn.store\n')
  })

  await t.test('the simulator comes with it', async t => {
    const script =
      "import { simulate } from 'glyn-node/testing'; const { ok, violation } = await simulate({ seed: 1, nodes: 3, seconds: 1 }); console.log(ok, violation)"
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: home })
    t.equal(stdout.trim(), 'true null')
  })

  await t.test('its types resolve, and say no where they must', async t => {
    const lines = [
      "import { defineAggregate, defineQuery, GlynError, reject, type EventEnvelope, type Outcome } from 'glyn-node'",
      "type Counted = { readonly type: 'Counted'; readonly data: { readonly by: number } }",
      "export const error: GlynError = new GlynError('UNAVAILABLE', 'later')",
      'export const said = (outcome: Outcome<Counted>): number | undefined =>',
      "  outcome.type === 'accepted' ? outcome.events[0]?.data.by : undefined",
      'export const of = (envelope: EventEnvelope<Counted>): number => envelope.data.by',
      'export const totals = defineQuery<Counted>({',
      "  name: 'totals', version: 1,",
      "  init: db => { db.exec('create table if not exists totals (id text primary key, total real)') },",
      "  handle(id, events, { db }) { for (const { data } of events) db.prepare('select ?').run(data.by, id) },",
      '})',
      "export const counter = defineAggregate<number, { readonly type: 'Count'; readonly data: { readonly by: number } }, Counted>({",
      "  type: 'counter', emptyState: 0,",
      "  handle: (_, { data }) => data.by > 0 ? { type: 'Counted', data } : reject('not_positive', 'by must be positive'),",
      '  apply: (state, event) => state + event.data.by,',
      '})',
      "import { simulate, type SimulateReport } from 'glyn-node/testing'",
      'export const report: Promise<SimulateReport> = simulate({',
      "  seed: 1, aggregates: [counter], faults: ['crash'],",
      "  async workload({ dice, execute }) { await execute('counter', dice.pick(['a']), { type: 'Count', data: { by: 1 } }) },",
      "  invariants: [{ name: 'it counts', check: ({ states }) => states<number>('counter').size > 1 ? 'too many' : null }],",
      '})',
      '// @ts-expect-error: there is no such code',
      "new GlynError('NO_SUCH_CODE', 'text')",
    ]
    writeFileSync(join(home, 'check.ts'), `${lines.join('\n')}\n`)
    const compilerOptions = {
      ...{ strict: true, exactOptionalPropertyTypes: true, noEmit: true },
      ...{ target: 'es2024', module: 'nodenext', moduleResolution: 'nodenext', types: [] },
      // What our own declarations name must be there too.
      skipLibCheck: false,
    }
    writeFileSync(join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['check.ts'] }))
    const { stdout } = await run(join(tools, 'tsc'), ['-p', '.'], { cwd: home }).catch(
      (error: { readonly stdout: string }) => error,
    )
    t.equal(stdout, '')
  })

  await t.test('init, start, one command, its state', async t => {
    await glyn('init', 'app')
    const args = ['start', '--json', '--topic', 'pack', '--config', 'app/config', '--data-dir', 'data']
    const node = spawn(...plainly(executable, args), {
      cwd: home,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let log = ''
    node.stderr.on('data', chunk => (log += String(chunk)))
    const ended = new Promise<number | null>(resolve => node.once('exit', code => resolve(code)))
    t.teardown(() => node.kill('SIGKILL'))
    t.match(await readyLine(node, () => log), { event: 'ready' })
    const send = ['send-command', 'bank_account', 'acc-1']
    await glyn(...send, 'OpenAccount', '--json')
    const { stdout } = await glyn(...send, 'DepositMoney', 'amount:=100', '--json')
    t.match(JSON.parse(stdout), { type: 'accepted', sequence: 2 })
    const state = await glyn('state', 'bank_account', 'acc-1', '--json')
    t.match(JSON.parse(state.stdout), { state: { balance: 100 } })
    node.kill('SIGTERM')
    t.equal(await ended, 0)
  })
})
