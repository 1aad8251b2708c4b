// The simulator from the command line: one seed, told as it happens, or many of them.
import { Worker } from 'node:worker_threads'
import { planOf, simulate } from '../../src/testing/simulate.ts'
import { endUsage, parseFlags } from '../support/parse-flags.ts'
import { rememberFailedSeed } from './failed-seeds.ts'
import type { SeedDone } from './seed-worker.ts'

/** A seed of the default size takes well under a second; one that takes so long stands still. */
const seedMsMax = 120_000
const progressMs = 5000

const usage = `  npm run sim -- --seed 123 [--quiet]                one seed, told as it happens
  npm run sim -- --seeds 1000 [--from 1] [--jobs 2]   many, so many at a time`

const values = parseFlags(usage, {
  seed: { type: 'string' },
  seeds: { type: 'string' },
  from: { type: 'string', default: '1' },
  jobs: { type: 'string', default: '2' },
  quiet: { type: 'boolean', default: false },
})

if (values.seed !== undefined) await replay(wholeNumber('seed', values.seed))
else if (values.seeds !== undefined) {
  await runMany({
    from: wholeNumber('from', values.from),
    count: wholeNumber('seeds', values.seeds),
    jobs: wholeNumber('jobs', values.jobs),
  })
} else {
  say(usage)
  process.exitCode = 2
}

async function replay(seed: number): Promise<void> {
  say(`seed ${seed}: ${JSON.stringify(planOf({ seed }))}`)
  const report = await simulate({ seed, ...(values.quiet ? {} : { onLine: say }) })
  const { ok, traceHash, virtualMs, events, committed, accepted } = report
  if (!ok) tellFailure(report)
  say(
    `${ok ? 'passed' : 'FAILED'}: trace ${traceHash}, ${virtualMs / 1000} s of virtual time, ${events} events, ${committed} entries, ${accepted} commands accepted`,
  )
  if (ok) return
  rememberFailedSeed({ seed, violation: report.violation ?? '' })
  process.exitCode = 1
}

async function runMany(init: {
  readonly from: number
  readonly count: number
  readonly jobs: number
}): Promise<void> {
  const { from, count, jobs } = init
  say(`seeds ${from} to ${from + count - 1}, ${jobs} at a time`)
  const startedMs = performance.now()
  let next = from
  let done = 0
  let failed = 0
  let accepted = 0
  const pace = (): string => `${Math.round(done / ((performance.now() - startedMs) / 60_000))} seeds a minute`
  const progress = setInterval(
    () => say(`${done} of ${count} seeds, ${failed} failed, ${pace()}`),
    progressMs,
  )

  /** Takes seeds until there are none left. Resolves early when its thread had to be ended. */
  const job = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./seed-worker.ts', import.meta.url))
      let watchdog: NodeJS.Timeout | undefined
      let current = 0
      const give = (): void => {
        if (next >= from + count) {
          void worker.terminate().then(() => resolve())
          return
        }
        const seed = next
        next += 1
        current = seed
        watchdog = setTimeout(() => {
          take({
            seed,
            ok: false,
            violation: `it did not end within ${seedMsMax / 1000} s`,
            story: [],
            accepted: 0,
          })
          void worker.terminate().then(() => job().then(resolve, reject))
        }, seedMsMax)
        worker.postMessage(seed)
      }
      const take = (result: SeedDone): void => {
        clearTimeout(watchdog)
        done += 1
        accepted += result.accepted
        if (result.ok) return
        failed += 1
        tellFailure(result)
        rememberFailedSeed({ seed: result.seed, violation: result.violation ?? '' })
      }
      worker.on('message', (result: SeedDone) => {
        take(result)
        give()
      })
      // What nobody catches ends a real process, too.
      worker.on('error', error => {
        const violation = `an error that nobody caught: ${error instanceof Error ? error.stack : String(error)}`
        take({ seed: current, ok: false, violation, story: [], accepted: 0 })
        job().then(resolve, reject)
      })
      give()
    })

  await Promise.all(Array.from({ length: jobs }, job))
  clearInterval(progress)
  say(`${done} seeds, ${failed} failed, ${accepted} commands accepted, ${pace()}`)
  if (failed > 0) process.exitCode = 1
}

function tellFailure({ seed, violation, story }: Pick<SeedDone, 'seed' | 'violation' | 'story'>): void {
  say(`\nseed ${seed} failed: ${violation}`)
  for (const line of story) say(line)
  say(`replay it with: npm run sim -- --seed ${seed}\n`)
}

function wholeNumber(name: string, text: string): number {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  return endUsage(`--${name} is ${text}; allowed: a whole number above 0`)
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
