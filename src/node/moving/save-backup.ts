// Takes a backup into a file that gets its name when it is whole, proven and durable.
import { type BigIntStats, createReadStream, existsSync } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { GlynError } from '../../core/errors.ts'
import type { BackupHeader, BackupSummary } from './backup-contents.ts'
import { readBackup } from './read-backup.ts'
import { toFileError } from './run-export.ts'
import { syncDirectory } from './sync-directory.ts'

export interface BackupProgress {
  readonly onProgress?: (header: BackupHeader, entries: number) => void
}

/** Throws INVALID_ARGUMENT when the file is there, or another backup writes it meanwhile; what fails leaves no file. */
export async function saveBackup(
  source: AsyncIterable<Uint8Array>,
  file: string,
  options: BackupProgress & { readonly signal: AbortSignal },
): Promise<BackupSummary> {
  if (existsSync(file))
    throw new GlynError('INVALID_ARGUMENT', `${file} is there already; name another file, or move it away`)
  const part = `${file}.part`
  let made: BigIntStats | undefined
  try {
    // A file of its own: whoever still writes the one that was there finds out at its end.
    await rm(part, { force: true })
    const handle = await open(part, 'wx', 0o600)
    try {
      made = await handle.stat({ bigint: true })
      const onBytes = async (bytes: Buffer): Promise<void> => {
        options.signal.throwIfAborted()
        await handle.writeFile(bytes)
      }
      const summary = await readToEnd(source, 'the backup', { ...options, onBytes })
      await handle.sync()
      if (!(await isStill(part, made)) || existsSync(file))
        throw new GlynError(
          'INVALID_ARGUMENT',
          `${file}: another one writes a backup there; name another file`,
        )
      await handle.close()
      await rename(part, file)
      await syncDirectory(dirname(file))
      return summary
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (made !== undefined && (await isStill(part, made))) await rm(part, { force: true })
    throw toFileError(error, part)
  }
}

/** False: somebody else has made the file anew, or taken it away. */
async function isStill(path: string, made: BigIntStats): Promise<boolean> {
  try {
    const { ino, dev } = await stat(path, { bigint: true })
    return ino === made.ino && dev === made.dev
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** Throws FILE_DAMAGED, which says what is damaged and where; INVALID_ARGUMENT when it cannot be read. */
export async function verifyBackup(file: string, options: BackupProgress = {}): Promise<BackupSummary> {
  try {
    return await readToEnd(createReadStream(file, { highWaterMark: 1024 * 1024 }), file, options)
  } catch (error) {
    throw toFileError(error, file)
  }
}

export async function readToEnd(
  source: AsyncIterable<Uint8Array>,
  name: string,
  options: BackupProgress & { readonly onBytes?: (bytes: Buffer) => Promise<void> },
): Promise<BackupSummary> {
  let header: BackupHeader | null = null
  let count = 0
  let summary: BackupSummary | null = null
  for await (const part of readBackup(source, name, options)) {
    if (part.type === 'header') header = part.header
    else if (part.type === 'end') summary = part.summary
    else count += part.entries.length
    if (header !== null) options.onProgress?.(header, count)
  }
  if (summary !== null) return summary
  throw new GlynError('FILE_DAMAGED', `${name}: it has no end`)
}
