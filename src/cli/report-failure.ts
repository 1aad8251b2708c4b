// How a command that failed says so: what happened, what to do next, and the exit code.
import { CommanderError } from 'commander'
import { type ErrorCode, exitCodeOf, GlynError, isGlynError, toErrorBody } from '../core/errors.ts'
import { createPaint, type Io, writeJson, writeLine } from './io.ts'

const nextSteps: Partial<Record<ErrorCode, string>> = {
  UNAVAILABLE: 'look at `glyn-node status`; sending the same command with the same --id again is safe',
  TIMEOUT: 'sending the same command with the same --id again is safe; --timeout gives it longer',
  ACTOR_TIMEOUT: 'sending the same command with the same --id again is safe',
  OVERLOADED: 'send more slowly, or again later with the same --id',
  OUTCOME_UNKNOWN: 'send the same command with the same --id again: it is done once at most',
  QUERY_LAGGING: 'ask again, or give it longer with --timeout; `glyn-node status` shows how far it is',
  ALREADY_RUNNING: 'stop the other process, or give this one another --data-dir',
  INSECURE_LISTEN:
    'make a secret with `glyn-node keygen swarm.key` and start every node with --secret-file swarm.key',
  MEMBER_REMOVED: 'start with an empty --data-dir to join as a new member',
  STORE_FULL:
    'make room on the disk and start the node again; what was acknowledged is safe, and the other nodes go on',
  STORE_READ_ONLY: 'make the directory writable and start the node again',
  INTERNAL: 'this is a mistake in glyn-node; please report it with the text above',
}

/** The same where no command was sent, so that there is no id to send again. */
const nextStepsOfOthers: Partial<Record<ErrorCode, string>> = {
  ...nextSteps,
  UNAVAILABLE: 'look at `glyn-node status`, and try again',
  TIMEOUT: 'look at `glyn-node status`, and try again',
  ACTOR_TIMEOUT: 'try again',
  OVERLOADED: 'try again later',
  OUTCOME_UNKNOWN: 'look at `glyn-node status`, and try again',
}

export interface FailedCommand {
  /** The error is written for programs. */
  readonly isJson: boolean
  /** It was `send-command`. */
  readonly isSending: boolean
}

/** Writes the error to stderr, as `{"error":{…}}` for programs. Returns the exit code. */
export async function reportFailure(
  io: Io,
  error: unknown,
  { isJson, isSending }: FailedCommand,
): Promise<number> {
  const known = toKnown(error)
  if (known === null) return 0
  if (isJson) {
    await writeJson(io.stderr, { error: toErrorBody(known) })
    return exitCodeFor(known)
  }
  const paint = createPaint(io, io.stderr)
  await writeLine(io.stderr, `${paint('red', 'error:')} ${messageOf(known)}`)
  if (isGlynError(known)) {
    const { didYouMean } = (known.details ?? {}) as { didYouMean?: unknown }
    if (typeof didYouMean === 'string')
      await writeLine(io.stderr, `Did you mean ${paint('bold', didYouMean)}?`)
    const next = (isSending ? nextSteps : nextStepsOfOthers)[known.code]
    if (next !== undefined) await writeLine(io.stderr, `What to do: ${next}.`)
  } else if (known instanceof Error && known.stack !== undefined) {
    await writeLine(io.stderr, paint('dim', known.stack))
  }
  return exitCodeFor(known)
}

/** Null for what is no failure: help and version were asked for, or the reader of our output has gone. */
function toKnown(error: unknown): unknown {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return null
    if (error.code === 'commander.help') {
      return new GlynError('INVALID_ARGUMENT', 'a command is missing; the list is above')
    }
    return new GlynError('INVALID_ARGUMENT', error.message.replace(/^error: /, ''))
  }
  if ((error as { code?: unknown } | null)?.code === 'EPIPE') return null
  return error
}

const exitCodeFor = (error: unknown): number => (isGlynError(error) ? exitCodeOf(error.code) : 1)

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
