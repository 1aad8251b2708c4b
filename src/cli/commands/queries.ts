// `queries`: how read models are, and what can be done with them beside asking them.
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import type { CommandContext } from '../io.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'
import { createQueriesDropCommand } from './queries-drop.ts'
import { listQueries, watchQueries } from './queries-list.ts'
import { createQueriesParkedCommand } from './queries-parked.ts'
import { createQueriesPauseCommand } from './queries-pause.ts'
import { createQueriesRebuildCommand } from './queries-rebuild.ts'
import { createQueriesRetryCommand } from './queries-retry.ts'

const examples = `
Examples:
  $ glyn-node queries                       all of them: state, how far behind, how fast, what is wrong
  $ glyn-node queries --watch               again every second
  $ glyn-node queries rebuild balance       from the first event, beside the old one
  $ glyn-node queries pause balance
  $ glyn-node queries parked

behind: entries (of one command each) that it has not seen. seconds: the age of the oldest of them.`

type QueriesFlags = TargetFlags & { readonly json?: boolean; readonly watch?: boolean }

export function createQueriesCommand(context: CommandContext): Command {
  const { io } = context
  const queries = new Command('queries')
    .description('Shows how the queries (read models) of the node are, and changes what they do.')
    .option('--watch', 'show it again every second')
    .option('--json', 'JSON for programs')
    .allowExcessArguments()
    .addHelpText('after', examples)
  addTargetOptions(queries).action(async (flags: QueriesFlags) => {
    const [other] = queries.args
    if (other !== undefined) {
      const names = queries.commands.map(command => command.name()).join(', ')
      const text = `queries has no command ${JSON.stringify(other)}; allowed: ${names}, or nothing to list them`
      throw new GlynError('INVALID_ARGUMENT', text)
    }
    const show = flags.watch === true ? watchQueries : listQueries
    await withControlClient(io, flags, client => show(io, client, flags.json === true))
  })
  return queries
    .addCommand(createQueriesRebuildCommand(context))
    .addCommand(createQueriesPauseCommand(context, 'pause'))
    .addCommand(createQueriesPauseCommand(context, 'resume'))
    .addCommand(createQueriesParkedCommand(context))
    .addCommand(createQueriesRetryCommand(context))
    .addCommand(createQueriesDropCommand(context))
}
