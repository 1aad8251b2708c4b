// docs/history.md is true: its files are written and its commands run, from top to bottom, on a real node that is started
// again with each new file.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { createFolder, runCli } from '../support/memory-io.ts'
import { plainly } from '../support/plainly.ts'
import { repository } from './real-node.ts'

t.setTimeout(600_000)

const document = readFileSync(join(repository, 'docs/history.md'), 'utf8')
const executable = join(repository, 'bin/glyn-node.js')
const patienceMs = 120_000
const blocks = [...document.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
  language,
  text,
}))

/** `…` stands for one word. */
function shows(output: string, wanted: string): boolean {
  const tidy = (text: string): string => text.trim().replaceAll(/[ \t]+/g, ' ')
  const pattern = tidy(wanted)
    .split('…')
    .map(part => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('\\S+')
  return new RegExp(`^${pattern}$`).test(tidy(output))
}

async function start(folder: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(...plainly(process.execPath, [executable, ...args]), {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  child.stderr.on('data', chunk => (log += String(chunk)))
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the node ended with ${code}: ${log}`)
  })
  const ready = once(createInterface({ input: child.stdout }), 'line', {
    signal: AbortSignal.timeout(patienceMs),
  })
  await Promise.race([ready, ended])
  ended.catch(() => {})
  return child
}

t.test('the document is true', async t => {
  const folder = await createFolder(t)
  writeFileSync(join(folder, 'package.json'), '{}')
  let node: ChildProcess | undefined
  const stop = async (): Promise<void> => {
    if (node === undefined || node.exitCode !== null) return
    const exit = once(node, 'exit')
    node.kill('SIGTERM')
    await exit
  }
  t.teardown(stop)
  let commands = 0
  for (const [place, { language, text }] of blocks.entries()) {
    if (language === 'ts') {
      const file = /^\/\/ (config\/\S+)$/m.exec(text)?.[1]
      if (file === undefined) throw new Error(`the first line of a file has to name it: ${text.slice(0, 80)}`)
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      writeFileSync(join(folder, file), text)
    }
    if (language !== 'sh') continue
    const lines = text.split('\n').filter(line => line !== '')
    const next = blocks[place + 1]
    for (const line of lines) {
      commands += 1
      const [command = '', comment = ''] = line.split(' # ')
      const [program, ...args] = command.trim().split(/\s+/)
      if (program !== 'glyn-node') throw new Error(`the test cannot run ${line}`)
      if (args[0] === 'start') {
        await stop()
        node = await start(folder, args)
        continue
      }
      const ran = await runCli(folder, args)
      const code = Number(/exits (\d)/.exec(comment)?.[1] ?? 0)
      t.equal(ran.code, code, `${line}\n${ran.out}${ran.err}`)
      if (line === lines.at(-1) && next?.language === 'text')
        t.ok(shows(ran.out, next.text), `${line} says\n${ran.out}`)
    }
  }
  t.ok(commands > 15, `${commands} commands ran`)
})
