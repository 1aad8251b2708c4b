// A folder of plugins becomes definitions. What does not load is reported and disturbs nothing else.
import { GlynError } from '../core/errors.ts'
import { importPlugin } from './import-plugin.ts'
import { type FailedFile, failureOf, type IgnoredFile, listPluginFiles, plainStack } from './plugin-files.ts'

export interface LoadedPlugin<Definition> {
  /** Absolute path. */
  readonly file: string
  readonly definition: Definition
  /** SHA-256 of the file, hex. */
  readonly contentHash: string
}

export interface PluginFolder<Definition> {
  /** Sorted by file name. */
  readonly loaded: readonly LoadedPlugin<Definition>[]
  readonly failed: readonly FailedFile[]
  readonly ignored: readonly IgnoredFile[]
}

export interface PluginFolderOptions<Definition> {
  readonly directory: string
  /** What the files define, for messages: `aggregate`. */
  readonly kind: string
  /** Throws, with a message that names the field, unless the default export is a definition. */
  readonly check: (value: unknown, file: string) => Definition
  /** What must be unique in the folder. */
  readonly nameOf: (definition: Definition) => string
  /** For each file. Default 10 000. */
  readonly importTimeoutMs?: number
}

/** Imports on this thread, one file after the other. Never throws for what is in the folder. */
export async function loadPluginFolder<Definition>(
  options: PluginFolderOptions<Definition>,
): Promise<PluginFolder<Definition>> {
  const { directory, kind, check, nameOf, importTimeoutMs } = options
  const { files, failed: unreadable, ignored } = await listPluginFiles(directory)
  const failed: FailedFile[] = [...unreadable]
  const candidates: LoadedPlugin<Definition>[] = []
  for (const plugin of files) {
    try {
      const value = await importPlugin(
        plugin,
        importTimeoutMs === undefined ? {} : { timeoutMs: importTimeoutMs },
      )
      candidates.push({ ...plugin, definition: checked(value, { check, kind, file: plugin.file }) })
    } catch (error) {
      failed.push(toFailure(plugin.file, error))
    }
  }
  const byName = Map.groupBy(candidates, candidate => nameOf(candidate.definition))
  for (const [name, twins] of byName) {
    if (twins.length === 1) continue
    for (const { file } of twins) {
      const others = twins.filter(twin => twin.file !== file).map(twin => twin.file)
      const message = `${file}: ${kind} ${name} is also defined by ${others.join(', ')}; none of them is loaded`
      failed.push({ file, message, stack: null })
    }
  }
  const loaded = candidates.filter(({ definition }) => byName.get(nameOf(definition))?.length === 1)
  return { loaded, failed, ignored }
}

function checked<Definition>(
  value: unknown,
  options: Pick<PluginFolderOptions<Definition>, 'check' | 'kind'> & { readonly file: string },
): Definition {
  try {
    return options.check(value, options.file)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    const text = `${options.file}: the default export is not a valid ${options.kind}: ${why}`
    throw new GlynError('PLUGIN_FAILED', text, { cause })
  }
}

/** The stack of the plugin's own error where there is one. */
function toFailure(file: string, error: unknown): FailedFile {
  if (!(error instanceof GlynError)) return failureOf(file, 'failed', error)
  return { file, message: error.message, stack: plainStack(error.cause) }
}
