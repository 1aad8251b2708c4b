// One `glyn-node` process in its namespace, with a disk of its own that can fill up.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, createWriteStream, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type ControlClient, createControlClient } from '../../src/http/control-client.ts'
import { plainly } from '../support/plainly.ts'
import type { Network } from './network.ts'
import { refusal, shell } from './shell.ts'

const executable = fileURLToPath(new URL('../../bin/glyn-node.js', import.meta.url))
export const meshPort = 4001

export type NodeState = 'up' | 'paused' | 'down' | 'removed'

export interface ChaosNode {
  readonly name: string
  readonly dataDirectory: string
  readonly logPath: string
  readonly client: ControlClient
  state(): NodeState
  /** Null before it was ready for the first time. */
  peerId(): string | null
  /** Its multiaddr, with the peer id once that is known. */
  address(): string
  /** Starts the process; `ready` tells the rest. */
  start(bootstrap: readonly string[]): void
  /** Resolves once the process that runs now wrote its ready line. Rejects when it ends before, and after `timeoutMs`. */
  ready(timeoutMs: number): Promise<void>
  /** Kills it, if it runs, and waits for its end. */
  kill(): Promise<void>
  /** SIGTERM; SIGKILL after `timeoutMs`. Resolves with the exit code, null after the SIGKILL. */
  stop(timeoutMs: number): Promise<number | null>
  pause(): void
  resume(): void
  fillDisk(): void
  freeDisk(): void
  /** `glyn-node leave`: it hands over what it holds, is removed and ends. Throws when it does not end with 0 in time. */
  leave(timeoutMs: number): Promise<void>
  /** Killed, and from now on none of the cluster. */
  remove(): Promise<void>
  close(): Promise<void>
}

/** A process that nobody told to end and that ended. */
export interface UnexpectedEnd {
  readonly node: string
  readonly code: number | null
  readonly signal: string | null
  /** The last lines of its log. */
  readonly log: string
}

export interface ChaosNodeInit {
  readonly name: string
  /** Of the run. */
  readonly folder: string
  readonly config: string
  readonly secretFile: string
  readonly partitions: number
  readonly diskMb: number
  readonly network: Network
  /** Not called while the disk is full: a node may end for that. */
  onUnexpectedEnd(end: UnexpectedEnd): void
}

