// `queries drop`: parked events are discarded, deliberately.
import { createInterface } from 'node:readline/promises'
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import type { CommandContext, Io } from '../io.ts'
import { type ChosenFlags, chooseParked, reportParked } from '../parked-choice.ts'
import { parseDuration } from '../parse-arguments.ts'
import { suggesting } from '../suggest.ts'
import { withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node queries drop balance 3:17        this entry; what is held behind it is handled
  $ glyn-node queries drop balance acc-1       everything that is parked of this aggregate
  $ glyn-node queries drop balance --all --yes

The history keeps the events; the read model never sees them, until it is built again.`

type DropFlags = ChosenFlags & { readonly yes?: boolean }

export function createQueriesDropCommand(context: CommandContext): Command {
  const { io } = context
  return new Command('drop')
    .description('Discards parked events: the read model will never have seen them.')
    .argument('<query>', 'the name of the query')
    .argument('[what]', 'an entry (3:17) or an aggregate (acc-1, or bank_account/acc-1)')
    .option('--all', 'everything that is parked')
    .option('--yes', 'do not ask')
    .option('--timeout <duration>', 'how long to wait; it goes on after that', '60s')
    .addHelpText('after', examples)
    .action(async (query: string, what: string | undefined, _: object, command: Command) => {
      const flags = command.optsWithGlobals<DropFlags>()
      const selection = chooseParked('drop', what, flags)
      const timeoutMs = parseDuration('--timeout', flags.timeout)
      if (flags.yes !== true) await confirm(io, query, what ?? 'everything')
      await withControlClient(io, flags, async client => {
        const outcome = await suggesting(
          { UNKNOWN_QUERY: query },
          client.queries.dropParked(query, selection, { timeoutMs }),
        )
        await reportParked(context, outcome, flags)
      })
    })
}

async function confirm(io: Io, query: string, what: string): Promise<void> {
  const text = `This discards ${what} that is parked in query ${query}, for ever`
  if (io.stdin.isTTY !== true) {
    throw new GlynError('INVALID_ARGUMENT', `${text}; nobody can be asked here, so --yes is needed`)
  }
  const questions = createInterface({ input: io.stdin, output: io.stderr })
  try {
    const answer = await questions.question(`${text}. Go on? [y/N] `)
    if (/^y(es)?$/i.test(answer.trim())) return
  } finally {
    questions.close()
  }
  throw new GlynError('INVALID_ARGUMENT', 'nothing was discarded: the answer was not yes')
}
