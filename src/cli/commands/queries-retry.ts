// `queries retry`: parked events are handled again.
import { Command } from 'commander'
import type { CommandContext } from '../io.ts'
import { type ChosenFlags, chooseParked, reportParked } from '../parked-choice.ts'
import { parseDuration } from '../parse-arguments.ts'
import { suggesting } from '../suggest.ts'
import { withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node queries retry balance acc-1      what is parked of this aggregate, in order
  $ glyn-node queries retry balance 3:17       this entry, and what is held behind it
  $ glyn-node queries retry balance --all

Each entry leaves the table in the transaction of what its handling wrote. Exit code 1 when the handler failed again.`

export function createQueriesRetryCommand(context: CommandContext): Command {
  const { io } = context
  return new Command('retry')
    .description('Has parked events handled again, in order; those held back behind them follow.')
    .argument('<query>', 'the name of the query')
    .argument('[what]', 'an entry (3:17) or an aggregate (acc-1, or bank_account/acc-1)')
    .option('--all', 'everything that is parked')
    .option('--timeout <duration>', 'how long to wait; it goes on after that', '60s')
    .addHelpText('after', examples)
    .action(async (query: string, what: string | undefined, _: object, command: Command) => {
      const flags = command.optsWithGlobals<ChosenFlags>()
      const selection = chooseParked('retry', what, flags)
      const timeoutMs = parseDuration('--timeout', flags.timeout)
      await withControlClient(io, flags, async client => {
        const outcome = await suggesting(
          { UNKNOWN_QUERY: query },
          client.queries.retryParked(query, selection, { timeoutMs }),
        )
        await reportParked(context, outcome, flags)
      })
    })
}
