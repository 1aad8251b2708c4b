// `leave`: a node goes for ever, and hands over what it holds first.
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import type { LeaveProgress } from '../../node/node-api.ts'
import { type CommandContext, createPaint, type Io, writeJson, writeLine } from '../io.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node leave                        the node of ./data
  $ glyn-node leave --data-dir ./node-2
  $ glyn-node leave --json                 one line per step
  $ glyn-node leave --cancel               it stays after all

Replicas and leaderships move to the other nodes; commands go on meanwhile. Then the node is removed, and its process ends
with exit code 0. Its identity is refused for ever: to come back, start it with an empty data folder.
Ctrl-C ends only this command; the node goes on leaving, also after a crash or a restart.
For a node that is dead there is \`glyn-node members remove\`.`

interface LeaveFlags extends TargetFlags {
  readonly cancel?: boolean
  readonly json?: boolean
}

export function createLeaveCommand({ io }: CommandContext): Command {
  const command = new Command('leave')
    .description('Takes a running node out of the cluster for ever; what it holds moves to others first.')
    .option('--cancel', 'call it off: the node stays, and what moved away comes back')
    .option('--json', 'one JSON object per line')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(async (flags: LeaveFlags) => {
    const stop = new AbortController()
    const forget = io.onStopSignal(signal =>
      stop.abort(
        new GlynError(
          'UNAVAILABLE',
          `stopped by ${signal}; the node goes on leaving: \`glyn-node leave\` shows how far it is, \`glyn-node leave --cancel\` calls it off`,
        ),
      ),
    )
    try {
      await withControlClient(io, flags, async client => {
        if (flags.cancel === true) {
          await client.cancelLeave()
          if (flags.json === true) return await writeJson(io.stdout, { event: 'staying' })
          return await writeLine(io.stdout, 'the node stays; what moved away comes back')
        }
        const report = flags.json === true ? createJsonReport(io) : createTextReport(io)
        try {
          await client.leave({ signal: stop.signal, onProgress: report.onProgress })
        } finally {
          report.close()
        }
        await report.onLeft()
      })
    } finally {
      forget()
    }
  })
}

interface Report {
  readonly onProgress: (progress: LeaveProgress) => void
  onLeft(): Promise<void>
  close(): void
}

/** Only what is news. */
function createJsonReport(io: Io): Report {
  let last = ''
  return {
    onProgress(progress) {
      const line = JSON.stringify({ event: 'leaving', ...progress })
      if (line !== last) io.stdout.write(`${line}\n`)
      last = line
    },
    onLeft: () => writeJson(io.stdout, { event: 'left' }),
    close() {},
  }
}

function createTextReport(io: Io): Report {
  const paint = createPaint(io, io.stderr)
  const bar =
    io.stderr.isTTY === true
      ? new SingleBar({
          format: '{bar} {value} of {total} replicas moved | {leads} still led here | {duration_formatted}',
          stream: io.stderr,
          hideCursor: true,
          clearOnComplete: true,
        })
      : null
  let isStarted = false
  let waitedFor = ''
  let told = -1
  return {
    onProgress({ replicas, leads, total, waitsFor }) {
      const moved = total - replicas
      if (bar === null && moved !== told) io.stderr.write(`${moved} of ${total} replicas moved\n`)
      told = moved
      if (!isStarted) bar?.start(total, moved, { leads })
      isStarted = true
      bar?.setTotal(total)
      bar?.update(moved, { leads })
      const waiting = waitsFor.join('; ')
      if (waiting !== waitedFor && waiting !== '')
        io.stderr.write(`${paint('yellow', 'waiting:')} ${waiting}\n`)
      waitedFor = waiting
    },
    onLeft: () =>
      writeLine(
        io.stdout,
        'the node has left the cluster; its process ends, its identity is refused for ever',
      ),
    close() {
      bar?.stop()
    },
  }
}
