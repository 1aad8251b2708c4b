// `state`: what an aggregate is now.
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import { type CommandContext, createPaint, writeJson, writeLine } from '../io.ts'
import { parseDuration } from '../parse-arguments.ts'
import { suggesting } from '../suggest.ts'
import { addPeerOptions, addTargetOptions, type TargetFlags, withAggregateClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node state bank_account acc-1
  $ glyn-node state bank_account acc-1 --json | jq .state.balance
  $ glyn-node state bank_account acc-1 --peer /ip4/10.0.0.1/tcp/4001/p2p/12D3Koo…

Shows what every command acknowledged before has done. Exits 5 for an aggregate without events.`

interface StateFlags extends TargetFlags {
  readonly timeout: string
  readonly json?: boolean
}

export function createStateCommand({ io }: CommandContext): Command {
  const command = new Command('state')
    .description('Shows the state of an aggregate.')
    .argument('<type>', 'the type of the aggregate, such as bank_account')
    .argument('<id>', 'its id')
    .option('--timeout <duration>', 'how long to try', '10s')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
  return addPeerOptions(addTargetOptions(command)).action(
    async (type: string, id: string, flags: StateFlags) => {
      const timeoutMs = parseDuration('--timeout', flags.timeout)
      await withAggregateClient(io, flags, async client => {
        const loaded = await suggesting(
          { UNKNOWN_AGGREGATE_TYPE: type },
          client.loadAggregate(type, id, { timeoutMs }),
        )
        if (loaded.sequence === 0) {
          throw new GlynError('ENTITY_NOT_FOUND', `${type} ${JSON.stringify(id)} has no events`)
        }
        if (flags.json === true) return await writeJson(io.stdout, loaded)
        const paint = createPaint(io, io.stdout)
        const { partition, index } = loaded.position
        const place = paint('dim', `sequence ${loaded.sequence}, partition ${partition}, index ${index}`)
        await writeLine(io.stdout, `${paint('bold', `${type}/${id}`)}  ${place}`)
        await writeLine(io.stdout, JSON.stringify(loaded.state, null, 2))
      })
    },
  )
}
