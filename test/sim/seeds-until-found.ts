// Runs seeds, from the first, until one fails. A process of its own: the source beside it may have a planted bug.
// `node seeds-until-found.ts <seeds>` prints one line of JSON.
import { simulate } from '../../src/testing/index.ts'

export interface Search {
  /** The seed that failed; null when all of them passed. */
  readonly foundBy: number | null
  /** What was violated. */
  readonly violation: string | null
}

const seeds = Number(process.argv[2])
if (!Number.isSafeInteger(seeds) || seeds < 1)
  throw new Error(`seeds is ${process.argv[2]}; allowed: a whole number from 1`)

let search: Search = { foundBy: null, violation: null }
for (let seed = 1; seed <= seeds && search.foundBy === null; seed += 1) {
  const report = await simulate({ seed })
  if (!report.ok) search = { foundBy: seed, violation: report.violation }
}
process.stdout.write(`${JSON.stringify(search)}\n`)
