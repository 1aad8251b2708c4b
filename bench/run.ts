// `npm run bench`: every part in a process of its own, one after the other, then a table with ratios, and JSON if wanted.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endUsage, parseFlags } from '../test/support/parse-flags.ts'
import { postgresIsMissing } from '../test/support/postgres-server.ts'
import type { FailoverResult } from './failover.ts'
import { machineFacts } from './machine.ts'
import type { Measurement } from './measure.ts'
import { medianMeasurements, ratiosOf } from './ratios.ts'
import type { RebuildResult } from './rebuild.ts'
import type { BenchSettings } from './settings.ts'
import { type BenchReport, formatReport, type MeasuredPart } from './table.ts'

const here = fileURLToPath(new URL('.', import.meta.url))
const peers = join(here, 'peers')
const partTimeoutMs = 20 * 60_000
const cleanUpTimeoutMs = 10_000

const measuredParts = [
  { name: 'raw-limit', title: 'raw limit: SQLite group commit', file: 'raw-limit.ts' },
  { name: 'one-node', title: 'glyn-node, one node', file: 'one-node.ts' },
  { name: 'three-nodes', title: 'glyn-node, three nodes', file: 'three-nodes.ts' },
  { name: 'postgres-store', title: 'PostgreSQL store, appends only', file: 'postgres-store.ts' },
  { name: 'shared', title: 'glyn-node, one node on PostgreSQL', file: 'shared.ts' },
  { name: 'emmett', title: 'Emmett, PostgreSQL store', file: 'peers/emmett.ts' },
  { name: 'isolation', title: 'one node and a counting query', file: 'beside-counting.ts' },
  { name: 'isolation', title: 'the same, and a looping query', file: 'beside-looping.ts' },
] as const
const partNames: readonly string[] = [
  ...new Set([...measuredParts.map(({ name }) => name), 'failover', 'rebuild']),
]

const usage = `  npm run bench                       raw limit, one node, three nodes, failover, isolation, rebuild: some twelve minutes
  npm run bench -- --peers            Emmett too; installs it into bench/peers/node_modules
  npm run bench -- --quick            a second per figure, three kills: to see that it works
  npm run bench -- --rounds 1         how often the parts are measured, one after the other; 3 if left out, the median counts
  npm run bench -- --only one-node    one part (${partNames.join(', ')}); several times
  npm run bench -- --json <file>      the report as JSON
  npm run bench -- --dir <folder>     measures on the disk of this folder (bench/results if left out)`

const flags = parseFlags(usage, {
  peers: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string' },
  json: { type: 'string' },
  dir: { type: 'string', default: join(here, 'results') },
  only: { type: 'string', multiple: true, default: [] },
})
for (const name of flags.only) {
  if (!partNames.includes(name))
    endUsage(`--only ${name}: there is no such part; allowed: ${partNames.join(', ')}`)
}
const roundsMax = 99
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 3))
if (!Number.isInteger(rounds) || rounds < 1 || rounds > roundsMax)
  endUsage(`--rounds ${flags.rounds}: not a number of rounds; allowed: 1 to ${roundsMax}`)

/** What was measured until then is still reported. */
let isInterrupted = false

process.exitCode = await bench()

