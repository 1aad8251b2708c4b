// `sql`: one SELECT on a read model.
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import { type SqlAnswer, type SqlValue, sqlLimits } from '../../node/sql-api.ts'
import { type CommandContext, type Io, write, writeJson, writeLine } from '../io.ts'
import { parseCount, parseDuration, parsePairs } from '../parse-arguments.ts'
import { showText } from '../show-value.ts'
import { suggesting } from '../suggest.ts'
import { formatTable } from '../table.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node sql balance 'select * from balance order by amount desc limit 3'
  $ glyn-node sql balance 'select amount from balance where id = :id' id=acc-1 --json
  $ glyn-node sql balance 'select name, sql from sqlite_schema'          its tables
  $ glyn-node sql balance 'select * from glyn_checkpoint' --csv          how far it is, by partition

It runs in a process of its own, which can only read. :name in the statement takes the value of name=text or name:=json.
--json gives an integer beyond 2^53 as text, and a blob as {"base64":"…"}.`

interface SqlFlags extends TargetFlags {
  readonly limit: string
  readonly timeout: string
  readonly after?: string
  readonly json?: boolean
  readonly csv?: boolean
}

export function createSqlCommand({ io }: CommandContext): Command {
  const command = new Command('sql')
    .description("Reads a query's read model with SQL: one select, nothing is ever written.")
    .argument('<query>', 'the name of the query')
    .argument('<statement>', 'one select')
    .argument('[parameters...]', 'for :name in the statement: name=text, or name:=json')
    .option('--limit <rows>', 'rows at most', String(sqlLimits.rowsDefault))
    .option('--timeout <duration>', 'the statement is ended after it', '10s')
    .option('--after <token>', 'wait until the query has seen this position')
    .option('--json', 'one object: columns, rows, truncated')
    .option('--csv', 'comma-separated, with the names of the columns first')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(
    async (name: string, statement: string, pairs: string[], flags: SqlFlags) => {
      if (flags.json === true && flags.csv === true) {
        throw new GlynError('INVALID_ARGUMENT', '--json and --csv are both given; allowed: one of them')
      }
      const limit = parseCount('--limit', flags.limit, sqlLimits.rowsMax)
      const timeoutMs = parseDuration('--timeout', flags.timeout)
      const parameters = parsePairs(pairs)
      await withControlClient(io, flags, async client => {
        const options = { limit, timeoutMs, ...(flags.after === undefined ? {} : { after: flags.after }) }
        const answer = await suggesting(
          { UNKNOWN_QUERY: name },
          client.queries.sql(name, statement, parameters, options),
        )
        if (flags.json === true) return await writeJson(io.stdout, answer)
        await write(io.stdout, flags.csv === true ? toCsv(answer) : toTable(io, answer))
        if (answer.truncated) await writeLine(io.stderr, explainTruncated(answer, limit))
      })
    },
  )
}

function explainTruncated({ rows }: SqlAnswer, limit: number): string {
  const why =
    rows.length < limit ? `an answer holds ${sqlLimits.bytesMax / 1024 / 1024} MiB` : '--limit asks for more'
  return `there are more rows than these ${rows.length}; ${why}`
}

function toTable(io: Io, { columns, rows }: SqlAnswer): string {
  const cells = rows.map(row => columns.map(column => showCell(row[column] ?? null)))
  return formatTable(io, columns.map(showText), cells)
}

const blobBytesShownMax = 16

function showCell(value: SqlValue): string {
  if (value === null) return 'NULL'
  if (typeof value !== 'object') return showText(String(value))
  const blob = Buffer.from(value.base64, 'base64')
  const hex = blob.subarray(0, blobBytesShownMax).toString('hex')
  return blob.length > blobBytesShownMax ? `x'${hex}…' (${blob.length} bytes)` : `x'${hex}'`
}

/** RFC 4180, but with single newlines. NULL is an empty field, an empty text is `""`. */
function toCsv({ columns, rows }: SqlAnswer): string {
  const lines = [columns.map(quoted), ...rows.map(row => columns.map(column => field(row[column] ?? null)))]
  return lines.map(fields => `${fields.join(',')}\n`).join('')
}

function field(value: SqlValue): string {
  if (value === null) return ''
  if (typeof value === 'object') return `x'${Buffer.from(value.base64, 'base64').toString('hex')}'`
  return typeof value === 'number' ? String(value) : quoted(value)
}

const quoted = (text: string): string => (/^$|[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
