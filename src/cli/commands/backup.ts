// `backup`: the history of the whole cluster in one file, taken while it runs; `backup verify` looks whether a file is whole.
import { resolve } from 'node:path'
import { Command } from 'commander'
import type { BackupHeader, BackupSummary } from '../../node/moving/backup-contents.ts'
import { readToEnd, saveBackup, verifyBackup } from '../../node/moving/save-backup.ts'
import { entriesIn } from '../entries-in.ts'
import { type CommandContext, type Io, writeJson, writeLine } from '../io.ts'
import { untilStopped } from '../stopping.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'
import { createWayBar } from '../way-bar.ts'

const examples = `
Examples:
  $ glyn-node backup bank.backup                       the whole cluster, through the node of ./data
  $ glyn-node backup - | ssh vault 'cat > bank.backup'
  $ glyn-node backup verify bank.backup                whether the file is whole; no node is needed
  $ glyn-node restore bank.backup --data-dir ./new

Every partition of the cluster is in it, also those that this node holds no replica of, up to where they were when the backup
began: whatever was acknowledged before is in it. Read models are not: queries build them again from the history.
docs/moving.md tells more.`

interface BackupFlags extends TargetFlags {
  readonly json?: boolean
}

export function createBackupCommand(context: CommandContext): Command {
  const { io } = context
  const command = new Command('backup')
    .description('Writes the history of the whole cluster into one file, while it runs.')
    .argument('<file>', 'where to; - for stdout')
    .option('--json', 'the summary as one JSON object (on stderr when the backup is on stdout)')
    .addHelpText('after', examples)
  addTargetOptions(command).action(async (file: string, flags: BackupFlags) => {
    const summary = await untilStopped(io, 'there is no backup', signal =>
      withBar(io, 'backup', async onProgress => {
        let summary: BackupSummary | undefined
        await withControlClient(io, flags, async client => {
          const bytes = client.backup({ signal })
          summary =
            file === '-'
              ? await readToEnd(bytes, 'the backup', { onProgress, onBytes: part => put(io, part) })
              : await saveBackup(bytes, resolve(io.cwd, file), { onProgress, signal })
        })
        return summary
      }),
    )
    if (summary !== undefined) await tell(io, file, { flags, summary, what: 'saved' })
  })
  return command.addCommand(createVerifyCommand(context))
}

function createVerifyCommand({ io }: CommandContext): Command {
  return new Command('verify')
    .description('Looks whether a backup is whole: every entry by its hash chain, the file by its own hash.')
    .argument('<file>', 'the backup')
    .option('--json', 'one JSON object')
    .action(async (file: string, _flags: object, command: Command) => {
      const flags = command.optsWithGlobals<{ json?: boolean }>()
      const path = resolve(io.cwd, file)
      const summary = await withBar(io, 'verify', onProgress => verifyBackup(path, { onProgress }))
      await tell(io, file, { flags, summary, what: 'whole' })
    })
}

async function withBar<Result>(
  io: Io,
  what: string,
  work: (onProgress: (header: BackupHeader, entries: number) => void) => Promise<Result>,
): Promise<Result> {
  const bar = createWayBar(io, what)
  try {
    return await work((header, entries) => bar.update(entries, entriesIn(header), `${entries} entries`))
  } finally {
    bar.stop()
  }
}

function put(io: Io, bytes: Buffer): Promise<void> {
  return new Promise((done, fail) => io.stdout.write(bytes, error => (error == null ? done() : fail(error))))
}

async function tell(
  io: Io,
  file: string,
  {
    flags,
    summary,
    what,
  }: { readonly flags: { readonly json?: boolean }; readonly summary: BackupSummary; readonly what: string },
): Promise<void> {
  const output = file === '-' ? io.stderr : io.stdout
  if (flags.json === true) return await writeJson(output, { file, ...summary })
  const { cluster, takenAt, bytes, entries, events, commands, hash, token } = summary
  const lines = [
    `${file === '-' ? 'the backup' : file} is ${what}: ${entries} entries, ${bytes} bytes`,
    `cluster  ${cluster.clusterId}, topic ${cluster.topic}, scope ${cluster.scope}, ${cluster.partitions} partitions, ${cluster.replicas} replicas`,
    `begun    ${takenAt}`,
    `holds    ${events} events of ${commands} commands`,
    `hash     ${hash}`,
    `token    ${token}`,
  ]
  await writeLine(output, lines.join('\n'))
}
