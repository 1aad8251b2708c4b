// Nodes for the bench: one in this process through the library, others as processes of the executable.
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { silentLog } from '../src/core/log.ts'
import { partitionOf } from '../src/core/partition-of.ts'
import { createControlClient } from '../src/http/control-client.ts'
import { createNode } from '../src/node/create-node.ts'
import type { NodeApi, NodeStatus } from '../src/node/node-api.ts'
import type { NodeOptions } from '../src/node/node-options.ts'
import { type Measurement, measure } from './measure.ts'
import { accountId, type BenchSettings, type CleanUp } from './settings.ts'

const executable = fileURLToPath(new URL('../bin/glyn-node.js', import.meta.url))
const aggregates = fileURLToPath(new URL('../config/aggregates', import.meta.url))
const names = { topic: 'bench_events', scope: 'bench' }
export const partitions = 32
const readyTimeoutMs = 60_000
const settleTimeoutMs = 120_000
const accountType = 'bank_account'

/** A config folder with the bank account and no queries: what is compared with has none either. */
export function createConfig(folder: string): string {
  const config = join(folder, 'config')
  mkdirSync(config, { recursive: true })
  cpSync(aggregates, join(config, 'aggregates'), { recursive: true })
  return config
}

export async function startLibraryNode(
  folder: string,
  cleanUp: CleanUp,
  options: Partial<Pick<NodeOptions, 'bootstrap' | 'role' | 'store'>> = {},
): Promise<NodeApi> {
  const node = await createNode({
    ...names,
    dataDirectory: join(folder, 'library-node'),
    configDirectory: createConfig(folder),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: [],
    partitions,
    replicas: 3,
    role: 'full',
    mdns: false,
    log: silentLog,
    signal: AbortSignal.timeout(readyTimeoutMs),
    ...options,
  })
  cleanUp(() => node.close())
  return node
}

export interface ChildNode {
  readonly peerId: string
  readonly addresses: readonly string[]
  /** Asked through its control socket. */
  status(): Promise<NodeStatus>
  /** Resolves when it has ended; at once where the signal only stops it or lets it go on. */
  signal(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<void>
  restart(): Promise<void>
}

/** A process of the executable. It is killed when the part ends. */
export async function startChildNode(
  folder: string,
  name: string,
  cleanUp: CleanUp,
  bootstrap: readonly string[] = [],
): Promise<ChildNode> {
  const config = createConfig(folder)
  const launch = () =>
    launchNode([
      ...['--topic', names.topic, '--scope', names.scope, '--partitions', `${partitions}`, '--replicas', '3'],
      ...['--config', config, '--data-dir', join(folder, name), '--name', name, '--log-level', 'error'],
      ...bootstrap.flatMap(address => ['--bootstrap', address]),
    ])
  let { child, ready } = await launch()
  cleanUp(() => end(child, 'SIGKILL'))
  return {
    peerId: ready.peerId,
    addresses: ready.addresses,
    async status() {
      const client = createControlClient({ socketPath: ready.control })
      try {
        return await client.status()
      } finally {
        await client.close()
      }
    },
    async signal(signal) {
      if (signal === 'SIGSTOP' || signal === 'SIGCONT') child.kill(signal)
      else await end(child, signal)
    },
    async restart() {
      ;({ child, ready } = await launch())
    },
  }
}

interface ReadyLine {
  readonly peerId: string
  /** The path of its control socket. */
  readonly control: string
  readonly addresses: readonly string[]
}

function launchNode(
  options: readonly string[],
): Promise<{ readonly child: ChildProcess; readonly ready: ReadyLine }> {
  const child = spawn(process.execPath, [executable, 'start', '--json', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`a node was not ready in ${readyTimeoutMs} ms: glyn-node start ${options.join(' ')}`))
    }, readyTimeoutMs)
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      reject(new Error(`a node ended with ${code ?? signal} before it was ready`))
    })
    createInterface({ input: child.stdout }).once('line', line => {
      clearTimeout(timer)
      resolve({ child, ready: JSON.parse(line) as ReadyLine })
    })
  })
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise(resolve => {
    child.once('exit', () => resolve())
    child.kill(signal)
  })
}

/** Waits until every partition has its voters and a leader, all of them members that are there, and nothing is amiss. */
export async function settled(node: Pick<NodeApi, 'status'>, voters: number): Promise<void> {
  await eventually(`${voters} voters and a leader in every partition`, async () => {
    const { node: self, partitions: all, members, problems } = await node.status()
    const present = new Set(members.filter(member => member.reachable).map(({ peerId }) => peerId))
    present.add(self.peerId)
    const waiting = all.filter(
      ({ leader, voters: found }) =>
        leader === null ||
        !present.has(leader) ||
        found.length !== voters ||
        !found.every(id => present.has(id)),
    )
    return waiting.length === 0 && problems.length === 0
      ? null
      : `${waiting.length} partitions not there yet (${waiting[0] === undefined ? '' : JSON.stringify(waiting[0])}); ${problems.join('; ')}`
  })
}

/** Waits until every partition is led by the node that is preferred for it. */
export async function ledAsWanted(node: Pick<NodeApi, 'placement'>): Promise<void> {
  await eventually('every partition led by its preferred node', async () => {
    const { asWanted, nodes } = await node.placement()
    return asWanted ? null : nodes.map(one => `${one.leads} of ${one.wantedLeads}`).join(', ')
  })
}

/** Waits until `missing` resolves with null; it says in words what is missing. */
export async function eventually(what: string, missing: () => Promise<string | null>): Promise<void> {
  const deadline = performance.now() + settleTimeoutMs
  for (;;) {
    const found = await missing()
    if (found === null) return
    if (performance.now() > deadline) throw new Error(`not within ${settleTimeoutMs} ms: ${what}: ${found}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

export async function openAccounts(node: NodeApi, accounts: number): Promise<void> {
  await Promise.all(
    Array.from({ length: accounts }, (_, number) => accepted(node, accountId(number), 'OpenAccount', {})),
  )
}

/** Throws when the command was rejected, and what `execute` throws. */
export async function accepted(node: NodeApi, id: string, type: string, data: unknown): Promise<void> {
  const outcome = await node.execute(accountType, id, { type, data }, { timeoutMs: 30_000 })
  if (outcome.type === 'rejected') throw new Error(`${type} for ${id} was rejected: ${outcome.message}`)
}

export const partitionOfAccount = (id: string): number => partitionOf({ type: accountType, id }, partitions)

/** Deposits to one account after the other, at every number in flight. */
export async function measureDeposits(node: NodeApi, settings: BenchSettings): Promise<Measurement[]> {
  const { accounts, warmUpMs, durationMs } = settings
  await openAccounts(node, accounts)
  const found: Measurement[] = []
  for (const inFlight of settings.inFlight) {
    const send = (number: number): Promise<void> =>
      accepted(node, accountId(number % accounts), 'DepositMoney', { amount: 1 })
    found.push(await measure({ inFlight, warmUpMs, durationMs, send }))
  }
  return found
}
