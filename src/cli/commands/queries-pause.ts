// `queries pause` and `queries resume`: a query sees no more events for a while, and answers.
import { Command } from 'commander'
import { type CommandContext, writeJson, writeLine } from '../io.ts'
import { suggesting } from '../suggest.ts'
import { type TargetFlags, withControlClient } from '../target.ts'

export function createQueriesPauseCommand({ io }: CommandContext, action: 'pause' | 'resume'): Command {
  return new Command(action)
    .description(
      action === 'pause'
        ? 'Lets a query see no more events, also after a restart, until it is resumed. It keeps answering.'
        : 'Lets a paused query go on.',
    )
    .argument('<query>', 'the name of the query')
    .action(async (name: string, _: object, command: Command) => {
      const flags = command.optsWithGlobals<TargetFlags & { readonly json?: boolean }>()
      await withControlClient(io, flags, async client => {
        const query = await suggesting({ UNKNOWN_QUERY: name }, client.queries[action](name))
        if (flags.json === true) await writeJson(io.stdout, query)
        else if (action === 'resume')
          await writeLine(io.stdout, `${name} goes on, ${query.lag} entries behind`)
        else
          await writeLine(
            io.stdout,
            `${name} is paused and keeps answering; glyn-node queries resume ${name}`,
          )
      })
    })
}
