// The thread of one query that came as a file: imports it here, so that whatever it does, it does to this thread only.
import { parentPort, workerData } from 'node:worker_threads'
import { InvariantError } from '../core/assert.ts'
import { importPlugin } from '../plugin/import-plugin.ts'
import { type PluginFile, stemOf } from '../plugin/plugin-files.ts'
import { type KeptCode, recordParts } from '../plugin/resolve-hook.ts'
import { normalizeQuery } from './define-query.ts'
import type { LogFileReader } from './query.ts'
import { startQueryRunner } from './query-runner.ts'
import type { ToRunner } from './runner-messages.ts'

export interface QueryWorkerData {
  readonly plugin: PluginFile
  readonly importTimeoutMs: number
  /** Loads this, not what is on the disk. */
  readonly kept: KeptCode | null
}

if (parentPort === null) throw new InvariantError('query-worker runs as a worker thread only')
const port = parentPort
const { plugin, importTimeoutMs, kept } = workerData as QueryWorkerData
const code = recordParts(kept)

startQueryRunner({
  port: {
    post: message => port.postMessage(message),
    onMessage: listener => void port.on('message', (message: ToRunner) => listener(message)),
    // Nothing of ours holds the thread any more. A timer of the plugin may: the host ends it after its patience.
    close: () => port.close(),
  },
  async load() {
    const value = await importPlugin(plugin, { timeoutMs: importTimeoutMs })
    try {
      return normalizeQuery(value, stemOf(plugin.file))
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new Error(`${plugin.file}: the default export is not a valid query: ${why}`, { cause })
    }
  },
  code,
  soon: action => void setImmediate(action),
  now: () => performance.now(),
  wallTime: () => Date.now(),
  async openReader({ path, readerModule }) {
    const { openLogReader } = (await import(readerModule)) as { openLogReader(path: string): LogFileReader }
    return openLogReader(path)
  },
})
