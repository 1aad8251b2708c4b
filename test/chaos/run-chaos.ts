// One run: a cluster, clients, a nemesis; then peace, and the checker over everything that was said and stored.
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { NodeStatus } from '../../src/node/node-api.ts'
import { seededRandom } from '../../src/testing/simulator/seeded-random.ts'
import { plainly } from '../support/plainly.ts'
import type { ChaosNode } from './chaos-node.ts'
import { checkHistory } from './check-history.ts'
import { type Clients, createClients } from './clients.ts'
import { type Cluster, createCluster } from './cluster.ts'
import { collectDisk, collectLive, type LiveDump } from './collect-dump.ts'
import type { ClusterDump } from './dump.ts'
import { createHistory, type History, type HistoryLine } from './history.ts'
import { createNemesis, type FaultReport, type Nemesis } from './nemesis.ts'
import { createNetwork } from './network.ts'
import { shell } from './shell.ts'
import { namePrefixOf, sweep, sweepOldRuns, unmountBelow } from './sweep.ts'
import type { Violation } from './violation.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
/** No name that a sweep takes for a dead run's. */
const failedFolder = join(tmpdir(), 'glyn-chaos-failed-')

export interface ChaosOptions {
  readonly seed: number
  readonly nodes: number
  readonly clients: number
  readonly accounts: number
  readonly partitions: number
  readonly diskMb: number
  readonly thinkMsMax: number
  readonly faultMs: { readonly min: number; readonly max: number }
  readonly calmMs: number
  /** After the faults: how long until everything must be well again. */
  readonly settleMsMax: number
  readonly print: (line: string) => void
  readonly signal: AbortSignal
}

export const defaultOptions: Omit<ChaosOptions, 'seed' | 'print' | 'signal'> = {
  nodes: 3,
  clients: 9,
  accounts: 12,
  partitions: 8,
  diskMb: 512,
  thinkMsMax: 100,
  faultMs: { min: 3000, max: 20_000 },
  calmMs: 3000,
  settleMsMax: 300_000,
}

/** What a plan of faults may use. */
export interface ChaosWorld {
  readonly nemesis: Nemesis
  readonly cluster: Cluster
  readonly history: History
  readonly clients: Clients
  readonly random: () => number
}

export interface ChaosResult {
  readonly violations: readonly Violation[]
  readonly lines: readonly HistoryLine[]
  readonly faults: readonly FaultReport[]
  /** From the end of the last fault until all members agreed that all is well; null if they did not. */
  readonly settledMs: number | null
  /** Where everything lies that explains a failure. Null after a run without one. */
  readonly folder: string | null
}

/** Runs the plan under load. Throws only when the run itself cannot be done; what the cluster does wrong is a violation. */
export async function runChaos(
  options: ChaosOptions,
  plan: (world: ChaosWorld) => AsyncIterable<FaultReport>,
): Promise<ChaosResult> {
  for (const name of await sweepOldRuns()) options.print(`removed ${name}, left by a run that was ended`)
  const prefix = `${namePrefixOf(process.pid)}${++runs}-`
  const folder = mkdtempSync(join(tmpdir(), prefix))
  try {
    const result = await runIn(folder, { prefix, options, plan })
    if (result.violations.length === 0) return result
    const kept = mkdtempSync(`${failedFolder}${options.seed}-`)
    await unmountBelow(folder)
    renameSync(folder, kept)
    const violations = result.violations.map(violation => ({
      ...violation,
      text: violation.text.replaceAll(folder, kept),
    }))
    return { ...result, violations, folder: kept }
  } finally {
    await sweep(prefix)
  }
}

let runs = 0

