// What a run tells people: a table of what happened, and, when something went wrong, the story of it.
import type { HistoryLine } from './history.ts'
import { isNemesis } from './history.ts'
import type { FaultReport } from './nemesis.ts'
import type { ChaosResult } from './run-chaos.ts'
import type { Violation } from './violation.ts'

/** Lines of the history around a violation that its story tells. */
const storyLinesMax = 40
const violationsShownMax = 10

export function summaryOf(result: Pick<ChaosResult, 'lines' | 'faults' | 'settledMs'>): string {
  const { lines, faults, settledMs } = result
  const ends = lines.flatMap(line => (isNemesis(line) || line.type === 'invoke' ? [] : [line]))
  const operations = [...Map.groupBy(ends, line => line.op)].map(([op, own]) => {
    const count = (type: string): string => String(own.filter(line => line.type === type).length)
    return [op, String(own.length), count('ok'), count('fail'), count('info')]
  })
  const rows = [...Map.groupBy(faults, fault => fault.kind)].map(([kind, own]) => {
    const stalls = own.map(fault => longestStalls(lines, fault))
    return [
      kind,
      String(own.length),
      milliseconds(Math.max(...stalls.map(({ anyMs }) => anyMs))),
      milliseconds(Math.max(...stalls.map(({ oneMs }) => oneMs))),
      milliseconds(Math.max(...own.map(({ recoveryMs }) => recoveryMs ?? Number.POSITIVE_INFINITY))),
    ]
  })
  const seconds = Math.round((lines.at(-1)?.time ?? 0) / 1000)
  return [
    table(['operation', 'calls', 'ok', 'fail', 'info'], operations),
    table(['fault', 'times', 'longest without a write', 'to one partition', 'longest recovery'], rows),
    `${ends.length} operations and ${faults.length} faults in ${seconds} s; all agreed again ${
      settledMs === null ? 'NEVER' : `${milliseconds(settledMs)} after the peace`
    }`,
  ].join('\n\n')
}

/**
 * The longest time without an accepted write from the beginning of a fault until writes had come back after it: of any
 * partition, and of the one that waited longest (which includes that nobody may have wanted anything of it).
 */
export function longestStalls(
  lines: readonly HistoryLine[],
  fault: FaultReport,
): { readonly anyMs: number; readonly oneMs: number } {
  const until = fault.endedAt + (fault.recoveryMs ?? 0)
  const written: { readonly time: number; readonly partition: number }[] = []
  for (const line of lines) {
    if (isNemesis(line) || line.type !== 'ok' || line.commandId === null) continue
    if (line.time >= fault.beganAt) written.push({ time: line.time, partition: line.value.partition ?? 0 })
  }
  const stallOf = (times: readonly number[]): number => {
    let last = fault.beganAt
    let longest = 0
    for (const time of times) {
      longest = Math.max(longest, Math.min(time, until) - last)
      last = time
      if (last >= until) return longest
    }
    return Math.max(longest, until - last)
  }
  const each = [...Map.groupBy(written, write => write.partition).values()]
  return {
    anyMs: stallOf(written.map(({ time }) => time)),
    oneMs: Math.max(0, ...each.map(own => stallOf(own.map(({ time }) => time)))),
  }
}

/** What is wrong, each with the lines of the history that it is about. */
export function storyOf(violations: readonly Violation[], lines: readonly HistoryLine[]): string {
  return violations
    .slice(0, violationsShownMax)
    .map(violation => {
      const about = linesAbout(violation, lines).slice(0, storyLinesMax)
      return [`${violation.guarantee}: ${violation.text}`, ...about.map(line => `    ${tell(line)}`)].join(
        '\n',
      )
    })
    .concat(
      violations.length > violationsShownMax ? [`… and ${violations.length - violationsShownMax} more`] : [],
    )
    .join('\n')
}

/** Everything about the command, and the faults and calls to its aggregate around it. */
function linesAbout({ aggregate, commandId }: Violation, lines: readonly HistoryLine[]): HistoryLine[] {
  if (commandId === undefined && aggregate === undefined) return []
  const own = lines.filter(line => line.commandId === commandId && commandId !== undefined)
  if (own.length === 0) return lines.filter(line => line.aggregate === aggregate).slice(-storyLinesMax)
  const from = (own[0]?.time ?? 0) - 1000
  const to = (own.at(-1)?.time ?? 0) + 1000
  return lines.filter(
    line => line.time >= from && line.time <= to && (isNemesis(line) || line.aggregate === aggregate),
  )
}

function tell(line: HistoryLine): string {
  const what = [line.op, line.aggregate, line.commandId].filter(part => part !== null).join(' ')
  const node = isNemesis(line) ? '' : ` at ${line.node}`
  return `${line.time.toFixed(0).padStart(8)} ms  ${line.process} ${line.type} ${what}${node} ${JSON.stringify(line.value)}`
}

const milliseconds = (value: number): string => (Number.isFinite(value) ? `${Math.round(value)} ms` : 'never')

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map(row => row[column]?.length ?? 0)))
  return all
    .map(row =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
