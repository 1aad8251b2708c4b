// `publish`: a message to the queries of all nodes that is no event.
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import { type CommandContext, createPaint, writeJson, writeLine } from '../io.ts'
import { readData } from '../parse-arguments.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node publish Refresh
  $ glyn-node publish RateChanged currency=EUR rate:=1.08
  $ glyn-node publish Viewed by=ann --aggregate bank_account/acc-1
  $ echo '{"rate":1.08}' | glyn-node publish RateChanged --data -

Every query with an onMessage is told, on every node that can be reached, this one among them. The message is not stored,
has no order and comes at most once: what must not be lost is an event of an aggregate.`

interface PublishFlags extends TargetFlags {
  readonly data?: string
  readonly aggregate?: string
  readonly json?: boolean
}

export function createPublishCommand({ io }: CommandContext): Command {
  const command = new Command('publish')
    .description('Tells the queries of all nodes something that is not stored.')
    .argument('<type>', 'the type of the message, such as RateChanged')
    .argument('[pairs...]', 'the data of the message: key=text, or key:=json')
    .option('--data <json>', 'the data as JSON, @file, or - for stdin')
    .option('--aggregate <type/id>', 'the aggregate that it is about')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(async (type: string, pairs: string[], flags: PublishFlags) => {
    const data = await readData(io, { data: flags.data, pairs })
    const aggregate = flags.aggregate === undefined ? {} : { aggregate: parseAggregate(flags.aggregate) }
    await withControlClient(io, flags, async client => {
      const published = await client.publish({ type, data, ...aggregate })
      if (flags.json === true) return await writeJson(io.stdout, published)
      const paint = createPaint(io, io.stdout)
      const { peers, id } = published
      const whom =
        peers === 0 ? 'this node alone' : `this node and ${peers} ${peers === 1 ? 'other' : 'others'}`
      await writeLine(io.stdout, `${paint('green', 'published')} ${type} to ${whom}  ${paint('dim', id)}`)
    })
  })
}

function parseAggregate(text: string): { readonly type: string; readonly id: string } {
  const place = text.indexOf('/')
  if (place > 0 && place < text.length - 1) return { type: text.slice(0, place), id: text.slice(place + 1) }
  throw new GlynError('INVALID_ARGUMENT', `--aggregate is ${JSON.stringify(text)}; allowed: <type>/<id>`)
}
