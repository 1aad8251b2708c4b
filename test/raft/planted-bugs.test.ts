// Proof that the random cluster sees: each planted bug must be found within a stated number of seeds.
import t from 'tap'
import { type RaftRules, raftRules } from '../../src/raft/rules.ts'
import { seededRandom } from '../../src/testing/simulator/seeded-random.ts'
import { type DriverBug, runRandomCluster } from './random-cluster.ts'

interface PlantedBug {
  readonly claim: string
  readonly voters: number
  readonly spares: number
  /** Found at the first run within this many seeds; a margin of some times what it takes today. */
  readonly seedsMax: number
  readonly rules?: RaftRules
  readonly bug?: DriverBug
}

const bugs: readonly PlantedBug[] = [
  {
    claim: "R5: committing an older term's entry by counting is found",
    voters: 5,
    spares: 0,
    seedsMax: 2000,
    rules: { ...raftRules, mayCommitByCounting: () => true },
  },
  {
    claim: 'R1: acknowledging before the write is durable is found',
    voters: 3,
    spares: 0,
    seedsMax: 500,
    bug: 'acknowledge-before-durable',
  },
  {
    claim: 'R3: forgetting the vote on restart is found',
    voters: 3,
    spares: 0,
    seedsMax: 500,
    bug: 'forget-vote-on-restart',
  },
  {
    claim: 'R7: serving a read without a round of heartbeats is found',
    voters: 3,
    spares: 0,
    seedsMax: 500,
    bug: 'serve-reads-without-a-round',
  },
  {
    claim: 'R8: changing the configuration before a commit in the own term is found',
    voters: 4,
    spares: 1,
    seedsMax: 2000,
    rules: { ...raftRules, mayChangeConfiguration: () => true },
  },
]

for (const { claim, voters, spares, seedsMax, ...planted } of bugs) {
  t.test(claim, t => {
    for (let seed = 1; seed <= seedsMax; seed += 1) {
      try {
        runRandomCluster({ random: seededRandom(seed), voters, spares, steps: 3000, ...planted })
      } catch (error) {
        t.pass(`seed ${seed}: ${(error as Error).message}`)
        t.end()
        return
      }
    }
    t.fail(`not found within ${seedsMax} seeds`)
    t.end()
  })
}
