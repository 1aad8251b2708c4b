// docs/queries.md is true: from an empty folder, its files are written and its commands run, from top to bottom, on a real
// node, and what it says comes out comes out.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { run } from '../../src/cli/main.ts'
import { createFolder, createMemoryIo, type Ran, runCli } from '../support/memory-io.ts'
import { plainly } from '../support/plainly.ts'
import { repository } from './real-node.ts'

t.setTimeout(600_000)

const document = readFileSync(join(repository, 'docs/queries.md'), 'utf8')
const executable = join(repository, 'bin/glyn-node.js')
const patienceMs = 120_000

interface Block {
  readonly language: string
  readonly text: string
}

const blocks: readonly Block[] = [...document.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(
  ([, language = '', text = '']) => ({ language, text }),
)

/** As a shell takes it apart: quotes, and comments. */
function wordsOf(line: string): readonly string[] {
  const words: string[] = []
  for (const [, single, double, plain] of line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)) {
    if (plain?.startsWith('#') === true) break
    words.push(single ?? double ?? plain ?? '')
  }
  return words
}

/** `…` stands for one word; how wide the columns are does not matter. */
function shows(output: string, wanted: string): boolean {
  const tidy = (text: string): string =>
    text
      .trim()
      .split('\n')
      .map(line => line.trim().replaceAll(/\s+/g, ' '))
      .join('\n')
  const pattern = tidy(wanted)
    .split('…')
    .map(part => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('\\S+')
  return new RegExp(`^${pattern}$`).test(tidy(output))
}

t.test('the document is true', async t => {
  const folder = await createFolder(t)
  let node: ChildProcess | undefined
  t.teardown(async () => {
    if (node === undefined || node.exitCode !== null) return
    const exit = once(node, 'exit')
    node.kill('SIGTERM')
    await exit
  })
  let token = ''
  let commands = 0
  for (const [place, { language, text }] of blocks.entries()) {
    if (language === 'ts') writeSource(folder, text)
    if (language !== 'sh') continue
    const lines = text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
    const next = blocks[place + 1]
    for (const line of lines) {
      commands += 1
      const wanted = line === lines.at(-1) && next?.language === 'text' ? next.text : null
      const words = wordsOf(line.replaceAll('$TOKEN', token))
      if (words.join(' ') === 'npm install zod') {
        mkdirSync(join(folder, 'node_modules'))
        symlinkSync(join(repository, 'node_modules/zod'), join(folder, 'node_modules/zod'))
        continue
      }
      const [program, ...args] = words
      if (program !== 'glyn-node') throw new Error(`the test cannot run ${line}`)
      if (args[0] === 'start') node = await start(folder, args)
      else if (args.includes('--watch')) await watch(t, folder, args)
      else token = tokenIn((await succeed(t, { folder, args, line, wanted })).out) ?? token
    }
  }
  t.ok(commands > 20, `${commands} commands ran`)
  const files = blocks.filter(({ language }) => language === 'ts').length
  t.ok(files >= 4, `${files} files were dropped in`)

  const names = ['audit', 'balance', 'notice', 'rates', 'richest', 'turnover'].join(', ')
  let last = ''
  await untilItIs(
    async () => {
      last = (await runCli(folder, ['queries', '--json'])).out
      const list = JSON.parse(last) as { readonly name: string; readonly state: string }[]
      const running = list.filter(({ state }) => state === 'running').map(({ name }) => name)
      return running.sort().join(', ') === names ? running : null
    },
    () => `these run, and no others: ${names}; ${last}`,
  )
})

/** The first line names the file. */
function writeSource(folder: string, text: string): void {
  const file = /^\/\/ (config\/\S+)$/m.exec(text)?.[1]
  if (file === undefined) throw new Error(`the first line of a file has to name it: ${text.slice(0, 80)}`)
  mkdirSync(dirname(join(folder, file)), { recursive: true })
  writeFileSync(join(folder, file), text)
}

async function start(folder: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(...plainly(process.execPath, [executable, ...args]), {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  child.stderr.on('data', chunk => (log += String(chunk)))
  const ready = once(createInterface({ input: child.stdout }), 'line', {
    signal: AbortSignal.timeout(patienceMs),
  })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the node ended with ${code}: ${log}`)
  })
  await Promise.race([ready, ended])
  ended.catch(() => {})
  return child
}

/** Looks once, and stops it as a person does. */
async function watch(t: Test, folder: string, args: readonly string[]): Promise<void> {
  const io = createMemoryIo(folder)
  const running = run(args, io)
  await untilItIs(async () => (io.out() === '' ? null : io.out()), `${args.join(' ')} shows something`)
  io.signal('SIGINT')
  t.equal(await running, 0, args.join(' '))
}

/** Queries are a moment behind, and so is a file that was just written. */
async function succeed(
  t: Test,
  command: {
    readonly folder: string
    readonly args: readonly string[]
    readonly line: string
    readonly wanted: string | null
  },
): Promise<Ran> {
  const { folder, args, line, wanted } = command
  // What fails at the same event again says so.
  const allowed = args[0] === 'queries' && args[1] === 'retry' ? [0, 1] : [0]
  let last: Ran | undefined
  const ran = await untilItIs(
    async () => {
      last = await runCli(folder, args)
      return allowed.includes(last.code) && (wanted === null || shows(last.out, wanted)) ? last : null
    },
    () => `${line}\n${last?.out}${last?.err}\nwanted: ${wanted ?? 'success'}`,
  )
  t.pass(line)
  return ran
}

async function untilItIs<Found>(
  look: () => Promise<Found | null>,
  what: string | (() => string),
): Promise<Found> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (performance.now() > deadline)
      throw new Error(`it is not so: ${typeof what === 'string' ? what : what()}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

const tokenIn = (output: string): string | undefined => /"token":"([^"]+)"/.exec(output)?.[1]
