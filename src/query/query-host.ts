// All queries of one node: each on its own, asked by name, exchanged while it runs.
import { basename, join, resolve } from 'node:path'
import { InvariantError } from '../core/assert.ts'
import type { Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { QueryMessage } from '../core/query-message.ts'
import { type AskOptions, nearestFirst } from './ask-queue.ts'
import { codeHash } from './code-hash.ts'
import { type AnyQuery, type AnyQueryFunction, normalizeQuery } from './define-query.ts'
import { createHeadHistory } from './head-history.ts'
import { createOutputLog } from './output-log.ts'
import type { EventSource, QueryStatus } from './query.ts'
import { createQueryLife, type Place, type QueryLife } from './query-life.ts'
import { type QueryLimits, queryLimits } from './query-limits.ts'
import { openQueryNotes } from './query-notes.ts'
import type { QueryPlugin } from './query-plugin.ts'
import { createQuerySupervisor } from './query-supervisor.ts'
import type { Disk } from './query-version.ts'
import type { ConnectReadModel } from './read-model.ts'
import { removeFiles } from './read-model.ts'
import { listReadModels, placesOf, removeReadModels } from './read-model-files.ts'
import { type SpawnRunner, spawnInline, spawnInWorker } from './spawn-runner.ts'

/** A file, or a definition that came as an object or function: that one runs on the main thread, without isolation. */
export type HostedQuery = QueryPlugin | AnyQuery | AnyQueryFunction

export interface QueryHostInit {
  readonly queries: readonly HostedQuery[]
  /** Read models are `<dataDirectory>/queries/<name>.db`; null keeps them in memory. */
  readonly dataDirectory: string | null
  readonly source: EventSource
  readonly clock: Clock
  readonly log: Log
  /** Names the history that events come from (the cluster id): a read model of another one is built again. */
  readonly history?: string
  readonly limits?: Partial<QueryLimits>
  /** How the read models of definitions given in code are opened: as files when left out. For the simulator. */
  readonly connect?: ConnectReadModel
}

export interface QueryHost {
  /** Resolves when each query has loaded, or failed to, or after `startMsMax`. Throws INVALID_ARGUMENT for a definition that is no query. */
  start(): Promise<void>
  /**
   * Throws UNKNOWN_QUERY, UNKNOWN_QUESTION, INVALID_ARGUMENT, QUERY_LAGGING (`after` was not reached in time), TIMEOUT,
   * QUERY_FAILED (the answer threw, or the query is stopped), OVERLOADED, SHUTTING_DOWN, or the signal's reason.
   */
  ask(
    name: string,
    question: string,
    parameters: Readonly<Record<string, unknown>>,
    options: AskOptions,
  ): Promise<unknown>
  /** To every query that has an `onMessage`. */
  deliver(message: QueryMessage): void
  /** Sorted by name. */
  status(): readonly QueryStatus[]
  /** As {@link QueriesApi}: throws UNKNOWN_QUERY and what that says. */
  rebuild(name: string): QueryStatus
  pause(name: string): Promise<QueryStatus>
  resume(name: string): QueryStatus
  /**
   * The files are these from now on: new ones start, changed ones are built beside what they were, those that are gone stop.
   * Queries given in code stay. Resolves when what stops has stopped.
   */
  setFiles(files: readonly QueryPlugin[], disk: Disk): Promise<void>
  /** The files that queries were loaded from. */
  parts(): readonly string[]
  /** Calls the listener when `parts` may have changed. One listener at most. */
  onLoaded(listener: () => void): void
  /** The database file of the read model that answers; null in memory. Throws UNKNOWN_QUERY. */
  readModelOf(name: string): string | null
  /** Finishes the batches under way. Idempotent. */
  close(): Promise<void>
}

export function createQueryHost(init: QueryHostInit): QueryHost {
  const { source, clock, log, history = '' } = init
  const dataDirectory = init.dataDirectory === null ? null : resolve(init.dataDirectory)
  const folder = dataDirectory === null ? null : join(dataDirectory, 'queries')
  /** Simulated read models are on no disk. */
  const realFolder = init.connect === undefined ? folder : null
  const limits: QueryLimits = { ...queryLimits, ...init.limits }
  const notes = openQueryNotes(realFolder)
  const headHistory = createHeadHistory({ clock, source })
  const lives = new Set<QueryLife>()
  /** By query: the name it has said, for as long as it says no other. */
  const names = new Map<QueryLife, string>()
  /** Names that others have, and who wants them. */
  const wanted = new Map<QueryLife, string>()
  let isStarting = true
  let tellLoaded = (): void => {}
  let changes: Promise<void> = Promise.resolve()
  let stopListening: (() => void) | undefined
  let cancelSweep: () => void = () => {}
  let closing: Promise<void> | undefined

  const placeOf = (name: string): Place => {
    if (folder === null) return { path: ':memory:', nextPath: null }
    const { path, nextPath } = placesOf(folder, name)
    return { path, nextPath: realFolder === null ? null : nextPath }
  }

  /** At the start none of two is the first; later the one that is there goes on, and only the other one fails. */
  const claim = (life: QueryLife, name: string): Place => {
    tellLoaded()
    const twins = [...names].filter(([other, theirs]) => theirs === name && other !== life)
    const incumbent = isStarting ? undefined : twins.find(([twin]) => twin.isEstablished())?.[0]
    if (incumbent !== undefined) {
      wanted.set(life, name)
      throw new Error(
        `query ${name} is also defined by ${whereOf(incumbent)}, which was there first and goes on; this one does not run`,
      )
    }
    const before = names.get(life)
    names.set(life, name)
    if (before !== undefined && before !== name) retryWhoWants(before)
    if (twins.length > 0) {
      const files = twins.map(([twin]) => whereOf(twin)).join(', ')
      for (const [twin] of twins)
        twin.fail(`query ${name} is also defined by ${whereOf(life)}; none of them runs`)
      throw new Error(`query ${name} is also defined by ${files}; none of them runs`)
    }
    wanted.delete(life)
    tidying(() => notes.unretire(name))
    // What was to be swept while this one's name was unknown is swept now.
    if (!isStarting) scheduleSweep(0)
    return placeOf(name)
  }

  /** Whoever failed because the name was another's. */
  const retryWhoWants = (name: string): void => {
    for (const [life, theirs] of [...names, ...wanted]) if (theirs === name) life.retryNow()
  }

  const retire = (name: string): void => {
    retryWhoWants(name)
    if ([...names.values()].includes(name)) return
    tidying(() => notes.retire(name, clock.wallTime()))
    scheduleSweep()
  }

  /** A disk that is full, or takes nothing, is no reason to end anything: what is not tidied away now is at a later sweep. */
  const tidying = (action: () => void): void => {
    try {
      action()
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      log.warn({}, `read models without a file cannot be tidied away: ${why}; tried again later`)
    }
  }

  /** Read models that nobody claims are removed when their time is up. One whose file does not load may be anybody's. */
  const sweep = (): void => {
    if (realFolder === null) return
    const claimed = new Set(names.values())
    const isEveryNameKnown = [...lives].every(life => names.has(life))
    for (const name of listReadModels(realFolder)) {
      if (!claimed.has(name) && isEveryNameKnown && !notes.retired().has(name))
        tidying(() => notes.retire(name, clock.wallTime()))
    }
    for (const [name, timeMs] of [...notes.retired()]) {
      if (claimed.has(name) || clock.wallTime() - timeMs < limits.graceMs || !isEveryNameKnown) continue
      tidying(() => {
        removeReadModels(placesOf(realFolder, name))
        log.info({ query: name }, `query ${name}: its file is gone for long; its read model is removed`)
        notes.unretire(name)
        notes.setPaused(name, false)
      })
    }
  }

  const scheduleSweep = (overdueMs = sweepAgainMs): void => {
    cancelSweep()
    if (realFolder === null || closing !== undefined) return
    const restsMs = [...notes.retired().values()].map(timeMs => timeMs + limits.graceMs - clock.wallTime())
    if (restsMs.length === 0) return
    const nextMs = Math.min(...restsMs)
    // What is over and still there could not be removed yet, or may belong to a file that has not loaded.
    const waitMs = nextMs > 0 ? nextMs : overdueMs
    cancelSweep = clock.after(waitMs, () => {
      sweep()
      scheduleSweep()
    })
  }

  const begin = (hosted: HostedQuery): QueryLife => {
    const plugin = typeof hosted === 'object' && 'file' in hosted ? hosted : null
    const inline = plugin === null ? inlinePlan(hosted as AnyQuery | AnyQueryFunction) : null
    const name = inline?.name ?? plugin?.name ?? ''
    const life: QueryLife = createQueryLife({
      name,
      file: plugin?.file ?? null,
      plugin,
      createVersion: (version, options) =>
        createQuerySupervisor({
          ...(version === null ? (inline ?? missingPlan()) : planOf(version)),
          ...options,
          history,
          // On this thread the host has a way to read already.
          mayReadLog: plugin !== null,
          source,
          headHistory,
          clock,
          log,
          limits,
        }),
      claim: wish => claim(life, wish),
      retire(old) {
        if (names.get(life) === old) names.delete(life)
        retire(old)
      },
      isPaused: notes.isPaused,
      removeNext(old) {
        const { nextPath } = placeOf(old)
        if (nextPath !== null) removeFiles(nextPath)
      },
      clock,
      log,
      limits,
    })
    lives.add(life)
    return life
  }

  const planOf = (plugin: QueryPlugin): Plan => {
    const { name, file, contentHash } = plugin
    const linesPerSecondMax = limits.outputLinesPerSecondMax
    const onOutput = createOutputLog({ name, file, log, clock, linesPerSecondMax })
    const { heapMbMax, loadMsMax: importTimeoutMs } = limits
    const spawn = spawnInWorker(plugin, { importTimeoutMs, heapMbMax, dataDirectory, onOutput })
    return { name, file, contentHash, spawn }
  }

  const inlinePlan = (hosted: AnyQuery | AnyQueryFunction): Plan => {
    const query = normalizeQuery(hosted)
    const spawn = spawnInline(query, clock, init.connect)
    return { name: query.name, file: null, contentHash: codeHash(query), spawn }
  }

  const end = async (life: QueryLife): Promise<void> => {
    const name = names.get(life)
    lives.delete(life)
    wanted.delete(life)
    await life.close('its file is gone')
    names.delete(life)
    const file = life.file === null ? '' : basename(life.file)
    const kept =
      name === undefined ? '' : `; its read model is kept for ${Math.round(limits.graceMs / 3_600_000)} h`
    log.info(
      { query: name ?? life.name, file: life.file },
      `query ${name ?? life.name}: ${file} is gone, it stops${kept}`,
    )
    if (name !== undefined) retire(name)
  }

  const applyFiles = async (files: readonly QueryPlugin[], disk: Disk): Promise<void> => {
    const byFile = new Map(files.map(plugin => [plugin.file, plugin]))
    const gone = [...lives].filter(
      ({ file }) => file !== null && !byFile.has(file) && !disk.unreadable.has(file),
    )
    await Promise.all(gone.map(end))
    if (closing !== undefined) return
    for (const plugin of files) {
      const life = [...lives].find(({ file }) => file === plugin.file)
      if (life !== undefined) {
        life.update(plugin, disk)
        continue
      }
      log.info(
        { query: plugin.name, file: plugin.file },
        `query ${plugin.name}: ${basename(plugin.file)} is new, it starts`,
      )
      void begin(plugin).start()
    }
  }

  const find = (name: string): QueryLife => {
    const found = [...lives].filter(life => life.name === name)
    const [first] = found
    if (first !== undefined) return found.find(life => life.isEstablished()) ?? first
    const allowed = nearestFirst(name, [...new Set([...lives].map(life => life.name))])
    const text = allowed.length === 0 ? 'no query is loaded' : `allowed: ${allowed.join(', ')}`
    throw new GlynError('UNKNOWN_QUERY', `there is no query ${JSON.stringify(name)}; ${text}`, {
      details: { allowed },
    })
  }

  return {
    async start() {
      const begun = init.queries.map(begin)
      stopListening = source.onAdvance(() => {
        headHistory.advance()
        for (const life of lives) life.advance()
      })
      const loaded = Promise.all(begun.map(life => life.start())).then(() => {
        isStarting = false
        if (closing !== undefined) return
        sweep()
        scheduleSweep()
      })
      await Promise.race([
        loaded,
        new Promise<void>(resolve => {
          const cancel = clock.after(limits.startMsMax, resolve)
          void loaded.then(cancel)
        }),
      ])
    },
    async ask(name, question, parameters, options) {
      if (closing !== undefined) throw new GlynError('SHUTTING_DOWN', 'the node is stopping')
      return find(name).ask(question, parameters, options)
    },
    deliver(message) {
      for (const life of lives) life.deliver(message)
    },
    status: () => [...lives].map(life => life.status()).sort((a, b) => (a.name < b.name ? -1 : 1)),
    readModelOf: name => (folder === null ? null : placeOf(find(name).name).path),
    rebuild(name) {
      const life = find(name)
      if (init.connect !== undefined) {
        throw new GlynError(
          'INVALID_ARGUMENT',
          `query ${name} has a simulated read model: it is not built again`,
        )
      }
      life.rebuild()
      return life.status()
    },
    async pause(name) {
      const life = find(name)
      notes.setPaused(name, true)
      await life.pause()
      return life.status()
    },
    resume(name) {
      const life = find(name)
      notes.setPaused(name, false)
      life.resume()
      return life.status()
    },
    setFiles(files, disk) {
      if (closing !== undefined) return closing
      const applied = changes.then(() => (closing === undefined ? applyFiles(files, disk) : undefined))
      changes = applied.catch(() => undefined)
      return applied
    },
    onLoaded(listener) {
      tellLoaded = listener
    },
    parts: () => [...new Set([...lives].flatMap(life => life.parts()))],
    close() {
      closing ??= (async () => {
        stopListening?.()
        cancelSweep()
        await changes
        await Promise.all([...lives].map(life => life.close()))
      })()
      return closing
    },
  }
}

/** Between two looks at a read model whose time is up while some file has not said its name. */
const sweepAgainMs = 60_000

const whereOf = (life: QueryLife): string => life.file ?? 'a definition given in code'

function missingPlan(): never {
  throw new InvariantError('a query has a file or a definition')
}

interface Plan {
  readonly name: string
  readonly file: string | null
  readonly contentHash: string
  readonly spawn: SpawnRunner
}
