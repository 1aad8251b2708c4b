// A fixed set of seeds, and every seed that ever failed: anything may break, nothing wrong may happen, and all comes right.
import t from 'tap'
import { simulate } from '../../src/testing/simulate.ts'
import { readFailedSeeds } from './failed-seeds.ts'

const fixed = Array.from({ length: 40 }, (_, place) => place + 1)
const failed = readFailedSeeds().map(({ seed }) => seed)

t.test('every seed passes', async t => {
  let accepted = 0
  for (const seed of new Set([...fixed, ...failed])) {
    const report = await simulate({ seed })
    accepted += report.accepted
    if (!report.ok) t.fail(`seed ${seed}: ${report.violation}`, { story: report.story })
  }
  t.ok(accepted > 1000, `${accepted} commands were accepted: a world without traffic proves nothing`)
})

t.test('one seed is one run, line by line', async t => {
  const run = async (): Promise<{ readonly lines: readonly string[]; readonly traceHash: string }> => {
    const lines: string[] = []
    const { traceHash } = await simulate({ seed: 7, onLine: line => lines.push(line) })
    return { lines, traceHash }
  }
  const [once, twice] = [await run(), await run()]
  t.equal(twice.traceHash, once.traceHash)
  t.same(twice.lines, once.lines)
  t.ok(once.lines.length > 50)
  const other = await simulate({ seed: 8 })
  t.not(other.traceHash, once.traceHash, 'another seed is another run')
})