export async function createChaosNode(init: ChaosNodeInit): Promise<ChaosNode> {
  const { name, folder, network } = init
  await network.add(name)
  const disk = join(folder, name)
  mkdirSync(disk, { recursive: true })
  await shell('mount', '-t', 'tmpfs', '-o', `size=${init.diskMb}m,mode=700`, `glyn-chaos-${name}`, disk)
  const dataDirectory = join(disk, 'data')
  const ballast = join(disk, 'ballast')
  const logPath = join(folder, `${name}.log`)
  const log = createWriteStream(logPath, { flags: 'a' })
  // A run that is killed takes its nodes with it, where there is a tool for that; else the next run sweeps.
  const leash = (await refusal('setpriv', '--pdeathsig', 'KILL', 'true')) === null
  const client = createControlClient({ socketPath: join(dataDirectory, 'control.sock') })

  let child: ChildProcess | null = null
  let ready: Promise<void> = Promise.reject(new Error(`${name} was never started`))
  ready.catch(() => {})
  let state: NodeState = 'down'
  let peerId: string | null = null
  let isDiskFull = false
  let mayEnd = true

  const signal = (what: NodeJS.Signals): void => {
    if (child !== null && child.exitCode === null && child.signalCode === null) child.kill(what)
  }
  const ended = (process: ChildProcess | null): Promise<number | null> => {
    if (process === null || process.exitCode !== null || process.signalCode !== null) {
      return Promise.resolve(process?.exitCode ?? null)
    }
    return new Promise(resolve => process.once('exit', resolve))
  }

  function start(bootstrap: readonly string[]): void {
    const settings = [
      ...['--topic', 'bank_events', '--json', '--name', name, '--data-dir', dataDirectory],
      ...['--config', init.config, '--secret-file', init.secretFile, '--partitions', `${init.partitions}`],
      ...['--listen', `/ip4/${network.addressOf(name)}/tcp/${meshPort}`],
      ...bootstrap.flatMap(address => ['--bootstrap', address]),
    ]
    const [file, args] = plainly(process.execPath, [executable, 'start', ...settings])
    const inside = [
      ...(leash ? ['setpriv', '--pdeathsig', 'KILL'] : []),
      ...network.enter(name),
      file,
      ...args,
    ]
    log.write(`--- ${new Date().toISOString()} start\n`)
    const started = spawn(inside[0] ?? '', inside.slice(1), {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child = started
    state = 'up'
    mayEnd = false
    started.stderr.pipe(log, { end: false })
    ready = new Promise((resolve, reject) => {
      createInterface({ input: started.stdout }).once('line', line => {
        peerId = (JSON.parse(line) as { peerId: string }).peerId
        resolve()
      })
      started.once('error', reject)
      started.once('exit', (code, signalName) => {
        log.write(`--- ${new Date().toISOString()} ended with ${code ?? signalName}\n`)
        reject(new Error(`${name} ended with ${code ?? signalName} before it was ready; see ${logPath}`))
        if (child === started) state = state === 'removed' ? state : 'down'
        if (mayEnd || isDiskFull) return
        init.onUnexpectedEnd({ node: name, code, signal: signalName, log: lastLines(logPath) })
      })
    })
    ready.catch(() => {})
  }

  async function kill(): Promise<void> {
    mayEnd = true
    signal('SIGKILL')
    await ended(child)
  }

  return {
    name,
    dataDirectory,
    logPath,
    client,
    state: () => state,
    peerId: () => peerId,
    address() {
      const own = `/ip4/${network.addressOf(name)}/tcp/${meshPort}`
      return peerId === null ? own : `${own}/p2p/${peerId}`
    },
    start,
    ready(timeoutMs) {
      const deadline = Promise.withResolvers<never>()
      const late = (): void =>
        deadline.reject(new Error(`${name} was not ready in ${timeoutMs} ms; see ${logPath}`))
      const timer = setTimeout(late, timeoutMs)
      return Promise.race([ready, deadline.promise]).finally(() => clearTimeout(timer))
    },
    kill,
    async stop(timeoutMs) {
      mayEnd = true
      signal('SIGTERM')
      const timer = setTimeout(() => signal('SIGKILL'), timeoutMs)
      const code = await ended(child)
      clearTimeout(timer)
      return code
    },
    pause() {
      signal('SIGSTOP')
      if (state === 'up') state = 'paused'
    },
    resume() {
      signal('SIGCONT')
      if (state === 'paused') state = 'up'
    },
    fillDisk() {
      isDiskFull = true
      fill(ballast)
    },
    freeDisk() {
      rmSync(ballast, { force: true })
      isDiskFull = false
    },
    async leave(timeoutMs) {
      mayEnd = true
      await client.leave({ signal: AbortSignal.timeout(timeoutMs) })
      const timer = setTimeout(() => signal('SIGKILL'), timeoutMs)
      const code = await ended(child)
      clearTimeout(timer)
      state = 'removed'
      if (code !== 0) throw new Error(`${name} left, and ended with ${code}; see ${logPath}`)
    },
    async remove() {
      await kill()
      state = 'removed'
    },
    async close() {
      await kill()
      await client.close()
      await new Promise<void>(resolve => log.end(resolve))
    },
  }
}

/** Writes zeros until the disk takes no more, not even a page. */
function fill(path: string): void {
  const file = openSync(path, 'a')
  try {
    for (let bytes = 1024 * 1024; bytes >= 4096; ) {
      try {
        writeSync(file, Buffer.alloc(bytes))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        bytes = bytes / 2
      }
    }
  } finally {
    closeSync(file)
  }
}

const lastLines = (path: string): string =>
  readFileSync(path, 'utf8').trimEnd().split('\n').slice(-8).join('\n')
