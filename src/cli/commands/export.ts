// `export`: the events of a store as lines, to read elsewhere or to import into another store.
import { resolve } from 'node:path'
import { Command, Option } from 'commander'
import { parseToken } from '../../core/token.ts'
import { type ExportFormatName, exportFormats } from '../../node/moving/export-format.ts'
import { type ExportSummary, exportToFile, exportToStream } from '../../node/moving/run-export.ts'
import { withEventSource } from '../event-source-of.ts'
import { type CommandContext, createPaint, type Io, write, writeJson, writeLine } from '../io.ts'
import { untilStopped } from '../stopping.ts'
import { addTargetOptions, type TargetFlags } from '../target.ts'
import { createWayBar } from '../way-bar.ts'

const examples = `
Examples:
  $ glyn-node export events.ndjson                               everything, from the node of ./data
  $ glyn-node export events.ndjson --data-dir ./old              from a folder; no node has to run there
  $ glyn-node export accounts.ndjson --type bank_account
  $ glyn-node export later.ndjson --from 3:17,5:2                what came after a token, as an export says it at its end
  $ glyn-node export events.ndjson --format cloudevents          CloudEvents 1.0, one per line
  $ glyn-node export - | gzip > events.ndjson.gz

One JSON object per line. The lines between the events prove that the file is whole; \`glyn-node import --check\` looks.
Run it again after an interruption: it goes on where it was. Events of your aggregates are exported, and nothing that
glyn-node keeps for itself: where handlers, processes and queries are. \`glyn-node backup\` has that, too.
docs/moving.md tells more.`

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value]

interface ExportFlags extends TargetFlags {
  readonly format: ExportFormatName
  readonly type?: readonly string[]
  readonly from?: string
  readonly json?: boolean
}

export function createExportCommand({ io }: CommandContext): Command {
  const command = new Command('export')
    .description('Writes the events of a store to a file, from a running node or a stopped one.')
    .argument('<file>', 'where to; - for stdout')
    .addOption(
      new Option('--format <format>', 'how events are written').choices(exportFormats).default('ndjson'),
    )
    .option('--type <type>', 'only aggregates of this type; several times', collect)
    .option('--from <token>', 'only what came after this token')
    .option('--json', 'the summary as one JSON object (on stderr when the events are on stdout)')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(async (file: string, flags: ExportFlags) => {
    const from = flags.from ?? ''
    parseToken(from)
    const advice = file === '-' ? 'the output is cut off' : 'run it again, and it goes on where it was'
    await untilStopped(io, advice, async signal => {
      const bar = createWayBar(io, 'exporting')
      try {
        const summary = await withEventSource(io, flags, source => {
          const options = {
            format: flags.format,
            from,
            types: flags.type ?? null,
            signal,
            onProgress: (progress: { events: number; done: number; total: number }) =>
              bar.update(progress.done, progress.total, `${progress.events} events`),
          }
          return file === '-'
            ? exportToStream(source, text => write(io.stdout, text), options)
            : exportToFile(source, resolve(io.cwd, file), options)
        })
        bar.stop()
        await tell(io, file, flags, summary)
      } finally {
        bar.stop()
      }
    })
  })
}

async function tell(io: Io, file: string, flags: ExportFlags, summary: ExportSummary): Promise<void> {
  const output = file === '-' ? io.stderr : io.stdout
  if (flags.json === true) return await writeJson(output, { file, ...summary })
  const { events, commands, hash, token, resumedAfter, remarks } = summary
  const paint = createPaint(io, io.stderr)
  for (const remark of remarks) await writeLine(io.stderr, `${paint('yellow', 'not exported:')} ${remark}`)
  const resumed = resumedAfter === 0 ? '' : `, ${resumedAfter} of them before the interruption`
  const lines = [
    `${events} events of ${commands} commands in ${file === '-' ? 'this export' : file}${resumed}`,
    `hash   ${hash}`,
    `token  ${token === '' ? 'none' : token}`,
  ]
  await writeLine(output, lines.join('\n'))
}
