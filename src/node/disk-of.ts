// How much room the disk of a directory has.
import { statfsSync } from 'node:fs'

/** Null in memory, and where the system does not tell: then nothing is said about the disk. */
export function diskOf(
  path: string | null,
): { readonly path: string; readonly freeBytes: number; readonly totalBytes: number } | null {
  if (path === null) return null
  try {
    const { bsize, blocks, bavail } = statfsSync(path)
    return blocks === 0 ? null : { path, freeBytes: bsize * bavail, totalBytes: bsize * blocks }
  } catch {
    return null
  }
}
