// Tables for people: no lines, two spaces between columns.
import Table from 'cli-table3'
import { createPaint, type Io } from './io.ts'

/** Ends with a newline. */
export function formatTable(io: Io, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const paint = createPaint(io, io.stdout)
  const nothing = [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
  ]
  const table = new Table({
    head: head.map(title => paint('bold', title)),
    chars: { ...Object.fromEntries(nothing.map(place => [place, ''])), middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  })
  table.push(...rows.map(row => [...row]))
  return `${table
    .toString()
    .split('\n')
    .map(line => line.trimEnd())
    .join('\n')}\n`
}
