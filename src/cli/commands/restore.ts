// `restore`: a new data directory with the history of a backup.
import { createReadStream } from 'node:fs'
import { access, constants } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { type RestoreSummary, restoreBackup } from '../../node/moving/restore-backup.ts'
import { toFileError } from '../../node/moving/run-export.ts'
import { entriesIn } from '../entries-in.ts'
import { type CommandContext, type Io, writeJson, writeLine } from '../io.ts'
import { createStderrLog } from '../stderr-log.ts'
import { untilStopped } from '../stopping.ts'
import { createWayBar } from '../way-bar.ts'

const examples = `
Examples:
  $ glyn-node restore bank.backup --data-dir ./new
  $ ssh vault 'cat bank.backup' | glyn-node restore - --data-dir ./new
  $ glyn-node start --topic bank_events --data-dir ./new

The directory is made, or is empty. It becomes that of a new node in a new cluster of one node, with every event at the
position that it had. Add nodes with \`glyn-node start --bootstrap\` as always, and the replicas spread. Stop the old cluster
for good before clients use the new one: the two know nothing of each other.
An interrupted restore leaves a directory that no node starts on; run it again. docs/moving.md tells more.`

interface RestoreFlags {
  readonly dataDir: string
  readonly json?: boolean
}

export function createRestoreCommand({ io }: CommandContext): Command {
  return new Command('restore')
    .description('Makes a new data directory from a backup.')
    .argument('<file>', 'the backup; - for stdin')
    .requiredOption('--data-dir <dir>', 'the directory to make')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
    .action(async (file: string, flags: RestoreFlags) => {
      const bar = createWayBar(io, 'restore')
      const path = resolve(io.cwd, file)
      const directory = resolve(io.cwd, flags.dataDir)
      try {
        // Before anything is made.
        if (file !== '-') await access(path, constants.R_OK)
        const summary = await untilStopped(io, 'nothing was restored', signal =>
          restoreBackup(
            file === '-' ? io.stdin : createReadStream(path, { highWaterMark: 1024 * 1024 }),
            file === '-' ? 'stdin' : file,
            directory,
            {
              log: createStderrLog(io, { level: 'warn' }),
              signal,
              onProgress: (header, entries) => bar.update(entries, entriesIn(header), `${entries} entries`),
            },
          ),
        )
        bar.stop()
        if (flags.json === true) await writeJson(io.stdout, { dataDir: directory, ...summary })
        else await tell(io, flags.dataDir, summary)
      } catch (error) {
        throw toFileError(error, path)
      } finally {
        bar.stop()
      }
    })
}

async function tell(io: Io, directory: string, summary: RestoreSummary): Promise<void> {
  const { cluster, clusterId, entries, events, commands, hash, token } = summary
  const { topic, scope } = cluster
  const start = `glyn-node start --topic ${topic}${scope === 'default' ? '' : ` --scope ${scope}`} --data-dir ${directory}`
  const lines = [
    `${directory} is restored: ${entries} entries, ${events} events of ${commands} commands`,
    `cluster  ${clusterId} (was ${cluster.clusterId})`,
    `hash     ${hash}`,
    `token    ${token}`,
    `start it with: ${start}`,
  ]
  await writeLine(io.stdout, lines.join('\n'))
}
