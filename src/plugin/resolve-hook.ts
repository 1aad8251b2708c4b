// Plugins import `glyn-node` and get the running installation, wherever their directory lies.
import { readFileSync } from 'node:fs'
import { type LoadFnOutput, registerHooks } from 'node:module'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type PluginPart, partOf } from './plugin-parts.ts'

/**
 * Installs the resolution for this thread; workers call it for themselves. Calling it again does nothing. `glyn-node`
 * and `glyn-node/testing` mean this installation (its `.ts` in a checkout, its `.js` when installed), except inside
 * `node_modules`, where packages resolve as usual. Plugins and the files they import by a relative path are ES modules,
 * whatever a package.json above them says, so that a config directory needs none.
 */
export function installPluginResolution(): void {
  if (isInstalled) return
  isInstalled = true
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const parent = context.parentURL
      const installed = installation.get(specifier)
      if (installed !== undefined && !isInPackage(parent)) return nextResolve(installed, context)
      const kept = keptPart(specifier, parent)
      if (kept !== undefined) return { ...kept, shortCircuit: true }
      const resolved = nextResolve(specifier, context)
      const isPart = parent !== undefined && pluginParts.has(parent) && /^\.{0,2}\//.test(specifier)
      // The specifier too: below a symbolic link the resolved URL is another one.
      if (!isPart && !pluginParts.has(specifier) && !pluginParts.has(resolved.url)) return resolved
      const format = formats.get(extname(new URL(resolved.url).pathname))
      if (format === undefined || isInPackage(resolved.url)) return resolved
      pluginParts.add(resolved.url)
      recorder?.requested.set(absolute(specifier, parent), resolved.url)
      return { ...resolved, format }
    },
    load(url, context, nextLoad) {
      if (recorder === undefined || !pluginParts.has(url)) return nextLoad(url, context)
      const { parts, keptSources } = recorder
      const file = fileURLToPath(url)
      const source = keptSources.get(file) ?? readFileSync(file)
      parts.set(file, partOf(file, source))
      return { format: context.format, source, shortCircuit: true } as LoadFnOutput
    },
  })
}

/** The code of one version, as it was loaded: enough to load it again when the files are others or gone. */
export interface KeptCode {
  readonly parts: readonly PluginPart[]
  /** By the URL that was imported: the URL that it led to. */
  readonly requested: ReadonlyMap<string, string>
}

/**
 * From now on the plugin's own files that this thread loads are remembered, byte for byte as they are loaded; with `kept`
 * they are those of before, whatever is on the disk. For a thread that loads one plugin. Before anything is imported.
 */
export function recordParts(kept: KeptCode | null): () => KeptCode {
  const recording: Recorder = {
    parts: new Map(),
    requested: new Map(kept?.requested),
    keptSources: new Map(kept?.parts.map(({ file, source }) => [file, source])),
  }
  recorder = recording
  return () => ({ parts: [...recording.parts.values()], requested: recording.requested })
}

/** Says that the module of this URL is a plugin. Before it is imported. */
export function markPlugin(url: string): void {
  pluginParts.add(url)
}

const ownExtension = extname(import.meta.url)
const installation: ReadonlyMap<string, string> = new Map([
  ['glyn-node', new URL(`../index${ownExtension}`, import.meta.url).href],
  ['glyn-node/testing', new URL(`../testing/index${ownExtension}`, import.meta.url).href],
])

const formats: ReadonlyMap<string, string> = new Map([
  ['.ts', 'module-typescript'],
  ['.js', 'module'],
  ['.mjs', 'module'],
  ['.json', 'json'],
])

/** A plugin's file as it was, without a look at the disk. */
function keptPart(
  specifier: string,
  parent: string | undefined,
): { url: string; format: string } | undefined {
  if (recorder === undefined || recorder.keptSources.size === 0 || !/^(?:\.{0,2}\/|file:)/.test(specifier)) {
    return undefined
  }
  const url = recorder.requested.get(absolute(specifier, parent))
  if (url === undefined) return undefined
  pluginParts.add(url)
  return { url, format: formats.get(extname(new URL(url).pathname)) ?? 'module' }
}

const absolute = (specifier: string, parent: string | undefined): string => new URL(specifier, parent).href

interface Recorder {
  /** By absolute path. */
  readonly parts: Map<string, PluginPart>
  readonly requested: Map<string, string>
  readonly keptSources: ReadonlyMap<string, Uint8Array>
}

let recorder: Recorder | undefined

const isInPackage = (url: string | undefined): boolean => url?.includes('/node_modules/') === true

let isInstalled = false
/** URLs of plugins and of their own files. Bounded by the files that are there, times their contents over time. */
const pluginParts = new Set<string>()
