// `snapshot rebuild`: snapshots are made again from the first event, and compared with what they were.
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import type { SnapshotRebuildProgress, SnapshotRebuildSummary } from '../../node/inspection.ts'
import { type CommandContext, createPaint, type Io, writeJson, writeLine } from '../io.ts'
import { suggesting } from '../suggest.ts'
import { type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node snapshot rebuild bank_account            every aggregate that has a snapshot, or is due for one
  $ glyn-node snapshot rebuild bank_account acc-1

Each is replayed from its first event on the node that leads it, at half of its pace at most; commands go on. A state that
is not what the events say is reported: \`apply\` was not pure, or what it imports was changed and its own file was not.
Ctrl-C ends it after the aggregate at work. Exits 1 when a snapshot could not be made or differed.`

type RebuildFlags = TargetFlags & { readonly json?: boolean }

export function createSnapshotRebuildCommand({ io, setExitCode }: CommandContext): Command {
  return new Command('rebuild')
    .description('Makes snapshots again from the first event, and compares them with what they were.')
    .argument('<type>', 'the type of the aggregates, such as bank_account')
    .argument('[id]', 'one of them; all when left out')
    .addHelpText('after', examples)
    .action(async (type: string, id: string | undefined, _: object, command: Command) => {
      const flags = command.optsWithGlobals<RebuildFlags>()
      const stop = new AbortController()
      const forget = io.onStopSignal(signal =>
        stop.abort(new GlynError('UNAVAILABLE', `stopped by ${signal}; what was made again stays`)),
      )
      const report = createReport(io, flags.json === true)
      try {
        await withControlClient(io, flags, async client => {
          const summary = await suggesting(
            { UNKNOWN_AGGREGATE_TYPE: type },
            client.rebuildSnapshots(type, {
              ...(id === undefined ? {} : { id }),
              signal: stop.signal,
              onProgress: report.show,
            }),
          )
          report.close()
          if (flags.json === true) await writeJson(io.stdout, { event: 'rebuilt', ...summary })
          else await tell(io, type, summary)
          if (summary.failed + summary.busy + summary.differencesTotal > 0) setExitCode(1)
        })
      } finally {
        report.close()
        forget()
      }
    })
}

async function tell(io: Io, type: string, summary: SnapshotRebuildSummary): Promise<void> {
  const paint = createPaint(io, io.stdout)
  const { rebuilt, failed, busy, failures, differences, differencesTotal } = summary
  const nameOf = ({ id }: { readonly id: string }): string => `${type}/${id}`
  for (const { aggregate, error } of failures)
    await writeLine(io.stdout, `${paint('red', 'failed')}   ${nameOf(aggregate)}: ${error}`)
  for (const { aggregate, where, sequence, found, replayed } of differences) {
    const what = where === 'snapshot' ? 'its snapshot' : 'its state in memory'
    await writeLine(
      io.stdout,
      `${paint('yellow', 'differs')}  ${nameOf(aggregate)}, sequence ${sequence}: ${what} was ${found}, its events say ${replayed}`,
    )
  }
  const left = [failed > 0 ? `${failed} failed` : '', busy > 0 ? `${busy} were at work all the time` : '']
  const parts = [
    `${rebuilt} snapshot${rebuilt === 1 ? '' : 's'} made again`,
    ...left.filter(text => text !== ''),
    differencesTotal === 0 ? 'all as the events say' : `${differencesTotal} differed, and are corrected`,
  ]
  await writeLine(io.stdout, parts.join(', '))
}

interface Report {
  show(progress: SnapshotRebuildProgress): void
  close(): void
}

function createReport(io: Io, isJson: boolean): Report {
  if (isJson) {
    let last = ''
    return {
      show(progress) {
        const line = JSON.stringify({ event: 'rebuilding', ...progress })
        if (line !== last) io.stdout.write(`${line}\n`)
        last = line
      },
      close() {},
    }
  }
  if (io.stderr.isTTY !== true) return { show() {}, close() {} }
  const paint = createPaint(io, io.stderr)
  const bar = new SingleBar({
    stream: io.stderr as NodeJS.WritableStream,
    format: `${paint('cyan', '{bar}')}  {value} of {total}  {current}`,
    hideCursor: true,
    clearOnComplete: true,
  })
  let isStarted = false
  return {
    show({ done, total, current }) {
      const text = current === null ? '' : `${current.aggregate.id}, event ${current.sequence}`
      if (!isStarted) bar.start(total, done, { current: text })
      isStarted = true
      bar.setTotal(total)
      bar.update(done, { current: text })
    },
    close() {
      if (isStarted) bar.stop()
      isStarted = false
    },
  }
}
