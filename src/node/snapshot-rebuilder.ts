// Makes snapshots again from the first event, on the leader of the aggregate, and says where a state was another than the
// events say. Half of the time at most, so that commands go on.
import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../core/clock.ts'
import type { AggregateKey } from '../core/command.ts'
import { GlynError, toErrorBody } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { forgottenEventType } from '../core/system-types.ts'
import type { AggregateBinding, AggregateHost } from '../partition/aggregate-host.ts'
import { snapshotOf } from '../partition/aggregate-snapshot.ts'
import { applyStored, placeOfMisfit } from '../partition/apply-stored.ts'
import type { RaftEngine } from '../partition/raft-engine.ts'
import type { LocalStore, Snapshot } from '../store/store.ts'
import type { SubjectCipher } from '../store/subject-cipher.ts'
import type { RebuiltSnapshot, SnapshotDifference } from './inspection.ts'

const pageEvents = 500
/** Replays of one node at the same time. */
const jobsMax = 8
/** An outcome that nobody fetched is forgotten. */
const keptMs = 60_000
/** A caller is told how far it is after so long, well within the time of one attempt of the router. */
const answerMsMax = 1000
/** An aggregate that is at work just now is tried again, and so often. */
const attemptsMax = 20
const replaysMax = 3
const pauseMs = 25
const shownCharactersMax = 2000

export type RebuildStep =
  | { readonly type: 'working'; readonly sequence: number }
  | { readonly type: 'done'; readonly rebuilt: RebuiltSnapshot }

export interface SnapshotRebuilder {
  /** Begins, or looks on: ask again until it is done. Throws NOT_LEADER, OVERLOADED and INVALID_ARGUMENT. */
  step(partition: number, aggregate: AggregateKey): Promise<RebuildStep>
  /** Throws UNKNOWN_AGGREGATE_TYPE, and INVALID_ARGUMENT for a type without snapshots. */
  check(type: string): AggregateBinding
}

interface Job {
  readonly promise: Promise<RebuiltSnapshot>
  /** How far the replay is. */
  readonly progress: { readonly sequence: number }
  /** Monotonic; null while it runs. */
  readonly ended: { readonly at: number | null }
}

interface Replayed {
  readonly state: unknown
  readonly sequence: number
  readonly index: number
  readonly differences: SnapshotDifference[]
  /** Ids of those that the data of its events rest encrypted with. */
  readonly keys: Set<string>
}

