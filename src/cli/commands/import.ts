// `import`: the events of an export into a running node.
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { toFileError } from '../../node/moving/run-export.ts'
import {
  checkExport,
  type ExportContents,
  type ImportSummary,
  runImport,
} from '../../node/moving/run-import.ts'
import { type CommandContext, type Io, writeJson, writeLine } from '../io.ts'
import { parseDuration } from '../parse-arguments.ts'
import { untilStopped } from '../stopping.ts'
import { addTargetOptions, type TargetFlags, withControlClient } from '../target.ts'
import { createWayBar } from '../way-bar.ts'

const examples = `
Examples:
  $ glyn-node import events.ndjson                      into the cluster of the node of ./data
  $ glyn-node import events.ndjson --data-dir ./new
  $ gunzip < events.ndjson.gz | glyn-node import -
  $ glyn-node import --check events.ndjson              only whether the file is whole; no node is needed

Takes what \`glyn-node export\` writes, in both formats. The file is checked first: a cut or altered one is refused with the
number of the line. Events keep their times, versions, metadata, command ids and commands. Run it again after an interruption:
what is there already is not written twice. Queries, handlers and processes of the cluster see imported events as any others:
start it without the files of handlers and processes when what they do was done already. docs/moving.md tells more.`

const defaultTimeoutMs = 60_000

interface ImportFlags extends TargetFlags {
  readonly check?: boolean
  readonly timeout?: string
  readonly json?: boolean
}

export function createImportCommand({ io }: CommandContext): Command {
  const command = new Command('import')
    .description('Reads the events of an export into a running node.')
    .argument('<file>', 'the export; - for stdin')
    .option('--check', 'only look whether the file is whole')
    .option('--timeout <time>', 'how long to try again while the node is away (default: 60s)')
    .option('--json', 'the summary as one JSON object')
    .addHelpText('after', examples)
  return addTargetOptions(command).action(async (file: string, flags: ImportFlags) => {
    const timeoutMs =
      flags.timeout === undefined ? defaultTimeoutMs : parseDuration('--timeout', flags.timeout)
    const input = await openInput(io, file)
    await untilStopped(io, 'run it again: what is there already is not written twice', async signal => {
      // Before anything is written. A stream is checked block by block, as it comes.
      if (flags.check === true || input.isFile) {
        const contents = await withBar(io, input, 'checking', onProgress =>
          checkExport(input.open(), input.name, { signal, onProgress }),
        )
        if (flags.check === true) return await tellContents(io, flags, input.name, contents)
      }
      await withControlClient(io, flags, async client => {
        const summary = await withBar(io, input, 'importing', onProgress =>
          runImport(input.open(), input.name, client, { signal, timeoutMs, onProgress }),
        )
        await tell(io, flags, input.name, summary)
      })
    })
  })
}

interface Input {
  readonly name: string
  readonly isFile: boolean
  readonly bytes: number
  open(): AsyncIterable<Uint8Array>
}

async function openInput(io: Io, file: string): Promise<Input> {
  if (file === '-') return { name: 'stdin', isFile: false, bytes: 0, open: () => io.stdin }
  const path = resolve(io.cwd, file)
  try {
    const found = await stat(path)
    return {
      name: file,
      isFile: found.isFile(),
      bytes: found.size,
      open: () => createReadStream(path, { highWaterMark: 1024 * 1024 }),
    }
  } catch (error) {
    throw toFileError(error, file)
  }
}

async function withBar<Result>(
  io: Io,
  { bytes }: Input,
  what: string,
  work: (
    onProgress: (progress: { readonly events: number; readonly bytes: number }) => void,
  ) => Promise<Result>,
): Promise<Result> {
  const bar = createWayBar(io, what)
  try {
    return await work(progress => bar.update(progress.bytes, bytes, `${progress.events} events`))
  } finally {
    bar.stop()
  }
}

async function tellContents(
  io: Io,
  flags: ImportFlags,
  name: string,
  contents: ExportContents,
): Promise<void> {
  if (flags.json === true) return await writeJson(io.stdout, { file: name, ...contents })
  const { header, events, commands, hash, token } = contents
  const types = header.types === null ? '' : `, only of ${header.types.join(', ')}`
  const lines = [
    `${name} is whole: ${events} events of ${commands} commands${types}`,
    `hash   ${hash}`,
    `token  ${token === '' ? 'none' : token}`,
  ]
  await writeLine(io.stdout, lines.join('\n'))
}

async function tell(io: Io, flags: ImportFlags, name: string, summary: ImportSummary): Promise<void> {
  if (flags.json === true) return await writeJson(io.stdout, { file: name, ...summary })
  const { events, commands, appended, there, hash } = summary
  const before = there === 0 ? '' : `; ${there} were there already`
  const lines = [
    `${events} events of ${commands} commands from ${name}: ${appended} commands written${before}`,
    `hash   ${hash}`,
  ]
  await writeLine(io.stdout, lines.join('\n'))
}
