// Queries as people read them: one row for the version that answers, one below it for the version that is built.
import { basename } from 'node:path'
import type { QueryStatus } from '../node/queries-api.ts'
import { createPaint, type Io } from './io.ts'
import { showText } from './show-value.ts'
import { formatTable } from './table.ts'

const barWidth = 20
/** Of an error's text where nothing says how wide the terminal is. */
const errorLengthDefault = 160
const errorLengthMin = 40
/** What the other columns take, about. */
const otherColumns = 100

export function formatQueries(io: Io, queries: readonly QueryStatus[]): string {
  if (queries.length === 0) return 'no queries; drop a file into the queries folder of the config directory\n'
  const rows = queries.flatMap(query => [ownRow(io, query), ...buildRow(io, query)])
  const head = ['query', 'version', 'state', 'behind', 'seconds', 'events/s', 'parked', 'last error']
  return formatTable(io, head, rows)
}

/** `████████░░░░  67%`. */
export function formatProgress({ done, total }: { readonly done: number; readonly total: number }): string {
  const share = total === 0 ? 1 : Math.min(1, done / total)
  const full = Math.floor(share * barWidth)
  return `${'█'.repeat(full)}${'░'.repeat(barWidth - full)} ${String(Math.floor(share * 100)).padStart(3)}%`
}

function ownRow(io: Io, query: QueryStatus): string[] {
  const { name, version, state, lag, lagSeconds, ratePerSecond, parked, progress, lastError } = query
  const bar = progress === null ? '' : ` ${formatProgress(progress)}`
  return [
    name,
    String(version),
    `${paintState(io, state)}${bar}`,
    formatCount(lag),
    lag === 0 ? '0' : formatSeconds(lagSeconds),
    formatCount(ratePerSecond),
    parked === 0 ? '0' : createPaint(io, io.stdout)('yellow', formatCount(parked)),
    formatError(io, query, lastError),
  ]
}

function buildRow(io: Io, query: QueryStatus): string[][] {
  const { building } = query
  if (building === null) return []
  const { version, state, progress, ratePerSecond, lastError } = building
  const what = state === 'catching-up' || state === 'running' || state === 'loading' ? 'building' : state
  return [
    [
      '  next',
      String(version),
      `${paintState(io, what)} ${formatProgress(progress)}`,
      formatCount(progress.total - progress.done),
      '',
      formatCount(ratePerSecond),
      '',
      formatError(io, query, lastError),
    ],
  ]
}

function paintState(io: Io, state: string): string {
  const paint = createPaint(io, io.stdout)
  if (state === 'running') return paint('green', state)
  if (state === 'failed' || state === 'stopped') return paint('red', state)
  return paint('yellow', state)
}

function formatError(io: Io, { file }: QueryStatus, error: QueryStatus['lastError']): string {
  if (error === null) return ''
  const { message, time } = error
  const own = (file === null ? message : message.replaceAll(file, basename(file))).replaceAll(/\s+/g, ' ')
  // It is the plugin's text, and may hold what a terminal would obey.
  const text = showText(own)
  const { columns } = io.stdout
  const lengthMax =
    columns === undefined ? errorLengthDefault : Math.max(errorLengthMin, columns - otherColumns)
  return `${text.length > lengthMax ? `${text.slice(0, lengthMax)}…` : text} (${time.slice(11, 19)})`
}

export const formatCount = (count: number): string => count.toLocaleString('en')

function formatSeconds(seconds: number): string {
  if (seconds < 10) return seconds.toFixed(1)
  return formatCount(Math.round(seconds))
}
