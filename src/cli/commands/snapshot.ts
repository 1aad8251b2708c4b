// `snapshot`: what was written down of an aggregate, so that loading it does not begin with its first event.
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import { type CommandContext, createPaint, writeJson, writeLine } from '../io.ts'
import { parseDuration } from '../parse-arguments.ts'
import { suggesting } from '../suggest.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'
import { createSnapshotRebuildCommand } from './snapshot-rebuild.ts'

const examples = `
Examples:
  $ glyn-node snapshot bank_account acc-1              the snapshot that its leader has
  $ glyn-node snapshot bank_account acc-1 --json
  $ glyn-node snapshot rebuild bank_account            all of them, again, from the first event
  $ glyn-node snapshot rebuild bank_account acc-1

A snapshot is a cache: the events are the truth. Exits 5 for an aggregate without a snapshot.`

interface SnapshotFlags extends TargetFlags {
  readonly timeout: string
  readonly json?: boolean
}

export function createSnapshotCommand(context: CommandContext): Command {
  const { io } = context
  const command = new Command('snapshot')
    .description('Shows the snapshot of an aggregate; makes snapshots again.')
    .argument('<type>', 'the type of the aggregate, such as bank_account')
    .argument('<id>', 'its id')
    .option('--timeout <duration>', 'how long to try', '10s')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
  addTargetOptions(command).action(async (type: string, id: string, flags: SnapshotFlags) => {
    const timeoutMs = parseDuration('--timeout', flags.timeout)
    await withControlClient(io, flags, async client => {
      const snapshot = await suggesting(
        { UNKNOWN_AGGREGATE_TYPE: type },
        client.latestSnapshot(type, id, { timeoutMs }),
      )
      if (snapshot === null)
        throw new GlynError('ENTITY_NOT_FOUND', `${type} ${JSON.stringify(id)} has no snapshot`)
      if (flags.json === true) return await writeJson(io.stdout, snapshot)
      const paint = createPaint(io, io.stdout)
      const { sequence, position, time, bytes, isCurrent, definition } = snapshot
      const place = `sequence ${sequence}, partition ${position.partition}, index ${position.index}, ${time}, ${bytes} bytes`
      await writeLine(io.stdout, `${paint('bold', `${type}/${id}`)}  ${paint('dim', place)}`)
      if (!isCurrent)
        await writeLine(
          io.stdout,
          paint('yellow', `ignored: made by other code (${definition}) than what is loaded`),
        )
      await writeLine(io.stdout, JSON.stringify(snapshot.state, null, 2))
    })
  })
  return command.addCommand(createSnapshotRebuildCommand(context))
}