export function createSnapshotRebuilder(init: {
  readonly host: AggregateHost
  readonly engine: RaftEngine
  readonly store: LocalStore
  readonly clock: Clock
  readonly log: Log
  readonly aggregates: ReadonlyMap<string, AggregateBinding>
  readonly cipher: SubjectCipher
}): SnapshotRebuilder {
  const { host, engine, store, clock, log, aggregates, cipher } = init
  const jobs = new Map<string, Job>()
  const wait = (delayMs: number): Promise<void> => new Promise(resolve => void clock.after(delayMs, resolve))

  function begin(partition: number, aggregate: AggregateKey, binding: AggregateBinding): Job {
    const name = `${aggregate.type}\u0000${aggregate.id}`
    // Forgotten when the next one begins: a timer for each would keep a closed node's process alive.
    for (const [other, { ended }] of jobs) {
      if (ended.at !== null && clock.now() - ended.at >= keptMs) jobs.delete(other)
    }
    const known = jobs.get(name)
    if (known !== undefined) return known
    if (jobs.size >= jobsMax)
      throw new GlynError(
        'OVERLOADED',
        `${jobs.size} snapshots are being made again here; allowed: ${jobsMax}`,
      )
    const progress = { sequence: 0 }
    const promise = rebuild({
      partition,
      aggregate,
      binding,
      onSequence(sequence) {
        progress.sequence = sequence
      },
    })
    const ended: { at: number | null } = { at: null }
    const job: Job = { promise, progress, ended }
    jobs.set(name, job)
    const end = (): void => {
      ended.at = clock.now()
    }
    promise.then(end, end)
    return job
  }

  async function rebuild(work: {
    readonly partition: number
    readonly aggregate: AggregateKey
    readonly binding: AggregateBinding
    readonly onSequence: (sequence: number) => void
  }): Promise<RebuiltSnapshot> {
    const { partition, aggregate, binding } = work
    let differences: SnapshotDifference[] = []
    try {
      for (let attempt = 1; attempt <= replaysMax; attempt += 1) {
        const replayed = await replay(work)
        const { sequence } = replayed
        if (attempt === 1) differences = replayed.differences
        const written = await write(partition, aggregate, { binding, replayed })
        if (written === undefined)
          return { aggregate, result: 'failed', sequence, differences, error: 'the state is not JSON' }
        if (attempt === 1 && differences.length === 0) {
          const inMemory = await compareMemory(partition, aggregate, replayed)
          if (inMemory !== null) differences.push(inMemory)
        }
        const done = { aggregate, result: 'rebuilt', sequence, differences, error: null } as const
        if (differences.length === 0) return done
        // What was made from a state that was wrong must not live on in memory, nor in a snapshot that it has made meanwhile.
        const isForgotten = await forgetActor(aggregate)
        if (isForgotten && store.latestSnapshot(aggregate)?.state === written.state) return done
      }
      return { aggregate, result: 'busy', sequence: 0, differences, error: 'it was at work all the time' }
    } catch (error) {
      // Leadership that was lost, and a store that failed, are for the caller; a history that cannot be read is the answer.
      if (placeOfMisfit(error) === undefined) throw error
      const { message } = toErrorBody(error)
      return { aggregate, result: 'failed', sequence: 0, differences, error: message }
    }
  }

  async function forgetActor(aggregate: AggregateKey): Promise<boolean> {
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      if (host.forget?.(aggregate) !== false) return true
      await wait(pauseMs)
    }
    return false
  }

  async function replay({
    partition,
    aggregate,
    binding: { definition, definitionId },
    onSequence,
  }: Parameters<typeof rebuild>[0]): Promise<Replayed> {
    await host.loadEvents(partition, aggregate, { fromSequence: 1, limit: 1 })
    const throughIndex = engine.status(partition)?.commitIndex ?? 0
    const sealed = store.latestSnapshot(aggregate)
    const opened = sealed === undefined ? undefined : cipher.openState(sealed.state, sealed)
    const stored =
      sealed === undefined || opened === undefined ? undefined : { ...sealed, state: opened.state }
    const keys = new Set<string>()
    const differences: SnapshotDifference[] = []
    let state: unknown = definition.emptyState
    let sequence = 0
    let index = 0
    for (;;) {
      const begun = clock.now()
      const range = { partition, fromSequence: sequence + 1, throughIndex, limit: pageEvents }
      const page = store.readAggregate(aggregate, range)
      for (const event of page.map(cipher.open)) {
        if (event.key !== undefined && event.type !== forgottenEventType) keys.add(event.key)
        state = applyStored(definition, state, event)
        ;({ sequence, index } = event)
        if (stored?.definition === definitionId && stored.sequence === sequence)
          differences.push(...differenceOf(stored, state))
      }
      onSequence(sequence)
      if (page.length < pageEvents) return { state, sequence, index, differences, keys }
      await wait(Math.max(1, clock.now() - begun))
    }
  }

  /** Undefined for a state that is not JSON. Resolves when it is on the disk, or a newer one. */
  async function write(
    partition: number,
    aggregate: AggregateKey,
    made: { readonly binding: AggregateBinding; readonly replayed: Replayed },
  ): Promise<Snapshot | undefined> {
    const { state, sequence, index, keys } = made.replayed
    const definition = made.binding.definitionId
    const snapshot = snapshotOf(
      {
        key: aggregate,
        partition,
        committedSequence: sequence,
        committedIndex: index,
        committedState: state,
        keys,
        isStale: false,
      },
      { definition, timeMs: clock.wallTime() },
      log,
      cipher,
    )
    if (snapshot === undefined || sequence === 0) return snapshot
    engine.writeSnapshot(snapshot)
    const until = clock.now() + 5000
    for (;;) {
      const found = store.latestSnapshot(aggregate)
      const isThere =
        found?.definition === definition &&
        (found.sequence > sequence || (found.sequence === sequence && found.state === snapshot.state))
      if (isThere) return snapshot
      if (clock.now() > until)
        throw new GlynError('UNAVAILABLE', 'the store has not written the snapshot within 5 s')
      await wait(pauseMs)
    }
  }

  /** Only where nothing has happened since; it may be loaded by the question itself, and is the same then. */
  async function compareMemory(
    partition: number,
    aggregate: AggregateKey,
    replayed: Replayed,
  ): Promise<SnapshotDifference | null> {
    const loaded = await host.load(partition, aggregate)
    const wanted = JSON.parse(JSON.stringify(replayed.state ?? null)) as unknown
    if (loaded.sequence !== replayed.sequence || isDeepStrictEqual(loaded.state ?? null, wanted)) return null
    return {
      aggregate,
      where: 'memory',
      sequence: loaded.sequence,
      found: shown(loaded.state),
      replayed: shown(wanted),
    }
  }

  function check(type: string): AggregateBinding {
    const binding = aggregates.get(type)
    if (binding === undefined) {
      const allowed = [...aggregates.keys()].sort()
      const list = allowed.length === 0 ? 'none is loaded' : allowed.join(', ')
      throw new GlynError(
        'UNKNOWN_AGGREGATE_TYPE',
        `no aggregate type ${JSON.stringify(type)}; allowed: ${list}`,
        {
          details: { allowed },
        },
      )
    }
    if (binding.definition.snapshotEvery !== undefined) return binding
    throw new GlynError(
      'INVALID_ARGUMENT',
      `${type} has no snapshotEvery, so its snapshots would never be used; allowed: a type with snapshotEvery`,
    )
  }

  return {
    check,
    async step(partition, aggregate) {
      const binding = check(aggregate.type)
      // Throws NOT_LEADER.
      await host.loadEvents(partition, aggregate, { fromSequence: 1, limit: 1 })
      const job = begin(partition, aggregate, binding)
      const rebuilt = await Promise.race([job.promise, wait(answerMsMax)]).catch((error: unknown) => {
        forgetJob(aggregate, job)
        throw error
      })
      if (rebuilt === undefined) return { type: 'working', sequence: job.progress.sequence }
      forgetJob(aggregate, job)
      return { type: 'done', rebuilt }
    },
  }

  function forgetJob({ type, id }: AggregateKey, job: Job): void {
    const name = `${type}\u0000${id}`
    if (jobs.get(name) === job) jobs.delete(name)
  }
}

export function differenceOf(stored: Snapshot, state: unknown): SnapshotDifference[] {
  const found = JSON.parse(stored.state) as unknown
  const replayed = JSON.parse(JSON.stringify(state ?? null)) as unknown
  if (isDeepStrictEqual(found, replayed)) return []
  const { aggregate, sequence } = stored
  return [{ aggregate, where: 'snapshot', sequence, found: shown(found), replayed: shown(replayed) }]
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'null'
  return text.length > shownCharactersMax ? `${text.slice(0, shownCharactersMax)}…` : text
}
