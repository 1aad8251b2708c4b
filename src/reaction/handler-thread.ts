// A handler file and its thread: started, started again when it ends or loops, and asked to handle events.
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { Worker } from 'node:worker_threads'
import type { Cancel, Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { type PluginFile, stemOf } from '../plugin/plugin-files.ts'
import type { ErrorText, FromHandler, HandlerWorkerData, ToHandler } from './handler-messages.ts'
import type { HandlerFacts } from './handler-reaction.ts'
import { backoffMs, type LastError } from './reaction.ts'
import type { HandlerCall } from './run-handler.ts'

const heapMbMax = 512
/** From the start of a thread until its file is imported. */
const loadMsMax = 15_000
/** Before a file that failed to load is tried again. */
const loadBackoffMs = 30_000
/** A call whose time is up and that does not even end then holds its thread: the thread is ended. */
const graceMs = 2000
/** Lines of output that are logged per second. */
const linesPerSecondMax = 200
const lineLengthMax = 8192

export interface HandlerThread {
  readonly file: string
  /** Undefined until it has loaded for the first time. */
  facts(): HandlerFacts | undefined
  state(): 'loading' | 'running' | 'retrying' | 'failed'
  lastError(): LastError | null
  /** Rejects with what the handler threw, with TIMEOUT, or when its thread ended. */
  call(call: HandlerCall, signal: AbortSignal): Promise<void>
  /** Resolves when it has loaded or failed to, for the first time. */
  start(): Promise<void>
  close(): Promise<void>
}

interface Call {
  readonly message: Extract<ToHandler, { type: 'handle' }>
  /** The thread has it. Its time runs from then on. */
  isGiven: boolean
  stopTimer: Cancel
  readonly finish: (error?: Error) => void
}

export function createHandlerThread(init: {
  readonly plugin: PluginFile
  readonly clock: Clock
  readonly log: Log
  /** Throws when the name is taken: the handler does not run then. */
  readonly onLoaded: (facts: HandlerFacts) => void
}): HandlerThread {
  const { plugin, clock, log } = init
  const { file } = plugin
  const calls = new Map<number, Call>()
  /** What the thread had when it was lost, where that was more than one: each is given alone, until all have ended. */
  const suspects = new Set<Call>()
  let worker: Worker | undefined
  let facts: HandlerFacts | undefined
  let state: ReturnType<HandlerThread['state']> = 'loading'
  let lastError: LastError | null = null
  let lastId = 0
  let crashes = 0
  let isClosed = false
  let onFirst: (() => void) | undefined
  let cancelRestart: Cancel | undefined
  let cancelLoad: Cancel | undefined
  const name = (): string => facts?.name ?? stemOf(file)
  const onLine = outputLog({ log, clock, fields: () => ({ handler: name(), file }) })

  function spawn(): void {
    // What the process preloads is not the plugin's.
    const { NODE_OPTIONS: _, ...env } = process.env as Readonly<Record<string, string | undefined>>
    const own = new Worker(new URL(`./handler-worker${extname(import.meta.url)}`, import.meta.url), {
      workerData: { plugin, importTimeoutMs: loadMsMax } satisfies HandlerWorkerData,
      env,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: heapMbMax },
      name: 'glyn-handler',
      stdout: true,
      stderr: true,
    })
    worker = own
    let crash: unknown
    own.on('message', (message: FromHandler) => {
      if (worker === own) receive(message)
    })
    own.on('error', error => {
      crash = error
    })
    own.on('exit', code => {
      if (worker !== own) return
      const why = crash instanceof Error ? crash : new Error(`its thread ended with code ${code}`)
      lose({ message: why.message, stack: why.stack ?? null })
    })
    for (const stream of [own.stdout, own.stderr])
      createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', onLine)
    cancelLoad = clock.after(loadMsMax + graceMs, () =>
      failToLoad({ message: `${file}: it did not load within ${loadMsMax} ms`, stack: null }),
    )
  }

  function receive(message: FromHandler): void {
    switch (message.type) {
      case 'loaded':
        cancelLoad?.()
        try {
          checkSameName(message.facts)
          init.onLoaded(message.facts)
        } catch (error) {
          failToLoad({ message: error instanceof Error ? error.message : String(error), stack: null })
          return
        }
        facts = message.facts
        state = 'running'
        giveNext()
        firstIsOver()
        return
      case 'load-failed':
        failToLoad(message.error)
        return
      case 'done':
        crashes = 0
        calls.get(message.id)?.finish()
        return
      case 'failed':
        calls.get(message.id)?.finish(toError(message.error))
    }
  }

  /** The file is read again with each thread, and another name is another handler, with a place of its own in the log. */
  function checkSameName(loaded: HandlerFacts): void {
    if (facts === undefined || facts.name === loaded.name) return
    throw new GlynError(
      'PLUGIN_FAILED',
      `${file}: its name is ${loaded.name} now, and was ${facts.name} when the node started; allowed: the same name until the node starts again`,
    )
  }

  function giveNext(): void {
    if (isClosed || state !== 'running') return
    if (suspects.size === 0) {
      for (const call of calls.values()) if (!call.isGiven) give(call)
      return
    }
    for (const suspect of suspects) {
      if (!suspect.isGiven) give(suspect)
      return
    }
  }

  function give(call: Call): void {
    const timeoutMs = facts?.timeoutMs ?? 0
    call.isGiven = true
    worker?.postMessage(call.message)
    call.stopTimer = clock.after(timeoutMs + graceMs, () => {
      const message = `a call did not return within ${timeoutMs} ms, and holds its thread`
      lose({ message, stack: null })
    })
  }

  function firstIsOver(): void {
    onFirst?.()
    onFirst = undefined
  }

  function remember({ message, stack }: ErrorText): void {
    lastError = { message, stack, time: new Date(clock.wallTime()).toISOString() }
  }

  function failToLoad(error: ErrorText): void {
    remember(error)
    state = 'failed'
    log.error({ handler: name(), file, stack: error.stack }, `handler ${name()}: ${error.message}`)
    restart(loadBackoffMs)
    firstIsOver()
  }

  /** The thread is gone, or useless. A call that it had alone is to blame; of several, nobody knows which. */
  function lose(error: ErrorText): void {
    if (isClosed) return
    const given = [...calls.values()].filter(({ isGiven }) => isGiven)
    for (const call of given) {
      call.stopTimer()
      call.isGiven = false
      if (given.length > 1) suspects.add(call)
    }
    const before = state
    // Nothing is given to a thread that is gone.
    state = 'retrying'
    if (given.length === 1) given[0]?.finish(toError(error))
    if (before === 'loading') {
      failToLoad(error)
      return
    }
    remember(error)
    crashes += 1
    const delayMs = backoffMs(crashes)
    const text = `handler ${name()}: ${error.message}; its thread is started again in ${delayMs} ms`
    log.error({ handler: name(), file, stack: error.stack }, text)
    restart(delayMs)
  }

  function restart(delayMs: number): void {
    cancelLoad?.()
    void worker?.terminate()
    worker = undefined
    cancelRestart?.()
    if (!isClosed) cancelRestart = clock.after(delayMs, spawn)
  }

  return {
    file,
    facts: () => facts,
    state: () => state,
    lastError: () => lastError,
    call(handling, signal) {
      lastId += 1
      const id = lastId
      return new Promise<void>((resolve, reject) => {
        const onAbort = (): void => {
          if (call.isGiven) worker?.postMessage({ type: 'abort', id } satisfies ToHandler)
          call.finish(new GlynError('UNAVAILABLE', `handler ${name()} was interrupted`))
        }
        const call: Call = {
          message: { type: 'handle', id, ...handling },
          isGiven: false,
          stopTimer: () => {},
          finish(error) {
            calls.delete(id)
            suspects.delete(call)
            call.stopTimer()
            signal.removeEventListener('abort', onAbort)
            if (error === undefined) resolve()
            else reject(error)
            giveNext()
          },
        }
        calls.set(id, call)
        signal.addEventListener('abort', onAbort)
        giveNext()
      })
    },
    start() {
      const first = new Promise<void>(resolve => {
        onFirst = resolve
      })
      spawn()
      return first
    },
    async close() {
      isClosed = true
      cancelRestart?.()
      cancelLoad?.()
      const own = worker
      worker = undefined
      for (const { finish } of [...calls.values()])
        finish(new GlynError('SHUTTING_DOWN', 'the node is stopping'))
      await own?.terminate()
    },
  }
}

function toError({ message, stack }: ErrorText): Error {
  const error = new Error(message)
  error.stack = stack ?? message
  return error
}

/** What a handler prints becomes log lines: stdout of the node belongs to its commands. */
function outputLog(init: {
  readonly log: Log
  readonly clock: Clock
  readonly fields: () => Record<string, unknown>
}): (line: string) => void {
  let second = Number.NEGATIVE_INFINITY
  let lines = 0
  return line => {
    const now = Math.floor(init.clock.now() / 1000)
    if (now !== second) {
      const dropped = lines - linesPerSecondMax
      if (dropped > 0) init.log.warn({ ...init.fields(), dropped }, `${dropped} lines of output were dropped`)
      second = now
      lines = 0
    }
    lines += 1
    if (lines > linesPerSecondMax) return
    init.log.info(init.fields(), line.length > lineLengthMax ? `${line.slice(0, lineLengthMax)}…` : line)
  }
}
