// `send-command --batch`: the file, the nodes, the progress, and what it says in the end.
import { createReadStream } from 'node:fs'
import { access, constants } from 'node:fs/promises'
import { resolve } from 'node:path'
import { SingleBar } from 'cli-progress'
import { exitCodeOf, GlynError, toErrorBody } from '../core/errors.ts'
import { type BatchTarget, createBatchSender, createControlTarget, createPeerTarget } from './batch-target.ts'
import { createPaint, type Io, writeJson, writeLine } from './io.ts'
import { parseCount, parseDuration } from './parse-arguments.ts'
import { type BatchEnd, type BatchResult, runBatch } from './run-batch.ts'
import { openControlClients, openPeer, type TargetFlags } from './target.ts'

/** The options of `send-command`. */
export interface SendFlags extends TargetFlags {
  readonly data?: string
  readonly id?: string
  readonly metadata?: readonly string[]
  readonly timeout?: string
  readonly batch?: string
  readonly concurrency?: string
  readonly json?: boolean
}

const defaultConcurrency = 256
const concurrencyMax = 4096
const defaultTimeoutMs = 60_000
/** For people; further failures are in the summary's count, and all of them in --json. */
const shownFailuresMax = 10

/** Returns the exit code: 0 all accepted, 3 some rejected, 4 some unavailable, 2 a malformed line. */
export async function sendBatch(io: Io, file: string, flags: SendFlags): Promise<number> {
  const timeoutMs = flags.timeout === undefined ? defaultTimeoutMs : parseDuration('--timeout', flags.timeout)
  const concurrency =
    flags.concurrency === undefined
      ? defaultConcurrency
      : parseCount('--concurrency', flags.concurrency, concurrencyMax)
  const source = file === '-' ? io.stdin : await openFile(resolve(io.cwd, file), file)
  const targets = await openTargets(io, flags)
  const report = createReport(io, flags)
  try {
    const end = await runBatch({
      source,
      send: createBatchSender(targets),
      concurrency,
      timeoutMs,
      onResult: report.onResult,
    })
    await report.onEnd(end)
    if (end.malformed !== null) throw end.malformed
    return exitCodeFor(end)
  } finally {
    report.close()
    await Promise.all(targets.map(target => target.close()))
  }
}

async function openTargets(io: Io, flags: SendFlags): Promise<BatchTarget[]> {
  const peer = await openPeer(io, flags)
  if (peer !== null) return [createPeerTarget(flags.peer ?? 'the peer', peer)]
  return (await openControlClients(io, flags)).map(createControlTarget)
}

async function openFile(path: string, shown: string): Promise<AsyncIterable<Uint8Array>> {
  try {
    await access(path, constants.R_OK)
  } catch (cause) {
    throw new GlynError('INVALID_ARGUMENT', `--batch ${shown} cannot be read: ${(cause as Error).message}`, {
      cause,
    })
  }
  return createReadStream(path)
}

/** Unavailability weighs most, because it can be mended by sending the file again. */
function exitCodeFor({ summary, failureCodes }: BatchEnd): number {
  const codes = failureCodes.map(error => exitCodeOf(error.code))
  if (codes.includes(4)) return 4
  return codes[0] ?? (summary.rejected > 0 ? 3 : 0)
}

interface Report {
  onResult(result: BatchResult): Promise<void>
  onEnd(end: BatchEnd): Promise<void>
  close(): void
}

function createReport(io: Io, flags: SendFlags): Report {
  return flags.json === true ? createJsonReport(io) : createTextReport(io)
}

const createJsonReport = (io: Io): Report => ({
  async onResult(result) {
    const { line, commandId } = result
    await writeJson(
      io.stdout,
      'outcome' in result
        ? { ...result.outcome, line }
        : { type: 'failed', commandId, line, error: toErrorBody(result.error) },
    )
  },
  onEnd: ({ summary }) => writeJson(io.stdout, { summary }),
  close() {},
})

function createTextReport(io: Io): Report {
  const paint = createPaint(io, io.stderr)
  let done = 0
  let shown = 0
  // The length of a stream is not known before its end: the bar counts, and shows the pace.
  const bar =
    io.stderr.isTTY === true
      ? new SingleBar({
          format: '{value} commands | {duration_formatted} | {pace}/s | {problems}',
          stream: io.stderr,
          hideCursor: true,
          clearOnComplete: true,
        })
      : null
  const startedAt = performance.now()
  let problems = 0
  bar?.start(0, 0, { pace: 0, problems: 'no problems' })
  return {
    async onResult(result) {
      done += 1
      const problem =
        'error' in result
          ? `${result.error.code}: ${result.error.message}`
          : result.outcome.type === 'rejected'
            ? `rejected ${result.outcome.code}: ${result.outcome.message}`
            : null
      if (problem !== null) {
        problems += 1
        shown += 1
        if (shown <= shownFailuresMax) {
          await writeLine(
            io.stderr,
            `${paint('yellow', `line ${result.line}:`)} ${problem} (command id ${result.commandId})`,
          )
        }
      }
      const pace = Math.round(done / Math.max(0.001, (performance.now() - startedAt) / 1000))
      bar?.update(done, { pace, problems: problems === 0 ? 'no problems' : `${problems} not accepted` })
    },
    async onEnd({ summary }) {
      bar?.stop()
      if (shown > shownFailuresMax) {
        await writeLine(io.stderr, `and ${shown - shownFailuresMax} more; --json shows each`)
      }
      const { accepted, rejected, failed, seconds } = summary
      const pace = seconds > 0 ? `, ${Math.round((accepted + rejected) / seconds)} a second` : ''
      await writeLine(
        io.stdout,
        `${accepted} accepted, ${rejected} rejected, ${failed} failed in ${seconds} s${pace}`,
      )
    },
    close() {
      bar?.stop()
    },
  }
}
