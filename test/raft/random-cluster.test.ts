// Seeded runs of a whole group under faults. RAFT_SEEDS=5000 runs more, RAFT_SEED=17 runs one and prints its steps.
import t from 'tap'
import { seededRandom } from '../../src/testing/simulator/seeded-random.ts'
import { type RandomClusterReport, runRandomCluster } from './random-cluster.ts'

const only = process.env['RAFT_SEED']
const count = Number(process.env['RAFT_SEEDS'] ?? 1000)
const seeds = only === undefined ? Array.from({ length: count }, (_, seed) => seed + 1) : [Number(only)]

const total = { committed: 0, elections: 0, crashes: 0, changes: 0, reads: 0 }
for (const seed of seeds) {
  const random = seededRandom(seed)
  const voters = 1 + (seed % 5)
  const spares = Math.floor(random() * 3)
  const trace = only === undefined ? {} : { trace: (line: string) => t.comment(line) }
  let report: RandomClusterReport
  try {
    report = runRandomCluster({ random, voters, spares, steps: 3000, ...trace })
  } catch (error) {
    t.fail(`seed ${seed} (${voters} voters, ${spares} spares): ${(error as Error).stack}`)
    continue
  }
  for (const key of ['committed', 'elections', 'crashes', 'changes', 'reads'] as const)
    total[key] += report[key]
}

t.pass(`${seeds.length} seeds: no invariant was broken, and every group recovered`)
if (only === undefined) {
  t.test('the runs were not idle', t => {
    t.ok(total.committed > seeds.length * 20, `${total.committed} entries committed`)
    t.ok(total.elections > seeds.length * 2, `${total.elections} elections`)
    t.ok(total.crashes > seeds.length, `${total.crashes} crashes`)
    t.ok(total.changes > seeds.length, `${total.changes} configurations`)
    t.ok(total.reads > seeds.length * 2, `${total.reads} reads`)
    t.end()
  })
}