/** Resolves with the exit code: 1 when a part failed. A ratio that misses its goal is a finding, not a failure. */
async function bench(): Promise<number> {
  if (flags.peers) installPeers()
  mkdirSync(flags.dir, { recursive: true })
  const folder = mkdtempSync(join(resolve(flags.dir), 'run-'))
  const settings: BenchSettings = {
    folder,
    warmUpMs: flags.quick ? 300 : 2000,
    durationMs: flags.quick ? 1000 : 3000,
    inFlight: [1, 32, 256],
    accounts: 500,
    kills: flags.quick ? 3 : 20,
    rebuildEvents: flags.quick ? 100_000 : 1_000_000,
  }
  const notes: string[] = []
  const measured = Array.from({ length: rounds }, () => new Map<string, readonly Measurement[]>())
  let failover: FailoverResult | null = null
  let rebuild: RebuildResult | null = null
  let failures = 0
  const attempt = async <Result>(name: string, file: string): Promise<Result | null> => {
    process.stderr.write(`${name} …\n`)
    try {
      return await runPartProcess<Result>(file, settings)
    } catch (error) {
      failures += 1
      notes.push(`${name} failed: ${error instanceof Error ? error.message : String(error)}`)
      return null
    }
  }
  try {
    const machine = machineFacts({ date: new Date().toISOString(), folder })
    const wanted = measuredParts.filter(({ name, title }) => {
      if (!isWanted(name)) return false
      const missing = whatIsMissing(name)
      if (missing !== null) notes.push(`${title}: not measured, because ${missing}`)
      return missing === null
    })
    for (const [place, round] of measured.entries()) {
      for (const { name, file } of wanted) {
        if (isInterrupted) break
        const found = await attempt<Measurement[]>(
          rounds === 1 ? name : `${name}, round ${place + 1} of ${rounds}`,
          file,
        )
        if (found !== null) round.set(file, found)
      }
    }
    const parts = measuredParts.flatMap(({ title, file }): MeasuredPart[] => {
      const found = measured.flatMap(round => {
        const measurements = round.get(file)
        return measurements === undefined ? [] : [measurements]
      })
      if (found.length === 0) return []
      return [{ name: title, measurements: medianMeasurements(found), rounds: found }]
    })
    if (isWanted('failover')) failover = await attempt<FailoverResult>('failover', 'failover.ts')
    if (isWanted('rebuild')) rebuild = await attempt<RebuildResult>('rebuild', 'rebuild.ts')
    const report: BenchReport = {
      machine,
      settings: {
        durationMs: settings.durationMs,
        accounts: settings.accounts,
        rounds,
        isQuick: flags.quick,
      },
      parts,
      failover,
      rebuild,
      ratios: ratiosOf(measured, rebuild),
      notes,
    }
    process.stdout.write(`${formatReport(report)}\n`)
    if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(report, null, 2)}\n`)
    return failures === 0 ? 0 : 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function whatIsMissing(name: string): string | null {
  if (name === 'emmett' && !existsSync(join(peers, 'node_modules')))
    return 'it is not installed: npm run bench -- --peers installs it'
  return name === 'postgres-store' || name === 'shared' || name === 'emmett' ? postgresIsMissing() : null
}

function isWanted(name: string): boolean {
  return !isInterrupted && (flags.only.length === 0 || flags.only.includes(name))
}

function installPeers(): void {
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: peers,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (status !== 0) throw new Error(`npm ci in ${peers} ended with ${status}`)
}

/** A part and what it starts are one process group: nothing of it outlives the bench. */
function runPartProcess<Result>(file: string, settings: BenchSettings): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(here, file), JSON.stringify(settings)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    })
    let output = ''
    let why = ''
    child.stdout.setEncoding('utf8').on('data', chunk => (output += chunk))
    const killGroup = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch (error) {
        // Nobody is left: as it should be.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    }
    let lastResort: NodeJS.Timeout | undefined
    const stop = (reason: string): void => {
      why ||= reason
      child.kill('SIGTERM')
      lastResort ??= setTimeout(killGroup, cleanUpTimeoutMs)
    }
    const timer = setTimeout(() => stop(`not done in ${partTimeoutMs} ms`), partTimeoutMs)
    const interrupt = (): void => {
      isInterrupted = true
      stop('interrupted')
    }
    process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      clearTimeout(lastResort)
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
      killGroup()
      if (code === 0 && why === '') resolve(JSON.parse(output) as Result)
      else reject(new Error(why || `it ended with ${code ?? signal}; what it wrote is above`))
    })
  })
}
