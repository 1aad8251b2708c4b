// Puts the events of an export into a store: command by command, each exactly once however often it is tried.
import { setTimeout as sleep } from 'node:timers/promises'
import { GlynError, isGlynError } from '../../core/errors.ts'
import { formatToken } from '../../core/token.ts'
import type { GivenAppend, GivenAppendResult, NodeApi } from '../node-api.ts'
import type { ExportHeader } from './export-header.ts'
import { type ExportPart, readExport } from './export-reader.ts'
import { type Conflict, createImportWriter, type ImportCommand } from './import-batch.ts'

/** Of one attempt: longer than an election. */
const attemptMsMax = 15_000
const pauseMs = 250
/** Blocks go to the store together until they have so many events or bytes: one round for many partitions. */
const appendEvents = 2000
const appendBytes = 4 * 1024 * 1024
/** Conflicts that an error names. */
const conflictsNamedMax = 10

/** A node, or a store that has no node in front of it. */
export type ImportTarget = Pick<NodeApi, 'append'>

export interface ImportOptions {
  readonly signal: AbortSignal
  /** How long a block of events is tried again, while the node is away, say. */
  readonly timeoutMs: number
  readonly onProgress?: (progress: { readonly events: number; readonly bytes: number }) => void
}

export interface ExportContents {
  readonly header: ExportHeader
  readonly events: number
  readonly commands: number
  readonly hash: string
  readonly token: string
}

export interface ImportSummary extends ExportContents {
  /** Of the commands: written now, and there already with the same events. */
  readonly appended: number
  readonly there: number
}

/**
 * Throws FILE_DAMAGED, and SEQUENCE_CONFLICT with `{ conflicts }` as details: the store has other events there. Nothing of a
 * command that conflicts is written; what came before it in its aggregate stays, and so do commands of other aggregates beside it. Throws what
 * the target throws when it cannot be cured in time. In every case the same import again goes on where it was.
 */
export async function runImport(
  source: AsyncIterable<Uint8Array | string>,
  name: string,
  target: ImportTarget,
  options: ImportOptions,
): Promise<ImportSummary> {
  const counts = { appended: 0, there: 0 }
  const writer = createImportWriter(appends => appendRetrying(target, appends, options))
  let gathered: ImportCommand[] = []
  let gatheredEvents = 0
  let gatheredBytes = 0
  let readBytes = 0

  async function flush(): Promise<void> {
    options.signal.throwIfAborted()
    const { appended, there, conflicts } = await writer.write(gathered)
    gathered = []
    gatheredEvents = 0
    gatheredBytes = 0
    counts.appended += appended
    counts.there += there
    const [conflict, ...others] = conflicts
    if (conflict !== undefined) throw conflictError(name, [conflict, ...others])
  }

  const contents = await readContents(source, name, async part => {
    let line = part.firstLine
    for (const events of part.commands) {
      gathered.push({ events, line })
      line += events.length
      gatheredEvents += events.length
    }
    gatheredBytes += part.progress.bytes - readBytes
    readBytes = part.progress.bytes
    if (gatheredEvents >= appendEvents || gatheredBytes >= appendBytes || part.isLast) {
      await flush()
    }
    options.onProgress?.(part.progress)
  })
  return { ...contents, ...counts }
}

/** Reads an export to its end. Throws FILE_DAMAGED. */
export async function checkExport(
  source: AsyncIterable<Uint8Array | string>,
  name: string,
  options: Pick<ImportOptions, 'signal' | 'onProgress'>,
): Promise<ExportContents> {
  return await readContents(source, name, async ({ progress }) => {
    options.signal.throwIfAborted()
    options.onProgress?.(progress)
  })
}

async function readContents(
  source: AsyncIterable<Uint8Array | string>,
  name: string,
  onBlock: (part: Extract<ExportPart, { type: 'block' }>) => Promise<void>,
): Promise<ExportContents> {
  let header: ExportHeader | undefined
  for await (const part of readExport(source, name)) {
    if (part.type === 'header') header = part.header
    else if (part.type === 'block') await onBlock(part)
    else if (header !== undefined) {
      const { events, commands, content, positions } = part.progress
      return { header, events, commands, hash: content.text(), token: formatToken(positions) }
    }
  }
  throw new GlynError('FILE_DAMAGED', `${name}: it has no end`)
}

/** Again and again while that may help: what was written is answered as a duplicate. */
async function appendRetrying(
  target: ImportTarget,
  appends: readonly GivenAppend[],
  { signal, timeoutMs }: ImportOptions,
): Promise<readonly GivenAppendResult[]> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const leftMs = Math.max(1, Math.ceil(deadline - performance.now()))
    try {
      return await target.append(appends, { timeoutMs: Math.min(leftMs, attemptMsMax), signal })
    } catch (error) {
      signal.throwIfAborted()
      if (!isGlynError(error) || !error.retryable || performance.now() + pauseMs >= deadline) throw error
    }
    await sleep(pauseMs, undefined, { signal })
  }
}

function conflictError(name: string, conflicts: readonly [Conflict, ...Conflict[]]): GlynError {
  const [{ aggregate, line, expected, found, commandId }] = conflicts
  const more = conflicts.length > 1 ? `, and ${conflicts.length - 1} more aggregates like it` : ''
  const what =
    found === null
      ? `command ${commandId} is there already with other events`
      : `expected at sequence ${expected}, and is at ${found}`
  const text = `${name}, line ${line}: ${aggregate.type}/${aggregate.id} in the store is not as in the file: ${what}${more}. Nothing of this command and what follows it was written there`
  return new GlynError('SEQUENCE_CONFLICT', text, {
    details: { conflicts: conflicts.slice(0, conflictsNamedMax), count: conflicts.length },
  })
}
