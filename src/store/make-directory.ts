// Makes a folder step by step. Not with `recursive`: where the system answers ENOENT for a folder that cannot be made, as
// under /proc, Node 24 makes the parent and tries again, for ever.
import { mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { GlynError } from '../core/errors.ts'

/**
 * Makes the folder and the folders above it that are missing, and leaves those alone that exist. `what` names it for
 * people. Throws STORE_FULL when the disk is full, STORE_READ_ONLY for every other reason.
 */
export function makeDirectory(
  path: string,
  options: { readonly what: string; readonly mode?: number },
): void {
  const { what, mode = 0o777 } = options
  const missing: string[] = []
  for (let folder = resolve(path); !isDirectory(folder); folder = dirname(folder)) {
    missing.unshift(folder)
    if (dirname(folder) === folder) break
  }
  for (const folder of missing) {
    try {
      mkdirSync(folder, { mode })
    } catch (cause) {
      // Another process may have made it just now.
      if (isDirectory(folder)) continue
      throw explain(cause, { path, folder, what })
    }
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  } catch {
    // A parent that is a file, or may not be looked into: making it says why.
    return false
  }
}

function explain(
  cause: unknown,
  names: { readonly path: string; readonly folder: string; readonly what: string },
): GlynError {
  const { code = 'unknown error' } = cause as NodeJS.ErrnoException
  const at = resolve(names.path) === names.folder ? '' : `: ${names.folder}`
  const text = `${names.what} ${names.path} cannot be made${at}: ${reasons[code] ?? (cause as Error).message} (${code})`
  return new GlynError(code === 'ENOSPC' ? 'STORE_FULL' : 'STORE_READ_ONLY', text, { cause })
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'the folder above it belongs to another user',
  EPERM: 'the system does not allow it',
  EROFS: 'the disk is read-only',
  EEXIST: 'there is a file of this name',
  ENOTDIR: 'there is a file where a folder should be',
  ENOENT: 'the system allows no folders there',
  ENOSPC: 'the disk is full',
  ENAMETOOLONG: 'the name is too long',
}
