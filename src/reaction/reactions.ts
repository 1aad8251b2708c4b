// All handlers and processes of one node: they run where the partition leads, and follow the leadership.
import type { AnyAggregate } from '../core/aggregate.ts'
import { GlynError } from '../core/errors.ts'
import { type PluginFile, stemOf } from '../plugin/plugin-files.ts'
import { checkpointAggregate } from './checkpoint-aggregate.ts'
import type { CursorStatus } from './cursor.ts'
import { type AnyHandler, type AnyHandlerFunction, normalizeHandler } from './define-handler.ts'
import { type AnyProcess, checkProcess } from './define-process.ts'
import { type HandlerFacts, handlerKey, handlerReaction } from './handler-reaction.ts'
import { createHandlerThread, type HandlerThread } from './handler-thread.ts'
import { createPartitionReactions, type Led, type PartitionReactions } from './partition-reactions.ts'
import { processAggregate } from './process-aggregate.ts'
import { processKeys, processReactions } from './process-reactions.ts'
import { type LastError, pause, type Reaction, type ReactionEnvironment } from './reaction.ts'
import { runHandler } from './run-handler.ts'

/** A file, which runs in a thread of its own, or a definition given in code, which runs on this one. */
export type HostedHandler = PluginFile | AnyHandler | AnyHandlerFunction

export interface HostedProcess {
  readonly definition: AnyProcess
  /** Null: given in code. */
  readonly file: string | null
}

/** How a handler or a process is, on the node that was asked. */
export interface ReactionStatus {
  readonly name: string
  readonly kind: 'handler' | 'process'
  readonly file: string | null
  /**
   * `loading`: its file, or how far it was on some partition. `retrying`: something failed and is tried again, see `lastError`.
   * `stopped`: on some partition, as its `onError` says.
   */
  readonly state: 'loading' | 'running' | 'retrying' | 'stopped' | 'failed'
  /** Partitions that this node leads, and so runs it for. */
  readonly partitions: number
  /** Entries of these partitions that it has not seen or not finished yet. */
  readonly lag: number
  /** Of these partitions: timers that are not due yet. */
  readonly timers: number
  readonly lastError: LastError | null
}

export interface ReactionsInit {
  readonly environment: ReactionEnvironment
  readonly handlers: readonly HostedHandler[]
  readonly processes: readonly HostedProcess[]
}

export interface Reactions {
  /** What the node must host for them, by type. */
  readonly aggregates: ReadonlyMap<string, AnyAggregate>
  /** Resolves when each handler file has loaded, or failed to, or after some seconds: those go on beside the node. */
  start(): Promise<void>
  /** This node serves the partition in this term, and `commitIndex` was committed when it began to. */
  lead(partition: number, facts: { readonly term: number; readonly commitIndex: number }): void
  /** This node does not lead the partition. */
  leave(partition: number): void
  /** Committed and durable here. */
  committed(partition: number, index: number): void
  /** Sorted by kind and name. */
  status(): readonly ReactionStatus[]
  /** Finishes what is under way, within a bound, and writes down how far everything is. Nothing new is begun. */
  drain(): Promise<void>
  close(): Promise<void>
}

/** `start()` waits no longer for files that load slowly. */
const startMsMax = 3000
/** A stop waits so long for what is under way, and so long for the checkpoints that follow. */
const finishMsMax = 1000
const flushMsMax = 1000

