// Takes a backup into a file that gets its name when it is whole, proven and durable.
import { createReadStream, existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { GlynError } from '../../core/errors.ts'
import type { BackupHeader, BackupSummary } from './backup-contents.ts'
import { readBackup } from './read-backup.ts'
import { toFileError } from './run-export.ts'
import { syncDirectory } from './sync-directory.ts'

export interface BackupProgress {
  readonly onProgress?: (header: BackupHeader, entries: number) => void
}

/** Throws INVALID_ARGUMENT when the file is there; what fails leaves no file. */
export async function saveBackup(
  source: AsyncIterable<Uint8Array>,
  file: string,
  options: BackupProgress & { readonly signal: AbortSignal },
): Promise<BackupSummary> {
  if (existsSync(file))
    throw new GlynError('INVALID_ARGUMENT', `${file} is there already; name another file, or move it away`)
  const part = `${file}.part`
  try {
    const handle = await open(part, 'w', 0o600)
    try {
      const onBytes = async (bytes: Buffer): Promise<void> => {
        options.signal.throwIfAborted()
        await handle.writeFile(bytes)
      }
      const summary = await readToEnd(source, 'the backup', { ...options, onBytes })
      await handle.sync()
      await handle.close()
      await rename(part, file)
      await syncDirectory(dirname(file))
      return summary
    } finally {
      await handle.close()
    }
  } catch (error) {
    await rm(part, { force: true })
    throw toFileError(error, part)
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
