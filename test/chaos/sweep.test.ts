// A run that is killed leaves namespaces, processes, mounts and folders; the next one removes them, and no others.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { missingForNetwork } from './network.ts'
import { shell } from './shell.ts'
import { namePrefixOf, sweep, sweepOldRuns } from './sweep.ts'

const missing = await missingForNetwork(namePrefixOf(process.pid))
const skip = missing === null ? false : `chaos needs what this machine does not have: ${missing}`

const enterMsMax = 30_000

/** What a run has at its height. */
async function leave(prefix: string): Promise<{ readonly folder: string; readonly child: ChildProcess }> {
  const folder = join(tmpdir(), `${prefix}folder`)
  mkdirSync(join(folder, 'n1'), { recursive: true })
  await shell('mount', '-t', 'tmpfs', '-o', 'size=1m', 'glyn-chaos-test', join(folder, 'n1'))
  await shell('ip', 'netns', 'add', `${prefix}n1`)
  const child = spawn('ip', ['netns', 'exec', `${prefix}n1`, 'sleep', '600'], { stdio: 'ignore' })
  await new Promise(resolve => child.once('spawn', resolve))
  const deadline = performance.now() + enterMsMax
  while (performance.now() < deadline) {
    // Before, `ip` has not entered the namespace yet.
    if ((await shell('ip', 'netns', 'pids', `${prefix}n1`)).trim() !== '') return { folder, child }
  }
  throw new Error('the process did not enter its namespace')
}

/** A Node, as runs are: while it lives, other runs that begin leave alone what has its pid. */
async function startRun(): Promise<ChildProcess & { readonly pid: number }> {
  const run = spawn(process.execPath, ['--eval', 'setInterval(() => {}, 1000)'], {
    stdio: 'ignore',
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  await once(run, 'spawn')
  return run as ChildProcess & { readonly pid: number }
}

t.test('what a dead run left is removed, with its processes', { skip }, async t => {
  const run = await startRun()
  t.teardown(() => run.kill('SIGKILL'))
  const prefix = namePrefixOf(run.pid)
  const { folder, child } = await leave(prefix)
  const ended = new Promise(resolve => child.once('exit', (_, signal) => resolve(signal)))
  run.kill('SIGKILL')
  await once(run, 'exit')
  const removed = await sweepOldRuns()
  t.ok(removed.includes(`${prefix}n1`), 'it says so')
  t.equal(await ended, 'SIGKILL')
  t.notOk(existsSync(folder))
  t.notMatch(await shell('ip', 'netns', 'list'), prefix)
  t.notMatch(readFileSync('/proc/mounts', 'utf8'), folder)
})

t.test('what belongs to a run that lives stays', { skip }, async t => {
  const prefix = `${namePrefixOf(process.pid)}alive-`
  t.teardown(() => sweep(prefix))
  const { folder, child } = await leave(prefix)
  const removed = await sweepOldRuns()
  t.notOk(removed.some(name => name.startsWith(prefix)))
  t.ok(existsSync(folder))
  t.equal(child.exitCode, null)
})
