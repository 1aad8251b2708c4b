// The result as people read it.
import Table from 'cli-table3'
import type { Departure, FailoverResult } from './failover.ts'
import type { MachineFacts } from './machine.ts'
import type { Measurement } from './measure.ts'
import type { Ratio } from './ratios.ts'
import type { RebuildResult } from './rebuild.ts'

export interface BenchReport {
  readonly machine: MachineFacts
  readonly settings: {
    readonly durationMs: number
    readonly accounts: number
    readonly rounds: number
    readonly isQuick: boolean
  }
  readonly parts: readonly MeasuredPart[]
  readonly failover: FailoverResult | null
  readonly rebuild: RebuildResult | null
  readonly ratios: readonly Ratio[]
  /** What was not measured, or failed, and why. */
  readonly notes: readonly string[]
}

export interface MeasuredPart {
  readonly name: string
  /** Of each number in flight the round with the median rate. */
  readonly measurements: readonly Measurement[]
  readonly rounds: readonly (readonly Measurement[])[]
}

const plain = { style: { head: [], border: [] } }

export function formatReport(report: BenchReport): string {
  const { machine, settings, parts, failover, rebuild, ratios, notes } = report
  const heading =
    `${machine.date}: ${machine.cores} × ${machine.processor}, ${machine.system}, Node ${machine.node}, ` +
    `${machine.fsyncsPerSecond} fsyncs/s, load before the run ${machine.load.toFixed(1)}\n` +
    `accepted commands, durable (fsync on), ${settings.accounts} accounts, ${settings.durationMs / 1000} s each` +
    (settings.rounds === 1 ? '' : `, the median of ${settings.rounds} rounds`) +
    (settings.isQuick ? ' (--quick: too short to quote)' : '')
  const rates = new Table({
    ...plain,
    head: ['', 'in flight', 'per second', 'p50 ms', 'p99 ms'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
  })
  for (const { name, measurements } of parts) {
    measurements.forEach(({ inFlight, perSecond, p50Ms, p99Ms }, place) => {
      rates.push([
        place === 0 ? name : '',
        inFlight,
        Math.round(perSecond).toLocaleString('en'),
        milliseconds(p50Ms),
        milliseconds(p99Ms),
      ])
    })
  }
  const goals = new Table({
    ...plain,
    head: ['ratio', 'median', 'from', 'to', 'goal', ''],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'left'],
  })
  for (const { name, value, values, goal } of ratios) {
    const verdict = value === null ? 'not measured' : value >= goal ? 'reached' : 'missed'
    const found = value === null ? [] : [value, Math.min(...values), Math.max(...values)]
    const shown = found.length === 0 ? ['–', '–', '–'] : found.map(number => number.toFixed(2))
    goals.push([name, ...shown, goal.toString(), verdict])
  }
  const stalls = failover === null ? [] : [formatStalls(failover)]
  const rebuilds = rebuild === null ? [] : [formatRebuild(rebuild)]
  return [
    heading,
    rates.toString(),
    ...stalls,
    ...rebuilds,
    goals.toString(),
    ...notes.map(note => `note: ${note}`),
  ].join('\n')
}

const departures: readonly {
  readonly signal: Departure
  readonly name: string
  readonly goalMs?: number
}[] = [
  { signal: 'none', name: 'no node goes: what the machine alone does' },
  { signal: 'SIGKILL', name: 'the leader is killed (SIGKILL)', goalMs: 3000 },
  { signal: 'SIGSTOP', name: 'the leader is frozen (SIGSTOP)', goalMs: 3000 },
  { signal: 'SIGTERM', name: 'the leader is stopped (SIGTERM) and hands over', goalMs: 250 },
]

function formatRebuild({ events, queries }: RebuildResult): string {
  const table = new Table({
    ...plain,
    head: [
      `a read model of ${events.toLocaleString('en')} events`,
      'events per second',
      'seconds',
      'more memory, MB',
    ],
    colAligns: ['left', 'right', 'right', 'right'],
  })
  const titles = { counting: 'a function that counts', balances: 'a query that writes a row for each event' }
  for (const { name, perSecond, seconds, memoryBytesMore } of queries) {
    const memory = Math.round(memoryBytesMore / 1e6)
    table.push([titles[name], Math.round(perSecond).toLocaleString('en'), seconds.toFixed(1), memory])
  }
  return table.toString()
}

function formatStalls(failover: FailoverResult): string {
  const table = new Table({
    ...plain,
    head: ['longest stall of writes when', 'p50 ms', 'p99 ms', 'max ms', 'samples', 'goal of p99', ''],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'left'],
  })
  for (const { signal, name, goalMs } of departures) {
    const { p50Ms, p99Ms, maxMs, samples } = failover[signal]
    const goal = goalMs === undefined ? ['', ''] : [`< ${goalMs}`, p99Ms < goalMs ? 'reached' : 'missed']
    table.push([name, ...[p50Ms, p99Ms, maxMs].map(milliseconds), samples, ...goal])
  }
  return table.toString()
}

const milliseconds = (value: number): string => value.toFixed(value < 10 ? 2 : 1)
