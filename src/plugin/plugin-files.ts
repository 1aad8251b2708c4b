// Which files of a folder are plugins, which are not, and why.
import { readdir, readFile } from 'node:fs/promises'
import { basename, extname, join, resolve } from 'node:path'
import { hashBytes } from './plugin-parts.ts'

export interface PluginFile {
  /** Absolute path. */
  readonly file: string
  /** SHA-256 of the file's bytes, hex. What the file imports counts too, once it is loaded: see `hashParts`. */
  readonly contentHash: string
}

export interface IgnoredFile {
  /** Absolute path. */
  readonly file: string
  readonly why: string
}

export interface FailedFile {
  /** Absolute path. */
  readonly file: string
  /** Names the path and the cause. */
  readonly message: string
  readonly stack: string | null
}

export interface PluginFiles {
  /** Sorted by name. */
  readonly files: readonly PluginFile[]
  readonly failed: readonly FailedFile[]
  readonly ignored: readonly IgnoredFile[]
  /** Files whose names start with `_`: plugins may import them. */
  readonly helpers: readonly PluginFile[]
}

/** Lists a folder. A folder that is not there is empty, with a note among the ignored. */
export async function listPluginFiles(directory: string): Promise<PluginFiles> {
  const files: PluginFile[] = []
  const failed: FailedFile[] = []
  const ignored: IgnoredFile[] = []
  const helpers: PluginFile[] = []
  const folder = resolve(directory)
  let names: string[]
  try {
    names = (await readdir(folder)).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      ignored.push({ file: folder, why: 'the directory does not exist' })
    } else {
      failed.push(failureOf(folder, 'cannot be listed', error))
    }
    return { files, failed, ignored, helpers }
  }
  for (const name of names) {
    const file = join(folder, name)
    const why = whyIgnored(name)
    if (why !== null) ignored.push({ file, why })
    if (why !== null && !isHelper(name)) continue
    try {
      const plugin = { file, contentHash: hashBytes(await readFile(file)) }
      if (why === null) files.push(plugin)
      else helpers.push(plugin)
    } catch (error) {
      if (why !== null) continue
      if ((error as NodeJS.ErrnoException).code === 'EISDIR') ignored.push({ file, why: 'it is a directory' })
      else failed.push(failureOf(file, 'cannot be read', error))
    }
  }
  return { files, failed, ignored, helpers }
}

/** Null for a plugin. */
export function whyIgnored(name: string): string | null {
  if (name.startsWith('.')) return 'its name starts with .'
  if (name.startsWith('_')) return 'its name starts with _ (a helper of other files)'
  if (/\.d\.[cm]?ts$/.test(name)) return 'it holds declarations only'
  if (/\.(test|spec)\.[cm]?[jt]s$/.test(name)) return 'it is a test'
  if (!pluginExtensions.includes(extname(name))) {
    return `its extension is ${extname(name) === '' ? 'missing' : extname(name)}; allowed: ${pluginExtensions.join(', ')}`
  }
  return null
}

const isHelper = (name: string): boolean =>
  name.startsWith('_') && [...pluginExtensions, '.json'].includes(extname(name))

/** `bank-account` of `/config/aggregates/bank-account.ts`. */
export const stemOf = (file: string): string => basename(file, extname(file))

/** A failure with a message `<file>: <what>: <cause>`. */
export function failureOf(file: string, what: string, error: unknown): FailedFile {
  const cause = error instanceof Error ? error.message : String(error)
  return { file, message: `${file}: ${what}: ${cause}`, stack: plainStack(error) }
}

/** The query part that every plugin is imported with; see `importPlugin`. */
export const contentParameter = 'content'

/** The stack of an error, with the plain paths of plugins; null when there is none. */
export function plainStack(error: unknown): string | null {
  if (!(error instanceof Error) || error.stack === undefined) return null
  return error.stack.replaceAll(contentSuffix, '')
}

const contentSuffix = new RegExp(`\\?${contentParameter}=[0-9a-f]{16}`, 'g')

const pluginExtensions: readonly string[] = ['.ts', '.js', '.mjs']
