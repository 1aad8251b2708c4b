// `query`: a question to a read model.
import { Command } from 'commander'
import { type CommandContext, write, writeJson, writeLine } from '../io.ts'
import { parseDuration, parsePairs } from '../parse-arguments.ts'
import { showText } from '../show-value.ts'
import { suggesting } from '../suggest.ts'
import { formatTable } from '../table.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node query balance get id=acc-1
  $ glyn-node query balance top limit:=10 --json
  $ glyn-node query balance get id=acc-1 --after 3:17     wait for what a command did; 3:17 is the token it printed`

interface QueryFlags extends TargetFlags {
  readonly after?: string
  readonly timeout: string
  readonly json?: boolean
}

export function createQueryCommand({ io }: CommandContext): Command {
  const command = new Command('query')
    .description('Asks a query (a read model) of the node a question.')
    .argument('<name>', 'the name of the query')
    .argument('<question>', 'one of its questions')
    .argument('[parameters...]', 'key=text, or key:=json')
    .option('--after <token>', 'wait until the query has seen this position')
    .option('--timeout <duration>', 'how long to wait', '10s')
    .option('--json', 'the answer as JSON')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(
    async (name: string, question: string, pairs: string[], flags: QueryFlags) => {
      const timeoutMs = parseDuration('--timeout', flags.timeout)
      const parameters = parsePairs(pairs)
      await withControlClient(io, flags, async client => {
        const options = { timeoutMs, ...(flags.after === undefined ? {} : { after: flags.after }) }
        const answer = await suggesting(
          { UNKNOWN_QUERY: name, UNKNOWN_QUESTION: question },
          client.query(name, question, parameters, options),
        )
        if (flags.json === true) await writeJson(io.stdout, answer)
        else if (isTable(answer)) await write(io.stdout, formatAnswers(answer))
        else await writeLine(io.stdout, JSON.stringify(answer, null, 2))
      })

      function formatAnswers(rows: readonly Record<string, unknown>[]): string {
        const columns = [...new Set(rows.flatMap(row => Object.keys(row)))]
        return formatTable(
          io,
          columns,
          rows.map(row => columns.map(column => showCell(row[column]))),
        )
      }
    },
  )
}

const isTable = (answer: unknown): answer is Record<string, unknown>[] =>
  Array.isArray(answer) &&
  answer.length > 0 &&
  answer.every(row => typeof row === 'object' && row !== null && !Array.isArray(row))

const showCell = (value: unknown): string =>
  value === undefined || value === null
    ? ''
    : typeof value === 'string'
      ? showText(value)
      : JSON.stringify(value)
