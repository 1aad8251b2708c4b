// A batch of commands from a stream of lines: in order per aggregate, many aggregates at once, in bounded memory.
import { v7 as uuidv7 } from 'uuid'
import { GlynError, isGlynError } from '../core/errors.ts'
import type { Outcome } from '../core/outcome.ts'
import { type BatchRequest, parseBatchRequest, parseJson } from '../http/command-request.ts'
import { createKeyedScheduler } from '../http/keyed-scheduler.ts'
import { readLineGroups } from '../http/read-lines.ts'

/** Lines read ahead, for each command under way: they find work while one aggregate is slow. */
const linesHeldPerRunning = 16

export type BatchResult = {
  readonly line: number
  readonly commandId: string
} & ({ readonly outcome: Outcome } | { readonly error: GlynError })

export interface BatchSummary {
  readonly accepted: number
  /** By the domain. */
  readonly rejected: number
  readonly failed: number
  readonly seconds: number
}

export interface BatchEnd {
  readonly summary: BatchSummary
  /** The codes of failures, in order of first appearance. */
  readonly failureCodes: readonly GlynError[]
  /** The line that could not be read, and ended the batch. */
  readonly malformed: GlynError | null
}

/**
 * Sends every line. After a command of an aggregate has failed, what became of it is not known, and the later ones of
 * that aggregate are not sent: they fail with the same code, and the file can be sent again if its lines carry ids.
 * A malformed line ends the reading; what was under way is finished.
 */
export async function runBatch(options: {
  readonly source: AsyncIterable<Uint8Array | string>
  readonly send: (request: BatchRequest, timeoutMs: number) => Promise<Outcome>
  readonly concurrency: number
  readonly timeoutMs: number
  readonly onResult: (result: BatchResult) => Promise<void>
  readonly signal?: AbortSignal
}): Promise<BatchEnd> {
  const { send, concurrency, timeoutMs, onResult } = options
  const startedAt = performance.now()
  const counts = { accepted: 0, rejected: 0, failed: 0 }
  const failures = new Map<string, GlynError>()
  /** By aggregate: the first line that failed without an answer. */
  const broken = new Map<string, { readonly line: number; readonly error: GlynError }>()
  const scheduler = createKeyedScheduler({
    runningMax: concurrency,
    heldMax: concurrency * linesHeldPerRunning,
  })

  const settle = async (
    key: string,
    line: number,
    request: BatchRequest & { commandId: string },
  ): Promise<void> => {
    const { commandId } = request
    const before = broken.get(key)
    try {
      if (before !== undefined) throw notSent(before)
      const outcome = await send(request, timeoutMs)
      counts[outcome.type] += 1
      await onResult({ line, commandId, outcome })
    } catch (error) {
      if (!isGlynError(error)) throw error
      counts.failed += 1
      if (!failures.has(error.code)) failures.set(error.code, error)
      if (error.retryable && before === undefined) broken.set(key, { line, error })
      await onResult({ line, commandId, error })
    }
  }

  let malformed: GlynError | null = null
  let line = 0
  try {
    reading: for await (const group of readLineGroups(options.source)) {
      for (const text of group) {
        if (options.signal?.aborted === true) break reading
        line += 1
        if (text.trim() === '') continue
        const request = parseLine(text, line)
        const key = `${request.type}\0${request.id}`
        const at = line
        await scheduler.add(key, () => settle(key, at, request))
      }
    }
  } catch (error) {
    if (!isGlynError(error)) throw error
    malformed = error
  }
  await scheduler.idle()
  const seconds = Math.round(performance.now() - startedAt) / 1000
  return { summary: { ...counts, seconds }, failureCodes: [...failures.values()], malformed }
}

function parseLine(text: string, line: number): BatchRequest & { commandId: string } {
  const where = `line ${line}`
  const request = parseBatchRequest(parseJson(text, where), where)
  return { ...request, commandId: request.commandId ?? uuidv7() }
}

function notSent({ line, error }: { readonly line: number; readonly error: GlynError }): GlynError {
  const text = `not sent, because line ${line} of the same aggregate failed: ${error.message}`
  return new GlynError(error.code, text, { details: { line } })
}
