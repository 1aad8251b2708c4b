// `queries parked`: what queries failed at and put aside.
import { Command } from 'commander'
import { hasCode } from '../../core/errors.ts'
import type { ParkedList, ParkedSummary } from '../../node/parked-api.ts'
import { type CommandContext, createPaint, type Io, write, writeJson, writeLine } from '../io.ts'
import { parseCount } from '../parse-arguments.ts'
import { showText } from '../show-value.ts'
import { suggesting } from '../suggest.ts'
import { formatTable } from '../table.ts'
import { type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node queries parked                       of every query
  $ glyn-node queries parked balance --verbose     with the stack of each error

An entry is what one command stored. One that failed is shown with its error; one that is held waits behind a failed one of
the same aggregate. \`queries retry\` has them handled again, \`queries drop\` discards them.`

const listedMax = 10_000

interface ParkedFlags extends TargetFlags {
  readonly limit: string
  readonly verbose?: boolean
  readonly json?: boolean
}

/** Below `queries`, which has `--json` and says which node it is about. */
export function createQueriesParkedCommand({ io, setExitCode }: CommandContext): Command {
  return new Command('parked')
    .description('Lists the events that queries failed at and put aside, and those held back behind them.')
    .argument('[query]', 'the name of a query; every query when left out')
    .option('--limit <entries>', 'entries per query at most', '100')
    .option('--verbose', 'with the stacks of errors')
    .addHelpText('after', examples)
    .action(async (query: string | undefined, _: object, command: Command) => {
      const flags = command.optsWithGlobals<ParkedFlags>()
      const limit = parseCount('--limit', flags.limit, listedMax)
      await withControlClient(io, flags, async client => {
        const names =
          query === undefined
            ? (await client.status()).queries
                .filter(({ parked, held }) => parked + held > 0)
                .map(({ name }) => name)
            : [query]
        const lists: (ParkedList & { readonly query: string })[] = []
        for (const name of names) {
          try {
            const list = await suggesting({ UNKNOWN_QUERY: name }, client.queries.parked(name, { limit }))
            lists.push({ query: name, ...list })
          } catch (error) {
            // One that does not load does not hide the others.
            if (query !== undefined || !hasCode(error, 'QUERY_FAILED')) throw error
            setExitCode(1)
            await writeLine(io.stderr, error.message)
          }
        }
        if (flags.json === true) return await writeJson(io.stdout, lists)
        const found = lists.filter(({ entries }) => entries.length > 0)
        if (found.length === 0) return await writeLine(io.stdout, 'nothing is parked')
        for (const list of found) await writeList(io, list, flags.verbose === true)
      })
    })
}

async function writeList(
  io: Io,
  { query, counts, entries }: ParkedList & { readonly query: string },
  isVerbose: boolean,
): Promise<void> {
  const paint = createPaint(io, io.stdout)
  const more = counts.failed + counts.held - entries.length
  const shown = more > 0 ? `; ${more} more, --limit shows them` : ''
  await writeLine(io.stdout, paint('bold', `${query}: ${counts.failed} failed, ${counts.held} held${shown}`))
  const rows = entries.map(entry => [
    entry.entry,
    `${entry.aggregate.type}/${entry.aggregate.id}`,
    entry.events.map(({ type }) => type).join(', '),
    entry.state === 'failed' ? paint('red', 'failed') : 'held',
    entry.state === 'failed' ? String(entry.attempts) : '',
    entry.time,
    showText(entry.message ?? ''),
  ])
  await write(
    io.stdout,
    formatTable(io, ['entry', 'aggregate', 'events', 'state', 'attempts', 'since', 'error'], rows),
  )
  if (isVerbose) for (const entry of entries) await writeStack(io, entry)
}

async function writeStack(io: Io, { entry, stack }: ParkedSummary): Promise<void> {
  if (stack === null) return
  await writeLine(io.stdout, `\n${entry}`)
  for (const line of stack.split('\n')) await writeLine(io.stdout, `  ${showText(line)}`)
}
