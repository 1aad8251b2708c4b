// The two places where a query can run: a thread of its own, or the thread that is here.

import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { Worker } from 'node:worker_threads'
import type { Clock } from '../core/clock.ts'
import type { PluginFile } from '../plugin/plugin-files.ts'
import type { KeptCode } from '../plugin/resolve-hook.ts'
import type { NormalQuery } from './define-query.ts'
import { startQueryRunner } from './query-runner.ts'
import type { QueryWorkerData } from './query-worker.ts'
import type { ConnectReadModel } from './read-model.ts'
import { type RunnerEvents, type RunnerHandle, type ToRunner, toErrorText } from './runner-messages.ts'

/** Starts a runner that loads its query at once: `kept`, or what is on the disk. */
export type SpawnRunner = (events: RunnerEvents, kept: KeptCode | null) => RunnerHandle

export interface WorkerSettings {
  readonly importTimeoutMs: number
  readonly heapMbMax: number
  /** Becomes `GLYN_DATA_DIR` of the plugin's environment. */
  readonly dataDirectory: string | null
  /** Each line that the plugin writes to stdout or stderr. */
  onOutput(line: string): void
}

/** Isolation: a plugin that loops, leaks or exits does so alone. */
export function spawnInWorker(plugin: PluginFile, settings: WorkerSettings): SpawnRunner {
  return (events, kept) => {
    // What the process preloads is not the plugin's: its memory and the time to start it are bounded.
    const {
      GLYN_DATA_DIR: _,
      NODE_OPTIONS: __,
      ...inherited
    } = process.env as Readonly<Record<string, string | undefined>>
    const { dataDirectory } = settings
    const worker = new Worker(new URL(`./query-worker${extname(import.meta.url)}`, import.meta.url), {
      workerData: { plugin, importTimeoutMs: settings.importTimeoutMs, kept } satisfies QueryWorkerData,
      env: dataDirectory === null ? inherited : { ...inherited, GLYN_DATA_DIR: dataDirectory },
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: settings.heapMbMax },
      name: 'glyn-query',
      stdout: true,
      stderr: true,
    })
    let crash: unknown
    worker.on('message', message => events.onMessage(message))
    worker.on('error', error => {
      crash = error
    })
    const exited = new Promise<void>(resolve => {
      worker.on('exit', code => {
        const reason = crash ?? (code === 0 ? undefined : new Error(`its thread ended with code ${code}`))
        events.onExit(reason === undefined ? null : toErrorText(reason))
        resolve()
      })
    })
    for (const stream of [worker.stdout, worker.stderr]) forwardLines(stream, settings.onOutput)
    return {
      post: message => worker.postMessage(message),
      async terminate() {
        await worker.terminate()
        await exited
      },
    }
  }
}

/**
 * For definitions that came as objects: functions cannot go to another thread. No isolation: a handler that loops holds
 * up everything, and only one that waits for ever (function form) is noticed. Everything else is the same code.
 */
export function spawnInline(query: NormalQuery, clock: Clock, connect?: ConnectReadModel): SpawnRunner {
  return events => {
    let receive: ((message: ToRunner) => void) | undefined
    let isOver = false
    const end = (): void => {
      if (isOver) return
      isOver = true
      queueMicrotask(() => events.onExit(null))
    }
    startQueryRunner({
      port: {
        post: message => queueMicrotask(() => isOver || events.onMessage(message)),
        onMessage: listener => {
          receive = listener
        },
        close: end,
      },
      load: () => Promise.resolve(query),
      soon: action => void clock.soon(action),
      now: () => clock.now(),
      wallTime: () => clock.wallTime(),
      connect,
      // The host reads for queries on its own thread: it has a connection already.
      openReader: () => Promise.reject(new Error('a query on the main thread reads through the host')),
    })
    return {
      post: message => queueMicrotask(() => isOver || receive?.(message)),
      async terminate() {
        receive?.({ type: 'close', isUrgent: true })
        end()
      },
    }
  }
}

/** Lines longer than this are cut: a plugin's output is for people to read. */
const lineLengthMax = 8192

function forwardLines(stream: Readable, onLine: (line: string) => void): void {
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', line => {
    onLine(line.length > lineLengthMax ? `${line.slice(0, lineLengthMax)}…` : line)
  })
}
