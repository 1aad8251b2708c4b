// `queries rebuild`: a read model is made again beside the old one.
import { setTimeout as sleep } from 'node:timers/promises'
import { SingleBar } from 'cli-progress'
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import type { ControlClient } from '../../http/control-client.ts'
import type { QueryStatus } from '../../node/queries-api.ts'
import { type CommandContext, createPaint, type Io, writeJson, writeLine } from '../io.ts'
import { formatCount } from '../queries-table.ts'
import { showText } from '../show-value.ts'
import { suggesting } from '../suggest.ts'
import { type TargetFlags, withControlClient } from '../target.ts'

const examples = `
Examples:
  $ glyn-node queries rebuild balance
  $ glyn-node queries rebuild balance --no-wait

The old read model answers until the new one has seen every event; then they change places. Ctrl-C ends only this command;
the node goes on, also after a restart: \`glyn-node queries --watch\` shows how far it is.`

interface RebuildFlags extends TargetFlags {
  readonly wait: boolean
  readonly json?: boolean
}

const lookMs = 200

export function createQueriesRebuildCommand({ io }: CommandContext): Command {
  return new Command('rebuild')
    .description('Builds the read model of a query again from the first event, beside the old one.')
    .argument('<query>', 'the name of the query')
    .option('--no-wait', 'do not wait until it is built')
    .addHelpText('after', examples)
    .action(async (name: string, _: object, command: Command) => {
      const flags = command.optsWithGlobals<RebuildFlags>()
      await withControlClient(io, flags, async client => {
        const begun = await suggesting({ UNKNOWN_QUERY: name }, client.queries.rebuild(name))
        if (flags.wait) {
          await waitForBuild(io, client, { name, isJson: flags.json === true })
        } else if (flags.json === true) await writeJson(io.stdout, { event: 'building', query: begun })
        else
          await writeLine(
            io.stdout,
            `${name} is being built again; glyn-node queries --watch shows how far it is`,
          )
      })
    })
}

async function waitForBuild(
  io: Io,
  client: ControlClient,
  { name, isJson }: { readonly name: string; readonly isJson: boolean },
): Promise<void> {
  const stop = new AbortController()
  const forget = io.onStopSignal(signal =>
    stop.abort(
      new GlynError(
        'UNAVAILABLE',
        `stopped by ${signal}; the node goes on building: glyn-node queries --watch`,
      ),
    ),
  )
  const startedAt = performance.now()
  const report = isJson ? createJsonReport(io) : createBar(io, name)
  try {
    for (;;) {
      const query = (await client.queries.list()).find(one => one.name === name)
      if (query === undefined)
        throw new GlynError('UNKNOWN_QUERY', `query ${name} is gone: was its file removed?`)
      if (query.building === null) {
        report.close()
        const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
        if (isJson) await writeJson(io.stdout, { event: 'built', query })
        else await writeLine(io.stdout, `${name} is built again, in ${seconds} s; the new read model answers`)
        return
      }
      const { state, lastError } = query.building
      if (state === 'stopped' || state === 'failed') {
        const why = lastError?.message ?? 'for no reason that is known'
        throw new GlynError(
          'QUERY_FAILED',
          `query ${name} was not built again: ${why}. The old read model goes on`,
        )
      }
      report.show(query.building)
      await sleep(lookMs, undefined, { signal: stop.signal }).catch(() => undefined)
      stop.signal.throwIfAborted()
    }
  } finally {
    report.close()
    forget()
  }
}

interface Report {
  show(building: NonNullable<QueryStatus['building']>): void
  close(): void
}

/** Only what is news. */
function createJsonReport(io: Io): Report {
  let last = ''
  return {
    show({ progress, ratePerSecond, lastError }) {
      const line = JSON.stringify({ event: 'building', progress, ratePerSecond, lastError })
      if (line !== last) io.stdout.write(`${line}\n`)
      last = line
    },
    close() {},
  }
}

function createBar(io: Io, name: string): Report {
  if (io.stderr.isTTY !== true) return { show() {}, close() {} }
  const paint = createPaint(io, io.stderr)
  const bar = new SingleBar({
    stream: io.stderr as NodeJS.WritableStream,
    format: `${name}  ${paint('cyan', '{bar}')}  {percentage}%  {done} of {all}  {rate}/s  {trouble}`,
    hideCursor: true,
    clearOnComplete: true,
  })
  let isStarted = false
  return {
    show({ progress, ratePerSecond, lastError }) {
      const fields = {
        done: formatCount(progress.done),
        all: formatCount(progress.total),
        rate: formatCount(ratePerSecond),
        trouble: lastError === null ? '' : paint('yellow', showText(lastError.message)),
      }
      if (!isStarted) bar.start(progress.total, progress.done, fields)
      isStarted = true
      bar.setTotal(progress.total)
      bar.update(progress.done, fields)
    },
    close() {
      if (isStarted) bar.stop()
      isStarted = false
    },
  }
}
