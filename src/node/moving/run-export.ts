// Writes an export: to a stream, or to a file that gets its name when it is whole. An interrupted one goes on where it was.
import { existsSync } from 'node:fs'
import { type FileHandle, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { GlynError, hasCode } from '../../core/errors.ts'
import { formatToken, parseToken } from '../../core/token.ts'
import { type EventSource, wayOf } from './event-source.ts'
import type { ExportFormatName } from './export-format.ts'
import { createExportFormat } from './export-formats.ts'
import { differenceOf, type ExportHeader, exportVersion } from './export-header.ts'
import { readExport, toProgress } from './export-reader.ts'
import { createExportWriter, type ExportProgress, newProgress } from './export-writer.ts'
import { syncDirectory } from './sync-directory.ts'

/** Text that is gathered before it is written. */
const writeCharacters = 256 * 1024
/** Events between two reports of progress. */
const progressEvents = 1000

export interface ExportOptions {
  readonly format: ExportFormatName
  /** A token: what comes after it is exported; empty for everything. */
  readonly from: string
  /** Only aggregates of these types; null for all. */
  readonly types: readonly string[] | null
  readonly signal: AbortSignal
  readonly onProgress?: (progress: {
    readonly events: number
    readonly done: number
    readonly total: number
  }) => void
}

export interface ExportSummary {
  readonly events: number
  readonly commands: number
  readonly hash: string
  /** Where a later export goes on. */
  readonly token: string
  /** Events that were in the file already when this run began. */
  readonly resumedAfter: number
  /** What is not in it, and why, in words. */
  readonly remarks: readonly string[]
}

/** A file that is not whole yet has this ending. */
export const partOf = (file: string): string => `${file}.part`

/**
 * Writes `<file>.part`, and renames it when it is durable. A part that is there and is of the same export is gone on with
 * after its last good block. Throws INVALID_ARGUMENT when `file` is there, or a part of another export, and what the
 * source throws; the part stays then, for the next attempt.
 */
export async function exportToFile(
  source: EventSource,
  file: string,
  options: ExportOptions,
): Promise<ExportSummary> {
  if (existsSync(file))
    throw new GlynError('INVALID_ARGUMENT', `${file} is there already; name another file, or move it away`)
  const part = partOf(file)
  const header = headerOf(source, options)
  const found = existsSync(part) ? await readPart(part, header) : null
  const handle = await openFile(part, found === null ? 'w' : 'r+')
  try {
    if (found !== null) await handle.truncate(found.bytes)
    let at = found?.bytes ?? 0
    const summary = await write(source, options, {
      header,
      found,
      async put(text) {
        const bytes = Buffer.from(text)
        await writeAll(handle, bytes, at)
        at += bytes.length
      },
    })
    await handle.sync()
    await handle.close()
    await rename(part, file)
    await syncDirectory(dirname(file))
    return summary
  } catch (error) {
    await handle.close()
    throw toFileError(error, part)
  }
}

/** `put` resolves when more may come. */
export const exportToStream = (
  source: EventSource,
  put: (text: string) => Promise<void>,
  options: ExportOptions,
): Promise<ExportSummary> => write(source, options, { header: headerOf(source, options), found: null, put })

const headerOf = (source: EventSource, { format, from, types }: ExportOptions): ExportHeader => ({
  version: exportVersion,
  format,
  history: source.history,
  scope: source.scope,
  partitions: source.partitions,
  from: formatToken(parseToken(from)),
  types,
  startedAt: new Date().toISOString(),
})

async function write(
  source: EventSource,
  options: ExportOptions,
  target: {
    readonly header: ExportHeader
    readonly found: ExportProgress | null
    readonly put: (text: string) => Promise<void>
  },
): Promise<ExportSummary> {
  const { signal, onProgress } = options
  const { header, found, put } = target
  const format = createExportFormat(options.format, source.scope)
  const progress = found ?? newProgress(parseToken(header.from))
  const resumedAfter = progress.events
  const writer = createExportWriter(format, progress)
  const way = wayOf(source.heads, header.from)
  const tell = (): void =>
    onProgress?.({ events: progress.events, done: way.done(progress.positions), total: way.total })
  let text = found === null ? writer.begin({ ...header }) : ''
  const from = formatToken(progress.positions)
  let count = 0
  for await (const event of source.events({ from, types: options.types, signal })) {
    text += writer.add(event)
    if (text.length >= writeCharacters) {
      await put(text)
      text = ''
    }
    count += 1
    if (count % progressEvents === 0) tell()
  }
  // Whoever reads a source that was told to stop is told the end, and not that it is none.
  signal.throwIfAborted()
  await put(text + writer.end())
  tell()
  return {
    events: progress.events,
    commands: progress.commands,
    hash: progress.content.text(),
    token: formatToken(progress.positions),
    resumedAfter,
    remarks: source.remarks(),
  }
}

/** What of the part is good; null when nothing is. Throws INVALID_ARGUMENT for a part of another export. */
async function readPart(part: string, wanted: ExportHeader): Promise<ExportProgress | null> {
  const handle = await openFile(part, 'r')
  let good: ExportProgress | null = null
  try {
    for await (const read of readExport(handle.createReadStream({ autoClose: false }), part)) {
      if (read.type === 'header') {
        const difference = differenceOf(read.header, wanted)
        if (difference === null) continue
        const text = `${part} is the part of another export: ${difference}; move it away, or name another file`
        throw new GlynError('INVALID_ARGUMENT', text)
      }
      // Whole, but not renamed: it is written anew, with what has happened since.
      if (read.type === 'end') return null
      if (!read.isLast) good = toProgress(read.progress)
    }
  } catch (error) {
    // Cut off by the interruption, or by a power cut somewhere in the middle: what comes before is good.
    if (!hasCode(error, 'FILE_DAMAGED')) throw toFileError(error, part)
  } finally {
    await handle.close()
  }
  return good
}

async function openFile(path: string, flags: string): Promise<FileHandle> {
  try {
    return await open(path, flags, 0o600)
  } catch (error) {
    throw toFileError(error, path)
  }
}

async function writeAll(handle: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done)
    done += bytesWritten
  }
}

/** The errors of the file system in our words; all others as they are. */
export function toFileError(error: unknown, path: string): unknown {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException
  if (code === 'ENOSPC') return new GlynError('STORE_FULL', `${path}: the disk is full`, { cause: error })
  if (typeof code !== 'string' || typeof syscall !== 'string') return error
  const text = `${path} cannot be read or written: ${(error as Error).message}`
  return new GlynError(code === 'EIO' ? 'EVENT_STORE_ERROR' : 'INVALID_ARGUMENT', text, { cause: error })
}
