// The files that make up one version of a plugin: itself and what it imports by relative paths. Together they are its identity.
import { createHash } from 'node:crypto'
import { dirname, relative, sep } from 'node:path'

export interface PluginPart {
  /** Absolute path. */
  readonly file: string
  /** SHA-256 of the bytes, hex. */
  readonly hash: string
  readonly source: Uint8Array
}

export const partOf = (file: string, source: Uint8Array): PluginPart => ({
  file,
  hash: hashBytes(source),
  source,
})

export const hashBytes = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/**
 * SHA-256, hex: of the plugin's own file alone when it has no other parts; else over all of them and where they lie from
 * there. The name of the plugin's file and the directory do not count: a plugin that moves is the same.
 */
export function hashParts(parts: readonly Pick<PluginPart, 'file' | 'hash'>[]): string {
  const [own, ...others] = parts
  if (own === undefined) throw new Error('a plugin has one part at least')
  if (others.length === 0) return own.hash
  const folder = dirname(own.file)
  const rows = others.map(({ file, hash }) => [relative(folder, file).split(sep).join('/'), hash] as const)
  rows.sort(([a], [b]) => (a < b ? -1 : 1))
  return hashBytes(Buffer.from(JSON.stringify([own.hash, rows])))
}
