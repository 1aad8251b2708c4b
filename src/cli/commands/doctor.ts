// `doctor`: whether an installation is in order, and what to do where it is not.
import { resolve } from 'node:path'
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import { hasCode } from '../../core/errors.ts'
import { createControlClient } from '../../http/control-client.ts'
import { controlSocketName } from '../../http/control-socket.ts'
import type { DoctorCheck, DoctorProgress } from '../../node/doctor.ts'
import type { NodeStatus } from '../../node/node-api.ts'
import { type CommandContext, createPaint, type Io, write, writeJson } from '../io.ts'
import { loadSettings } from '../settings.ts'
import { formatTable } from '../table.ts'
import { sourcesOf } from '../target.ts'

const examples = `
Examples:
  $ glyn-node doctor                           the node of ./data and ./config, whether it runs or not
  $ glyn-node doctor --data-dir /var/lib/glyn --config /etc/glyn
  $ glyn-node doctor --deep                    also replays every aggregate and verifies the hash chains
  $ glyn-node doctor --json | jq '.checks[] | select(.state == "failed")'

It changes nothing. Files of the config folder are loaded, so their code runs. Exits 1 when something is not in order.`

interface DoctorFlags {
  readonly dataDir?: string
  readonly config?: string
  readonly deep?: boolean
  readonly json?: boolean
}

export function createDoctorCommand({ io, setExitCode }: CommandContext): Command {
  return new Command('doctor')
    .description('Checks an installation: its files, history, disk, keys and members.')
    .option('--data-dir <dir>', 'of the node (default: ./data)')
    .option('--config <dir>', 'the folder with aggregates/, queries/ and glyn.yaml (default: ./config)')
    .option('--deep', 'replay every aggregate, compare snapshots, verify hash chains and the database file')
    .option('--json', 'one JSON object')
    .addHelpText('after', examples)
    .action(async (flags: DoctorFlags) => {
      const { settings, configDirectory } = loadSettings(['data-dir'], sourcesOf(io, flags))
      const dataDirectory = resolve(io.cwd, settings['data-dir'])
      const { examine } = await import('../../node/doctor.ts')
      const bar = createBar(io)
      try {
        const options = { dataDirectory, configDirectory, deep: flags.deep === true, onProgress: bar.show }
        const checks = await examine(options, await askNode(dataDirectory))
        bar.close()
        const failed = checks.filter(({ state }) => state === 'failed').length
        if (flags.json === true)
          await writeJson(io.stdout, { ok: failed === 0, dataDirectory, configDirectory, checks })
        else await write(io.stdout, formatChecks(io, checks, failed))
        if (failed > 0) setExitCode(1)
      } finally {
        bar.close()
      }
    })
}

/** Undefined when no node runs there; the error when one does, and does not say how it is. */
async function askNode(dataDirectory: string): Promise<NodeStatus | Error | undefined> {
  const client = createControlClient({ socketPath: resolve(dataDirectory, controlSocketName) })
  try {
    return await client.status()
  } catch (error) {
    if (hasCode(error, 'NODE_NOT_RUNNING')) return undefined
    if (error instanceof Error) return error
    throw error
  } finally {
    await client.close()
  }
}

const marks = {
  ok: ['green', '✓ ok'],
  warning: ['yellow', '! look'],
  failed: ['red', '✗ failed'],
  skipped: ['dim', '- skipped'],
} as const

function formatChecks(io: Io, checks: readonly DoctorCheck[], failed: number): string {
  const paint = createPaint(io, io.stdout)
  const rows = checks.map(({ name, state, text, remedy }) => {
    const [style, mark] = marks[state]
    return [paint(style, mark), name, remedy === null ? text : `${text}\n→ ${remedy}`]
  })
  const warnings = checks.filter(({ state }) => state === 'warning').length
  const end =
    failed > 0
      ? paint('red', `${failed} of ${checks.length} checks failed.`)
      : warnings > 0
        ? paint('yellow', `Nothing failed; ${warnings} to look at.`)
        : paint('green', 'All is in order.')
  return `${formatTable(io, ['', 'check', 'what was found'], rows)}\n${end}\n`
}

function createBar(io: Io): { show(progress: DoctorProgress): void; close(): void } {
  if (io.stderr.isTTY !== true) return { show() {}, close() {} }
  const paint = createPaint(io, io.stderr)
  const bar = new SingleBar({
    stream: io.stderr as NodeJS.WritableStream,
    format: `{what}  ${paint('cyan', '{bar}')}  {percentage}%  {value} of {total}`,
    hideCursor: true,
    clearOnComplete: true,
  })
  let shown = ''
  const close = (): void => {
    if (shown !== '') bar.stop()
    shown = ''
  }
  return {
    show({ what, done, total }) {
      if (shown !== what) {
        close()
        bar.start(total, done, { what })
      }
      shown = what
      bar.update(done, { what })
    },
    close,
  }
}
