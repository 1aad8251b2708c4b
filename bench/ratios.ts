// What is compared with what. A machine is not equally fast for a quarter of an hour, so the parts are measured in rounds, one
// after the other in each; a ratio is taken within a round, and of the rounds the median counts.
import type { Measurement } from './measure.ts'
import type { RebuildResult } from './rebuild.ts'

/** What one round measured, by the file of the part. */
export type Round = ReadonlyMap<string, readonly Measurement[]>

export interface Ratio {
  readonly name: string
  /** The median of `values`; null when one of the two was not measured. */
  readonly value: number | null
  /** Of each round in which both were measured. */
  readonly values: readonly number[]
  readonly goal: number
}

/** A part, and with how many in flight; `best`: as many as suit it best. */
type Side = readonly [file: string, inFlight: number | 'best']

const comparisons: readonly {
  readonly name: string
  readonly above: Side
  readonly below: Side
  readonly goal: number
}[] = [
  {
    name: 'one node / raw limit, 256 in flight',
    above: ['one-node.ts', 256],
    below: ['raw-limit.ts', 256],
    goal: 0.3,
  },
  {
    name: 'one node at 32 in flight / Emmett at its best',
    above: ['one-node.ts', 32],
    below: ['peers/emmett.ts', 'best'],
    goal: 10,
  },
  {
    name: 'appends of the PostgreSQL store / commands of Emmett, 32 in flight',
    above: ['postgres-store.ts', 32],
    below: ['peers/emmett.ts', 32],
    goal: 5,
  },
  {
    name: 'one node on PostgreSQL / Emmett, 32 in flight',
    above: ['shared.ts', 32],
    below: ['peers/emmett.ts', 32],
    goal: 5,
  },
  {
    name: 'three nodes / one node, 256 in flight',
    above: ['three-nodes.ts', 256],
    below: ['one-node.ts', 256],
    goal: 0.3,
  },
  {
    name: 'beside a looping query / without one, 32 in flight',
    above: ['beside-looping.ts', 32],
    below: ['beside-counting.ts', 32],
    goal: 0.5,
  },
]

export function ratiosOf(rounds: readonly Round[], rebuild: RebuildResult | null): readonly Ratio[] {
  const counting = rebuild?.queries.find(({ name }) => name === 'counting')
  return [
    ...comparisons.map(({ name, above, below, goal }) => {
      const values = rounds.flatMap(round => {
        const [high, low] = [rateOf(round, above), rateOf(round, below)]
        return high === undefined || low === undefined ? [] : [high / low]
      })
      return ratio({ name, values, goal })
    }),
    ratio({
      name: 'rebuild of a function that counts / 200,000 events per second',
      values: counting === undefined ? [] : [counting.perSecond / 200_000],
      goal: 1,
    }),
  ]
}

/** Of each number in flight the round with the median rate. */
export function medianMeasurements(rounds: readonly (readonly Measurement[])[]): readonly Measurement[] {
  const [first = []] = rounds
  return first.flatMap(({ inFlight }) => {
    const same = rounds.flatMap(round => round.filter(measurement => measurement.inFlight === inFlight))
    return median(same, ({ perSecond }) => perSecond) ?? []
  })
}

/** Of an even number the lower of the two in the middle; undefined of none. */
function median<Item>(items: readonly Item[], measureOf: (item: Item) => number): Item | undefined {
  return [...items].sort((a, b) => measureOf(a) - measureOf(b))[Math.floor((items.length - 1) / 2)]
}

function rateOf(round: Round, [file, inFlight]: Side): number | undefined {
  const rates = (round.get(file) ?? [])
    .filter(measurement => inFlight === 'best' || measurement.inFlight === inFlight)
    .map(({ perSecond }) => perSecond)
  return rates.length === 0 ? undefined : Math.max(...rates)
}

function ratio(of: Pick<Ratio, 'name' | 'values' | 'goal'>): Ratio {
  return { ...of, value: median(of.values, value => value) ?? null }
}