/** Throws INVALID_ARGUMENT for a definition given in code that is none, or a name given twice. */
export function createReactions(init: ReactionsInit): Reactions {
  const { environment } = init
  const { clock } = environment
  const led = new Map<number, PartitionReactions>()
  const inline = new Map<string, (context: Led) => Reaction>()
  const threads: HandlerThread[] = []
  const names = new Map<string, string>()
  let isDraining = false

  for (const hosted of init.handlers) {
    if (typeof hosted === 'object' && 'contentHash' in hosted) {
      const thread = createHandlerThread({
        plugin: hosted,
        clock,
        log: environment.log,
        onLoaded(facts) {
          claim('handler', facts.name, hosted.file)
          clock.soon(refresh)
        },
      })
      threads.push(thread)
      continue
    }
    const handler = normalizeHandler(hosted)
    claim('handler', handler.name, 'a definition given in code')
    const reaction = handlerReaction(
      () => handler,
      (call, signal) => runHandler(handler, call, { signal, clock }),
    )
    inline.set(handler.name, () => reaction)
  }
  const processes = new Map(
    init.processes.map(hosted => {
      checkProcess(hosted.definition)
      const { name } = hosted.definition
      claim('process', name, hosted.file ?? 'a definition given in code')
      return [name, hosted]
    }),
  )
  const isNeeded = init.handlers.length + init.processes.length > 0
  const aggregates = new Map<string, AnyAggregate>(
    isNeeded ? [[checkpointAggregate.type, checkpointAggregate]] : [],
  )
  for (const { definition } of processes.values()) {
    const aggregate = processAggregate(definition)
    aggregates.set(aggregate.type, aggregate)
  }

  /** The same file may say its name again. */
  function claim(kind: 'handler' | 'process', name: string, by: string): void {
    const key = `${kind} ${name}`
    const other = names.get(key)
    if (other !== undefined && (other !== by || by === 'a definition given in code'))
      throw new GlynError('INVALID_ARGUMENT', `${key} is also defined by ${other}; ${by} is not used`)
    names.set(key, by)
  }

  const threadReaction = (thread: HandlerThread, facts: HandlerFacts): Reaction =>
    handlerReaction(
      () => thread.facts() ?? facts,
      (call, signal) => thread.call(call, signal),
    )

  function reactionsOf(context: Led): readonly Reaction[] {
    const fromFiles = threads.flatMap(thread => {
      const facts = thread.facts()
      return facts === undefined ? [] : [threadReaction(thread, facts)]
    })
    return [
      ...[...inline.values()].map(make => make(context)),
      ...fromFiles,
      ...[...processes.values()].flatMap(({ definition }) =>
        processReactions(definition, environment, context),
      ),
    ]
  }

  function refresh(): void {
    for (const partition of led.values()) partition.refresh()
  }

  function statusOf(
    facts: Pick<ReactionStatus, 'name' | 'kind' | 'file'>,
    keys: readonly string[],
    own: Pick<ReactionStatus, 'state' | 'lastError'>,
  ): ReactionStatus {
    const here = [...led.values()]
    const statuses = here.flatMap(partition =>
      keys.flatMap(key => {
        const status = partition.status(key)
        return status === undefined ? [] : [status]
      }),
    )
    // Until then nobody knows where it was, nor how far behind that is.
    const hasBegun = statuses.length === here.length * keys.length
    const worst = worstOf(statuses)
    const lagOf = (partition: PartitionReactions): number =>
      Math.max(0, ...keys.map(key => partition.lag(key)))
    const timersOf = (partition: PartitionReactions): number =>
      facts.kind === 'process' ? partition.timers(facts.name) : 0
    return {
      ...facts,
      state: own.state !== 'running' ? own.state : worst === 'running' && !hasBegun ? 'loading' : worst,
      partitions: here.length,
      lag: here.reduce((sum, partition) => sum + lagOf(partition), 0),
      timers: here.reduce((sum, partition) => sum + timersOf(partition), 0),
      lastError: newest([own.lastError, ...statuses.map(({ lastError }) => lastError)]),
    }
  }

  return {
    aggregates,
    async start() {
      const loaded = Promise.all(threads.map(thread => thread.start()))
      const waiting = new AbortController()
      void loaded.then(() => waiting.abort())
      if (threads.length > 0) await pause(clock, startMsMax, waiting.signal)
    },
    lead(partition, { term, commitIndex }) {
      if (!isNeeded || isDraining || led.get(partition)?.term === term) return
      led.get(partition)?.stop()
      const created = createPartitionReactions({
        environment,
        partition,
        term,
        firstIndex: commitIndex,
        isKnownProcess: name => processes.has(name),
        reactionsOf,
      })
      led.set(partition, created)
    },
    leave(partition) {
      led.get(partition)?.stop()
      led.delete(partition)
    },
    committed: (partition, index) => led.get(partition)?.committed(index),
    status() {
      const running = { state: 'running', lastError: null } as const
      const ofThreads = threads.map(thread => {
        const name = thread.facts()?.name ?? stemOf(thread.file)
        const own = { state: thread.state(), lastError: thread.lastError() }
        return statusOf({ name, kind: 'handler', file: thread.file }, [handlerKey(name)], own)
      })
      const ofInline = [...inline.keys()].map(name =>
        statusOf({ name, kind: 'handler', file: null }, [handlerKey(name)], running),
      )
      const ofProcesses = [...processes].map(([name, { file }]) =>
        statusOf({ name, kind: 'process', file }, Object.values(processKeys(name)), running),
      )
      return [...[...ofThreads, ...ofInline].sort(byName), ...ofProcesses.sort(byName)]
    },
    async drain() {
      isDraining = true
      const waiting = new AbortController()
      const draining = [...led.values()].map(partition => partition.drain({ timeoutMs: finishMsMax }))
      void Promise.all(draining).then(() => waiting.abort())
      await pause(clock, finishMsMax + flushMsMax, waiting.signal)
    },
    async close() {
      isDraining = true
      for (const partition of led.values()) partition.stop()
      led.clear()
      await Promise.all(threads.map(thread => thread.close()))
    },
  }
}

const byName = (a: ReactionStatus, b: ReactionStatus): number => (a.name < b.name ? -1 : 1)

function worstOf(statuses: readonly CursorStatus[]): ReactionStatus['state'] {
  for (const state of ['stopped', 'retrying'] as const)
    if (statuses.some(status => status.state === state)) return state
  return 'running'
}

const newest = (errors: readonly (LastError | null)[]): LastError | null =>
  errors
    .filter(error => error !== null)
    .sort((a, b) => (a.time < b.time ? 1 : -1))
    .at(0) ?? null
