// The door of the simulator: one seed, everything else may be left out.
import type { AnyAggregate } from '../core/aggregate.ts'
import { GlynError } from '../core/errors.ts'
import type { AnyQuery } from '../query/define-query.ts'
import type { AnyHandler } from '../reaction/define-handler.ts'
import type { AnyProcess } from '../reaction/define-process.ts'
import { addLookAndAsk, counter, echo, tally, totals, witness } from './default-setup.ts'
import type { SimulatedClient } from './simulator/client.ts'
import type { Invariant } from './simulator/invariant.ts'
import { type FaultKind, faultKinds } from './simulator/nemesis.ts'
import { createDice, type Dice } from './simulator/seeded-random.ts'
import { runSimulation, type SimulationPlan, type SimulationReport } from './simulator/simulation.ts'

/** What `simulate` takes. Everything but the seed may be left out. */
export interface SimulateOptions {
  /** A whole number. The same seed and the same code: the same run. */
  readonly seed: number
  /** Yours; counters that the simulator brings along when left out. */
  readonly aggregates?: readonly AnyAggregate[]
  readonly queries?: readonly AnyQuery[]
  readonly handlers?: readonly AnyHandler[]
  readonly processes?: readonly AnyProcess[]
  /** Called by every client again and again while things break. */
  readonly workload?: (client: SimulatedClient) => Promise<void>
  /** Asked after every command that is committed, and when all is over. */
  readonly invariants?: readonly Invariant[]
  /** Nodes at the beginning. 3 to 6, as the seed wants it, when left out. */
  readonly nodes?: number
  /** Data partitions. A few, as the seed wants it, when left out. */
  readonly partitions?: number
  /** Voters per partition. 3 or 5, as the seed wants it, when left out. */
  readonly replicas?: number
  /** Clients at the same time. 4 when left out. */
  readonly clients?: number
  /** Seconds of virtual time in which things break. As the seed wants it when left out. */
  readonly seconds?: number
  /** The handler and the process that the simulator brings along run too. In some seeds when left out. */
  readonly reacts?: boolean
  /** What may break. A mix that the seed chooses when left out; none: nothing. */
  readonly faults?: readonly FaultKind[]
  /** Told of everything that happens, a line at a time. */
  readonly onLine?: (line: string) => void
}

/** What came of one seed. */
export interface SimulateReport extends SimulationReport {
  readonly seed: number
  /** What the seed and the options came to. */
  readonly plan: SimulationPlan
}

/** What the seed makes of the options. */
export function planOf(options: SimulateOptions): SimulationPlan {
  return drawPlan(options, createDice(options.seed).apart('plan'))
}

/**
 * Runs one seed: a cluster is formed, things break while the clients work, all is healed, and everything must come right
 * again. Resolves with what was found; never rejects for what the code under test does. Throws INVALID_ARGUMENT.
 */
export async function simulate(options: SimulateOptions): Promise<SimulateReport> {
  const { seed } = options
  checkOptions(options)
  const plan = planOf(options)
  const report = await runSimulation({
    plan,
    dice: createDice(seed),
    aggregates: options.aggregates ?? (plan.reacts ? [counter, tally] : [counter]),
    queries: options.queries ?? (options.aggregates === undefined ? [totals] : []),
    handlers: options.handlers ?? (plan.reacts ? [witness] : []),
    processes: options.processes ?? (plan.reacts ? [echo] : []),
    workload: options.workload ?? addLookAndAsk,
    invariants: options.invariants ?? [],
    onLine: options.onLine,
  })
  return { seed, plan, ...report }
}

/** Throws INVALID_ARGUMENT that names the option. */
function checkOptions(options: SimulateOptions): void {
  const refuse = (name: string, value: unknown, allowed: string): never => {
    throw new GlynError('INVALID_ARGUMENT', `simulate: ${name} is ${String(value)}; allowed: ${allowed}`)
  }
  if (!Number.isSafeInteger(options.seed)) refuse('seed', options.seed, 'a whole number')
  for (const name of ['nodes', 'partitions', 'replicas', 'clients'] as const) {
    const value = options[name]
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0))
      refuse(name, value, 'a whole number above 0')
  }
  if (options.seconds !== undefined && !(options.seconds >= 0))
    refuse('seconds', options.seconds, '0 or more')
  for (const kind of options.faults ?? []) {
    if (!faultKinds.includes(kind)) refuse('a fault', kind, faultKinds.join(', '))
  }
  if (options.aggregates !== undefined && options.workload === undefined)
    refuse('workload', 'missing', 'a function, because the one that comes along is for aggregates that do')
}

function drawPlan(options: SimulateOptions, dice: Dice): SimulationPlan {
  const tickMs = dice.pick([20, 50, 100])
  const queryNodes = options.nodes === undefined && dice.chance(0.25) ? 1 : 0
  const nodes = options.nodes ?? dice.pick([3, 3, 3, 4, 5]) + queryNodes
  const replicas = options.replicas ?? (nodes - queryNodes >= 5 && dice.chance(0.5) ? 5 : 3)
  // Some kinds of faults are left out of every seed: rare combinations need room.
  const drawn = faultKinds.filter(() => dice.chance(0.6))
  const kinds = options.faults ?? drawn
  return {
    seed: options.seed,
    nodes,
    queryNodes,
    nodesMax: nodes + 2,
    partitions: options.partitions ?? dice.integer(1, 3),
    replicas,
    clients: options.clients ?? 4,
    readers: 2,
    faultsMs: options.seconds === undefined ? dice.integer(4, 15) * 1000 : options.seconds * 1000,
    paceMs: dice.pick([150, 400, 1000]),
    kinds,
    crashElected: kinds.includes('crash') ? dice.pick([0, 0, 0.3]) : 0,
    timing: { tickMs, electionTicks: dice.pick([5, 8]), heartbeatTicks: 1 },
    clockDriftMax: dice.pick([0, 0.001, 0.05]),
    actorsMax: dice.pick([1, 2, 100]),
    reacts: options.reacts ?? (options.aggregates === undefined && dice.chance(0.3)),
  }
}
