// `send-command`: one command and its outcome; with --batch, a file of them.
import { Command } from 'commander'
import { v7 as uuidv7 } from 'uuid'
import { GlynError } from '../../core/errors.ts'
import type { Outcome } from '../../core/outcome.ts'
import { retrying } from '../../http/retrying.ts'
import { type CommandContext, createPaint, type Io, writeJson, writeLine } from '../io.ts'
import { parseDuration, parseMetadata, readData } from '../parse-arguments.ts'
import type { SendFlags } from '../send-batch.ts'
import { suggesting } from '../suggest.ts'
import { addPeerOptions, addTargetOptions, withAggregateClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node send-command bank_account acc-1 OpenAccount
  $ glyn-node send-command bank_account acc-1 DepositMoney amount:=100
  $ glyn-node send-command bank_account acc-1 DepositMoney --data '{"amount":100}' --metadata user=ann
  $ echo '{"amount":100}' | glyn-node send-command bank_account acc-1 DepositMoney --data -
  $ glyn-node send-command bank_account acc-1 WithDrawMoney amount:=5 --id 0192f0c1-…    again after a failure: done once
  $ glyn-node send-command bank_account acc-1 DepositMoney amount:=1 --peer /ip4/10.0.0.1/tcp/4001/p2p/12D3Koo…
  $ glyn-node send-command --batch deposits.ndjson --data-dir a --data-dir b

key=text gives a text, key:=json a number, a boolean, a list, an object.
A line of a batch: {"type":"bank_account","id":"acc-1","command":"DepositMoney","data":{"amount":1}}, and, if you like,
"commandId" and "metadata". Commands of one aggregate are sent in the order of their lines. Several --data-dir or --url
share the work, and stand in for each other when one does not answer.
Exits 0 when accepted, 3 when rejected by the domain, 4 when it is unavailable: send it again with the same id.`

const defaultTimeoutMs = 10_000
const rejectedExitCode = 3

export function createSendCommandCommand(context: CommandContext): Command {
  const collect = (value: string, before: readonly string[] = []): string[] => [...before, value]
  const command = new Command('send-command')
    .description('Sends a command to an aggregate and shows the outcome; with --batch, many commands.')
    .argument('[type]', 'the type of the aggregate, such as bank_account')
    .argument('[id]', 'its id')
    .argument('[command]', 'the name of the command, such as DepositMoney')
    .argument('[pairs...]', 'the data of the command: key=text, or key:=json')
    .option('--data <json>', 'the data as JSON, @file, or - for stdin')
    .option(
      '--id <command-id>',
      'the id of the command; the same id again gets the first outcome (default: a new one)',
    )
    .option('--metadata <key=text>', 'travels with the command into its events; several times', collect)
    .option('--timeout <duration>', 'how long to try (default: 10s, in a batch 60s for each command)')
    .option('--batch <file>', 'commands from a file of JSON lines, or - for stdin')
    .option('--concurrency <count>', 'in a batch: commands under way at once (default: 256)')
    .option('--json', 'the outcome as one JSON object; in a batch one on each line, and a summary')
    .addHelpText('after', examples)
  return addPeerOptions(addTargetOptions(command)).action(
    async (
      type: string | undefined,
      id: string | undefined,
      name: string | undefined,
      pairs: string[],
      flags: SendFlags,
    ) => {
      if (flags.batch !== undefined) {
        if (type !== undefined || flags.data !== undefined || flags.id !== undefined) {
          throw new GlynError(
            'INVALID_ARGUMENT',
            '--batch stands for all commands; it goes with no <type>, --data or --id',
          )
        }
        const { sendBatch } = await import('../send-batch.ts')
        return context.setExitCode(await sendBatch(context.io, flags.batch, flags))
      }
      const missing = Object.entries({ type, id, command: name }).find(([, value]) => value === undefined)
      if (type === undefined || id === undefined || name === undefined) {
        throw new GlynError(
          'INVALID_ARGUMENT',
          `<${missing?.[0]}> is missing; allowed: send-command <type> <id> <command> [key=value …], or --batch <file>`,
        )
      }
      const outcome = await sendOne(context.io, { type, id, name, pairs, flags })
      if (flags.json === true) await writeJson(context.io.stdout, outcome)
      else await printOutcome(context.io, outcome)
      if (outcome.type === 'rejected') context.setExitCode(rejectedExitCode)
    },
  )
}

async function sendOne(
  io: Io,
  given: {
    readonly type: string
    readonly id: string
    readonly name: string
    readonly pairs: readonly string[]
    readonly flags: SendFlags
  },
): Promise<Outcome> {
  const { type, id, name, pairs, flags } = given
  const data = await readData(io, { data: flags.data, pairs })
  const metadata = parseMetadata(flags.metadata ?? [])
  const timeoutMs = flags.timeout === undefined ? defaultTimeoutMs : parseDuration('--timeout', flags.timeout)
  const commandId = flags.id ?? uuidv7()
  let outcome: Outcome | null = null
  let hasTold = false
  await withAggregateClient(io, flags, async client => {
    const sent = retrying(
      leftMs => client.execute(type, id, { type: name, data }, { commandId, metadata, timeoutMs: leftMs }),
      {
        timeoutMs,
        onRetry(error) {
          if (hasTold || flags.json === true || io.stderr.isTTY !== true) return
          hasTold = true
          io.stderr.write(`trying for ${timeoutMs / 1000} s: ${error.message}\n`)
        },
      },
    )
    outcome = await suggesting(
      { UNKNOWN_AGGREGATE_TYPE: type, UNKNOWN_COMMAND: name },
      withId(sent, commandId),
    )
  })
  return outcome as unknown as Outcome
}

/** A caller that was not answered needs the id to try again. */
async function withId(sent: Promise<Outcome>, commandId: string): Promise<Outcome> {
  try {
    return await sent
  } catch (error) {
    if (!(error instanceof GlynError) || !error.retryable) throw error
    const details = { ...(error.details as object | undefined), commandId }
    throw new GlynError(error.code, `${error.message} (command id ${commandId})`, { cause: error, details })
  }
}

async function printOutcome(io: Io, outcome: Outcome): Promise<void> {
  const paint = createPaint(io, io.stdout)
  if (outcome.type === 'rejected') {
    const details = outcome.details === undefined ? '' : ` ${JSON.stringify(outcome.details)}`
    await writeLine(io.stdout, `${paint('red', 'rejected')} ${outcome.code}: ${outcome.message}${details}`)
    return
  }
  const { aggregate, sequence, replicas, replayed, token, events, commandId } = outcome
  const again = replayed ? ', decided before' : ''
  const head = `${paint('green', 'accepted')} ${aggregate.type}/${aggregate.id} is at sequence ${sequence}`
  await writeLine(io.stdout, `${head}, on ${replicas} ${replicas === 1 ? 'replica' : 'replicas'}${again}`)
  for (const event of events) {
    await writeLine(
      io.stdout,
      `  ${event.sequence} ${paint('bold', event.type)} ${JSON.stringify(event.data)}`,
    )
  }
  await writeLine(io.stdout, paint('dim', `  command ${commandId}, token ${token}`))
}
