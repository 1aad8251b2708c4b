// `npm run sim:bugs`: plants every bug of the list in a copy of the source, lets the simulator look for it, and prints a
// table. Ends with 1 when one is not found within its number of seeds.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Table from 'cli-table3'
import { endUsage, parseFlags } from '../support/parse-flags.ts'
import { plant } from './plant.ts'
import { type PlantedBug, plantedBugs } from './planted-bugs.ts'
import type { Search } from './seeds-until-found.ts'

const searchTimeoutMs = 60 * 60_000

const usage = `  npm run sim:bugs                          all of them, two at a time
  npm run sim:bugs -- --only stale-read     one; several times
  npm run sim:bugs -- --jobs 1              one at a time`

const flags = parseFlags(usage, {
  only: { type: 'string', multiple: true, default: [] },
  jobs: { type: 'string', default: '2' },
})
const names = plantedBugs.map(({ name }) => name)
for (const name of flags.only) {
  if (!names.includes(name)) endUsage(`--only ${name}: there is no such bug; allowed: ${names.join(', ')}`)
}
const jobs = Number(flags.jobs)
if (!Number.isSafeInteger(jobs) || jobs < 1)
  endUsage(`--jobs is ${flags.jobs}; allowed: a whole number from 1`)

interface Result extends Search {
  readonly bug: PlantedBug
  readonly seconds: number
  /** Why there was no search. */
  readonly failure: string | null
}

const wanted = plantedBugs.filter(({ name }) => flags.only.length === 0 || flags.only.includes(name))
const queue = [...wanted]
const results = new Map<PlantedBug, Result>()
const worker = async (): Promise<void> => {
  for (let bug = queue.shift(); bug !== undefined; bug = queue.shift()) {
    const result = await look(bug)
    results.set(bug, result)
    process.stderr.write(`${bug.name}: ${verdictOf(result)}, ${result.seconds.toFixed(0)} s\n`)
  }
}
await Promise.all(Array.from({ length: jobs }, worker))

const table = new Table({
  head: ['planted bug', 'seed', 'of', 'seconds', 'what was seen'],
  colAligns: ['left', 'right', 'right', 'right', 'left'],
  colWidths: [30, 8, 8, 9, 80],
  style: { head: [], border: [] },
  wordWrap: true,
})
let missed = 0
for (const bug of wanted) {
  const result = results.get(bug)
  if (result === undefined || result.foundBy === null) missed += 1
  const seen = result?.violation ?? result?.failure ?? 'nothing'
  const seconds = (result?.seconds ?? 0).toFixed(0)
  table.push([`${bug.name}: ${bug.what}`, result?.foundBy ?? '–', bug.seedsMax, seconds, shorten(seen)])
}
process.stdout.write(
  `${table.toString()}\n${wanted.length - missed} of ${wanted.length} planted bugs found\n`,
)
process.exitCode = missed === 0 ? 0 : 1

async function look(bug: PlantedBug): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'glyn-bug-'))
  const began = performance.now()
  const seconds = (): number => (performance.now() - began) / 1000
  try {
    plant(bug, folder)
    const search = await searchIn(folder, bug.seedsMax)
    return { bug, ...search, seconds: seconds(), failure: null }
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error)
    return { bug, foundBy: null, violation: null, seconds: seconds(), failure }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function searchIn(folder: string, seeds: number): Promise<Search> {
  return new Promise((resolve, reject) => {
    const program = join(folder, 'test', 'sim', 'seeds-until-found.ts')
    const child = spawn(process.execPath, [program, String(seeds)], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let complaint = ''
    child.stdout.setEncoding('utf8').on('data', chunk => (output += chunk))
    child.stderr.setEncoding('utf8').on('data', chunk => (complaint = (complaint + chunk).slice(-2000)))
    const timer = setTimeout(() => child.kill('SIGKILL'), searchTimeoutMs)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      const last = output.trim().split('\n').at(-1) ?? ''
      if (code === 0 && last.startsWith('{')) resolve(JSON.parse(last) as Search)
      else reject(new Error(`the search ended with ${code ?? signal}: ${complaint}`))
    })
  })
}

function verdictOf({ foundBy, failure, bug }: Result): string {
  if (failure !== null) return `failed: ${failure}`
  return foundBy === null ? `NOT found in ${bug.seedsMax} seeds` : `found by seed ${foundBy}`
}

function shorten(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 297)}...`
}