async function runIn(
  folder: string,
  run: {
    readonly prefix: string
    readonly options: ChaosOptions
    readonly plan: (world: ChaosWorld) => AsyncIterable<FaultReport>
  },
): Promise<ChaosResult> {
  const { prefix, options, plan } = run
  const { print, signal } = options
  const random = seededRandom(options.seed)
  const network = await createNetwork(prefix)
  const history = createHistory(join(folder, 'history.jsonl'))
  const files = await prepareFiles(folder)
  const cluster = createCluster({ ...options, ...files, folder, network, signal })
  const violations: Violation[] = []
  const faults: FaultReport[] = []
  const stopped = new AbortController()
  const clients = createClients({
    history,
    accounts: Array.from({ length: options.accounts }, (_, number) => `acc-${number}`),
    nodes: () => cluster.members(),
    thinkMsMax: options.thinkMsMax,
  })
  let settledMs: number | null = null
  try {
    await cluster.add()
    await Promise.all(Array.from({ length: options.nodes - 1 }, () => cluster.add()))
    await cluster.settled(options.settleMsMax)
    await clients.open(options.settleMsMax)
    print(`${options.nodes} nodes are ready, ${options.clients} clients begin`)
    const load = Array.from({ length: options.clients }, (_, number) =>
      clients.run(number, seededRandom(options.seed * 1000 + number), stopped.signal),
    )
    const nemesis = createNemesis({ ...options, history, cluster, network, random })
    try {
      for await (const fault of plan({ nemesis, cluster, history, clients, random })) faults.push(fault)
    } finally {
      stopped.abort()
      await Promise.all(load)
    }
    const peaceAt = history.now()
    print('peace: everything is healed')
    await nemesis.heal()
    const statuses = await settle({ cluster, clients, options, violations })
    settledMs = statuses === null ? null : history.now() - peaceAt
    if (statuses !== null) {
      const dump = await dumpCluster(cluster, { statuses, accounts: options.accounts })
      violations.push(...checkHistory(history.lines, dump))
    }
  } catch (error) {
    if (signal.aborted) throw error
    violations.push({ guarantee: 'run', text: explain(error) })
  } finally {
    stopped.abort()
    await cluster.close()
    await history.close()
  }
  for (const { node, code, signal: by, log } of cluster.unexpectedEnds) {
    violations.push({ guarantee: 'run', text: `${node} ended by itself with ${code ?? by}:\n${log}` })
  }
  for (const text of clients.mistakes) violations.push({ guarantee: 'run', text })
  if (violations.length > 0) keep(folder, cluster.all())
  return { violations, lines: history.lines, faults, settledMs, folder: null }
}

async function prepareFiles(
  folder: string,
): Promise<{ readonly config: string; readonly secretFile: string }> {
  const config = join(folder, 'config')
  mkdirSync(config)
  cpSync(join(repository, 'config', 'aggregates'), join(config, 'aggregates'), { recursive: true })
  mkdirSync(join(config, 'queries'))
  cpSync(join(repository, 'config', 'queries', 'balance.ts'), join(config, 'queries', 'balance.ts'))
  const own = fileURLToPath(new URL('config/queries/tally.ts', import.meta.url))
  cpSync(own, join(config, 'queries', 'tally.ts'))
  const secretFile = join(folder, 'swarm.key')
  const executable = join(repository, 'bin', 'glyn-node.js')
  const [file, args] = plainly(process.execPath, [executable, 'keygen', secretFile])
  await shell(file, ...args)
  return { config, secretFile }
}

/** Everybody sees a whole cluster, and every command has an outcome. */
async function settle(world: {
  readonly cluster: Cluster
  readonly clients: Clients
  readonly options: ChaosOptions
  readonly violations: Violation[]
}): Promise<ReadonlyMap<ChaosNode, NodeStatus> | null> {
  const { cluster, clients, options, violations } = world
  try {
    await cluster.settled(options.settleMsMax)
    for (const { op, aggregate, commandId } of await clients.resolve(options.settleMsMax)) {
      const text = `${op} ${commandId} of ${aggregate} has no outcome after everything was healed`
      violations.push({ guarantee: 'run', text, aggregate, commandId })
    }
    return await cluster.settled(options.settleMsMax)
  } catch (error) {
    violations.push({ guarantee: 'run', text: explain(error) })
    return null
  }
}

async function dumpCluster(
  cluster: Cluster,
  known: { readonly statuses: ReadonlyMap<ChaosNode, NodeStatus>; readonly accounts: number },
): Promise<ClusterDump> {
  const accounts = Array.from({ length: known.accounts }, (_, number) => `acc-${number}`)
  const live = new Map<ChaosNode, LiveDump>()
  for (const node of cluster.members()) live.set(node, await collectLive(node, accounts))
  await Promise.all(cluster.members().map(node => node.stop(60_000)))
  const nodes = []
  for (const node of cluster.all()) {
    if (!existsSync(join(node.dataDirectory, 'glyn.db'))) continue
    nodes.push(
      await collectDisk(node, { isMember: node.state() !== 'removed', live: live.get(node) ?? null }),
    )
  }
  const names = new Map(cluster.all().map(node => [node.peerId() ?? '', node.name]))
  const voters = new Map<number, readonly string[]>()
  const committed = new Map<number, number>()
  for (const { partitions } of known.statuses.values()) {
    for (const { id, voters: peers, commitIndex } of partitions) {
      voters.set(
        id,
        peers.map(peer => names.get(peer) ?? peer),
      )
      committed.set(id, Math.max(committed.get(id) ?? 0, commitIndex))
    }
  }
  return { nodes, voters, committed }
}

/** The disks of the nodes are mounts that go away; a failed run keeps what was on them. */
function keep(folder: string, nodes: readonly ChaosNode[]): void {
  for (const { name, dataDirectory } of nodes) {
    if (!existsSync(dataDirectory)) continue
    const filter = (path: string): boolean => !path.endsWith('.sock')
    cpSync(dataDirectory, join(folder, `${name}-data`), { recursive: true, filter })
  }
}

const explain = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${explain(error.cause)}`
}
