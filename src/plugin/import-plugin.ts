// One file becomes one module: imported once per content, with a deadline.
import { pathToFileURL } from 'node:url'
import { GlynError } from '../core/errors.ts'
import { contentParameter, type PluginFile, plainStack } from './plugin-files.ts'
import { installPluginResolution, markPlugin } from './resolve-hook.ts'

export const importTimeoutMsDefault = 10_000

/**
 * The default export. Throws PLUGIN_FAILED with a message `<file>: <cause>` for a syntax error, a module that throws or
 * never resolves, and a missing default export. A module that loops for ever holds its thread: where that must not
 * happen, import in a worker. Node strips no types below `node_modules`, so the `config/` inside the installed package
 * is a template to copy (`glyn-node init`), not a directory to run from.
 */
export async function importPlugin(
  plugin: PluginFile,
  options: { readonly timeoutMs?: number } = {},
): Promise<unknown> {
  const { file, contentHash } = plugin
  installPluginResolution()
  const url = pathToFileURL(file)
  // Another content is another module: the module cache of Node has no other way to forget.
  url.searchParams.set(contentParameter, contentHash.slice(0, 16))
  markPlugin(url.href)
  const timeoutMs = options.timeoutMs ?? importTimeoutMsDefault
  const late = new GlynError('PLUGIN_FAILED', `${file}: its import did not finish within ${timeoutMs} ms`)
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, timeoutMs, late)
  })
  let loaded: Record<string, unknown>
  try {
    loaded = (await Promise.race([import(url.href), deadline])) as Record<string, unknown>
  } catch (cause) {
    if (cause === late) throw late
    throw new GlynError('PLUGIN_FAILED', `${file}: ${describeImportError(cause)}`, { cause })
  } finally {
    clearTimeout(timer)
  }
  if (!('default' in loaded)) {
    const names = Object.keys(loaded).join(', ')
    const found = names === '' ? 'it exports nothing' : `it exports only ${names}`
    throw new GlynError('PLUGIN_FAILED', `${file}: no default export; ${found}`)
  }
  return loaded['default']
}

function describeImportError(error: unknown): string {
  if (!(error instanceof Error)) return `the module threw ${JSON.stringify(error) ?? String(error)}`
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING') {
    return 'Node runs no .ts below node_modules; copy the directory elsewhere (glyn-node init)'
  }
  if (error instanceof SyntaxError || code === 'ERR_INVALID_TYPESCRIPT_SYNTAX') {
    const place = /^file:\S+?:(\d+)$/m.exec(plainStack(error) ?? '')
    return `syntax error${place === null ? '' : ` at line ${place[1]}`}: ${error.message}`
  }
  return `${error.name === 'Error' ? '' : `${error.name}: `}${error.message}`
}
