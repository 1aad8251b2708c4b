// `forget`: destroys the keys of a subject on every node, and shows who has confirmed.
import { createInterface } from 'node:readline/promises'
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import type { MemberMemory, SubjectReport } from '../../node/node-api.ts'
import { type CommandContext, createPaint, type Io, write, writeJson, writeLine } from '../io.ts'
import { parseDuration } from '../parse-arguments.ts'
import { formatTable } from '../table.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node forget customer-4711              asks before it does it
  $ glyn-node forget customer-4711 --yes        in scripts
  $ glyn-node forget customer-4711 --status     who has forgotten it; changes nothing

There is no way back: no node and no backup of glyn-node can read the data of its events again, and nothing is stored for
this subject any more. A node that is away forgets when it comes back, before it shows anything.
What it does not reach: read models of your own (they are told, with an event glyn.Forgotten), exports, copies of the keys
that you made yourself, and whatever was sent to other systems. See docs/erasure.md.
Exit code: 0 when every member has confirmed, 4 when some have not yet.`

interface ForgetFlags extends TargetFlags {
  readonly yes?: boolean
  readonly force?: boolean
  readonly status?: boolean
  readonly timeout: string
  readonly json?: boolean
}

export function createForgetCommand({ io, setExitCode }: CommandContext): Command {
  const command = new Command('forget')
    .description(
      'Destroys the keys of a subject on every node: nobody can read the data of its events any more.',
    )
    .argument('<subject>', 'as the `subject` function of the aggregate names it')
    .option('--yes', 'do not ask')
    .option('--status', 'only show who has forgotten it')
    .option('--force', 'also a subject that nothing is encrypted for')
    .option('--timeout <duration>', 'how long to wait for members that do not confirm', '10s')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(async (subject: string, flags: ForgetFlags) => {
    const timeoutMs = parseDuration('--timeout', flags.timeout)
    if (flags.status !== true && flags.yes !== true) await confirm(io, subject)
    await withControlClient(io, flags, async client => {
      const report =
        flags.status === true
          ? await client.forgetStatus(subject, { timeoutMs })
          : await client.forget(subject, { timeoutMs, force: flags.force === true })
      if (!report.complete) setExitCode(4)
      if (flags.json === true) await writeJson(io.stdout, report)
      else await show(io, report, { isStatus: flags.status === true })
    })
  })
}

/** Throws INVALID_ARGUMENT where there is nobody to ask, and when the answer is not the subject. */
async function confirm(io: Io, subject: string): Promise<void> {
  if (io.stdin.isTTY !== true || io.stderr.isTTY !== true) {
    throw new GlynError(
      'INVALID_ARGUMENT',
      'forgetting cannot be undone, and there is no terminal to ask; add --yes',
    )
  }
  const paint = createPaint(io, io.stderr)
  const lines = createInterface({ input: io.stdin, output: io.stderr })
  try {
    await write(
      io.stderr,
      `${paint('red', 'This cannot be undone.')} The data of all events of ${paint('bold', subject)} become unreadable, on every node and for ever.\n`,
    )
    const answer = await lines.question('Type the subject to go on: ')
    if (answer.trim() === subject) return
  } finally {
    lines.close()
  }
  throw new GlynError('INVALID_ARGUMENT', 'nothing was forgotten: the answer is not the subject')
}

async function show(io: Io, report: SubjectReport, { isStatus }: { isStatus: boolean }): Promise<void> {
  const paint = createPaint(io, io.stdout)
  const rows = report.members.map(member => [
    member.name,
    member.peerId,
    paint(member.state === 'forgotten' ? 'green' : 'yellow', stateInWords(member)),
    member.keys === null ? '' : String(member.keys),
    noteOf(member),
  ])
  await write(io.stdout, formatTable(io, ['node', 'peer id', 'state', 'keys', 'note'], rows))
  await writeLine(io.stdout, sumUp(report, isStatus))
}

const stateInWords = ({ state }: MemberMemory): string =>
  state === 'forgotten' ? 'has forgotten' : state === 'remembers' ? 'remembers' : 'has not confirmed'

function noteOf({ state, untold, error }: MemberMemory): string {
  if (state === 'unknown') return `forgets when it is back (${error ?? 'it did not answer'})`
  if (error !== null) return `whether its logs say so is not known (${error})`
  if (untold !== null && untold > 0) return `${untold} aggregates whose log does not say so yet`
  return ''
}

function sumUp({ subject, complete, members }: SubjectReport, isStatus: boolean): string {
  if (complete) return `${subject} is forgotten on all ${members.length} members`
  const count = members.filter(({ state }) => state === 'forgotten').length
  if (count === 0 && isStatus) return `${subject} is not forgotten`
  return `${subject} is forgotten on ${count} of ${members.length} members; the others follow by themselves: \`glyn-node forget ${subject} --status\``
}
