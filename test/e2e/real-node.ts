// Real processes of the executable: started, asked, killed and restarted as people do it.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { runCli } from '../support/memory-io.ts'
import { plainly } from '../support/plainly.ts'

const executable = new URL('../../bin/glyn-node.js', import.meta.url).pathname
export const repository = new URL('../..', import.meta.url).pathname
const startTimeoutMs = 120_000
const runTimeoutMs = 120_000
/** A status of 32 partitions costs the node some milliseconds, which it has better uses for. */
const pollMs = 200

export interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs one command of the executable to its end. */
export function run(
  args: readonly string[],
  options: { readonly input?: string; readonly cwd?: string; readonly timeoutMs?: number } = {},
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(...plainly(process.execPath, [executable, ...args]), {
      cwd: options.cwd ?? repository,
      stdio: 'pipe',
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', chunk => (stdout += String(chunk)))
    child.stderr.on('data', chunk => (stderr += String(chunk)))
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? runTimeoutMs)
    child.on('error', reject)
    child.on('close', code => {
      clearTimeout(timer)
      resolve({ code, stdout, stderr })
    })
    child.stdin.end(options.input ?? '')
  })
}

/** Runs a command with `--json` and parses its one object. Throws what it printed when it did not exit 0. */
export async function runJson<T>(args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await run([...args, '--json'])
  if (code !== 0) throw new Error(`glyn-node ${args.join(' ')} exited ${code}: ${stderr}${stdout}`)
  return JSON.parse(stdout) as T
}

/**
 * The same with the command line in this process, for what is asked again and again: a process of its own is half a second
 * of a core, most of what a test of real nodes took.
 */
export const ask = async <T>(args: readonly string[]): Promise<T> =>
  JSON.parse(await askInWords([...args, '--json'])) as T

/** What people read. Throws it when the command does not end with 0. */
export async function askInWords(args: readonly string[]): Promise<string> {
  const { code, out, err } = await runCli(repository, args)
  if (code !== 0) throw new Error(`glyn-node ${args.join(' ')} ended with ${code}: ${err}${out}`)
  return out
}

export interface Ready {
  readonly peerId: string
  readonly clusterId: string
  readonly addresses: readonly string[]
  readonly control: string
}

export interface RealNode {
  readonly dataDir: string
  ready: Ready
  /** What it wrote to stderr so far, over all its lives. */
  log(): string
  readonly process: ChildProcess
  kill(signal: NodeJS.Signals): Promise<number | null>
  restart(): Promise<void>
}

export interface Workplace {
  readonly folder: string
  start(name: string, args?: readonly string[]): Promise<RealNode>
  /** Kills what runs and removes the folder. */
  close(): Promise<void>
}

export function createWorkplace(): Workplace {
  const folder = mkdtempSync(join(tmpdir(), 'glyn-e2e-'))
  const nodes: RealNode[] = []
  return {
    folder,
    async start(name, args = []) {
      const node = await startNode(join(folder, name), name, args)
      nodes.push(node)
      return node
    },
    async close() {
      await Promise.all(nodes.map(node => node.kill('SIGKILL')))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function startNode(dataDir: string, name: string, args: readonly string[]): Promise<RealNode> {
  let log = ''
  const launch = async (): Promise<{ child: ChildProcess; closed: Promise<number | null>; ready: Ready }> => {
    const all = ['start', '--topic', 'bank_events', '--json', '--data-dir', dataDir, '--name', name, ...args]
    const child = spawn(...plainly(process.execPath, [executable, ...all]), {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stderr?.on('data', chunk => (log += String(chunk)))
    // And not its exit: its last words may come after that.
    const closed = new Promise<number | null>(resolve => child.once('close', code => resolve(code)))
    const ready = await readyLine(child, () => log)
    return { child, closed, ready }
  }
  let current = await launch()
  return {
    dataDir,
    get ready() {
      return current.ready
    },
    get process() {
      return current.child
    },
    log: () => log,
    kill(signal) {
      const { child, closed } = current
      child.kill(signal)
      return closed
    },
    async restart() {
      current = await launch()
    },
  }
}

function readyLine(child: ChildProcess, log: () => string): Promise<Ready> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`the node was not ready in ${startTimeoutMs} ms:\n${log()}`))
    }, startTimeoutMs)
    child.once('close', code => {
      clearTimeout(timer)
      reject(new Error(`the node ended with ${code} before it was ready:\n${log()}`))
    })
    if (child.stdout === null) throw new Error('the node has no stdout')
    createInterface({ input: child.stdout }).once('line', line => {
      clearTimeout(timer)
      resolve(JSON.parse(line) as Ready)
    })
  })
}

/** Waits until the claim holds; a throw counts as not yet. Fails with what it last threw. */
export async function eventually(
  claim: () => Promise<boolean>,
  what: string,
  timeoutMs = 120_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      if (await claim()) return
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: last })
    await new Promise(resolve => setTimeout(resolve, pollMs))
  }
}

interface Status {
  readonly members: readonly { readonly reachable: boolean }[]
  readonly partitions: readonly { readonly leader: string | null; readonly voters: readonly string[] }[]
  readonly problems: readonly string[]
}

/** Waits until every partition has `voters` voters and a leader and nothing is amiss, as this node sees it. */
export async function settled(node: RealNode, voters: number): Promise<void> {
  await eventually(async () => {
    const status = await ask<Status>(['status', '--data-dir', node.dataDir])
    return (
      status.problems.length === 0 &&
      status.partitions.every(partition => partition.leader !== null && partition.voters.length === voters)
    )
  }, `${voters} voters of every partition`)
}
