// What `doctor` finds in the history: kinds of events that no file knows, and, with --deep, everything that a replay and the
// hash chains tell.

import { setImmediate as turn } from 'node:timers/promises'
import type { AnyAggregate } from '../core/aggregate.ts'
import type { AggregateKey } from '../core/command.ts'
import { partitionOf } from '../core/partition-of.ts'
import { isLikeSealed } from '../core/sealed-data.ts'
import { isSystemType } from '../core/system-types.ts'
import type { AggregateBinding } from '../partition/aggregate-host.ts'
import { applyStored, type MisfitPlace, placeOfMisfit } from '../partition/apply-stored.ts'
import { hashEntry } from '../store/hash-entry.ts'
import type { StoreReader } from '../store/sqlite/open-store-reader.ts'
import { verifyLog } from '../store/verify-log.ts'
import { counted, type DoctorCheck, type DoctorOptions, notOk, ok, textOf } from './doctor-check.ts'
import { coverageProblems, uncoveredKinds } from './history-coverage.ts'
import type { SnapshotDifference } from './inspection.ts'
import { readClusterSettings } from './node-settings.ts'
import { differenceOf } from './snapshot-rebuilder.ts'

/** The index of each partition that is looked at last. */
export type Ends = ReadonlyMap<number, number>

type Bindings = ReadonlyMap<string, AggregateBinding>

/** Aggregates, and differences, that are named one by one. */
const namedMax = 10
const pageEvents = 1000
const pageAggregates = 500
/** A clock that is behind the newest event by more is wrong. */
const skewMsMax = 5000

export function checkCoverage(
  store: StoreReader,
  { bindings, options }: { readonly bindings: Bindings; readonly options: DoctorOptions },
): DoctorCheck[] {
  const kinds = uncoveredKinds(store, bindings)
  if (kinds.length === 0) {
    const found = store.eventKinds().filter(({ aggregateType }) => !isSystemType(aggregateType))
    const events = found.reduce((sum, kind) => sum + kind.events, 0)
    return [
      ok(
        'history',
        `${counted(events, 'event')} of ${counted(found.length, 'kind')}, all known to the files`,
      ),
    ]
  }
  // Whoever embeds a node gives its aggregates in code, which nobody sees from here.
  const isEmbedded = options.configDirectory === null
  return coverageProblems(kinds, bindings).map(problem =>
    notOk('history', problem, {
      state: isEmbedded ? 'warning' : 'failed',
      remedy:
        'bring the file, or the newer file, and start the node again; `glyn-node events <type> <id>` shows them',
      details: { kinds },
    }),
  )
}

export function checkClock(store: StoreReader, nowMs: number): DoctorCheck {
  let newest = 0
  for (const { partition, lastIndex } of store.recover()) {
    const range = { afterIndex: Math.max(0, lastIndex - 5), throughIndex: lastIndex, limit: 1000 }
    for (const { timeMs } of store.readPartition(partition, range)) newest = Math.max(newest, timeMs)
  }
  const now = new Date(nowMs).toISOString()
  if (newest <= nowMs + skewMsMax) return ok('clock', now)
  const ahead = Math.round((newest - nowMs) / 1000)
  return notOk('clock', `it says ${now}, and the newest event is from ${ahead} s later`, {
    remedy: 'set the clocks of all machines by NTP: times of events come from the leader that decided',
  })
}

/** Every entry of every partition up to its end. */
export async function checkChains(
  store: StoreReader,
  { options, ends }: { readonly options: DoctorOptions; readonly ends: Ends },
): Promise<DoctorCheck[]> {
  const checks: DoctorCheck[] = []
  const faults = store.check()
  if (faults.length > 0)
    checks.push(
      notOk('database', `SQLite finds it damaged: ${faults.slice(0, 3).join('; ')}`, {
        remedy: 'keep the file, and let the node come back as a new one: the others have its history',
        details: { faults },
      }),
    )
  else checks.push(ok('database', 'SQLite finds nothing wrong with the file'))
  const total = [...ends.values()].reduce((sum, end) => sum + end, 0)
  let done = 0
  const broken: { readonly partition: number; readonly index: number; readonly reason: string }[] = []
  for (const [partition, throughIndex] of ends) {
    const steps = verifyLog(store.log(partition), { throughIndex, hashEntry })
    for (;;) {
      const step = steps.next()
      if (step.done === true) {
        if (step.value !== null) broken.push({ partition, ...step.value })
        break
      }
      options.onProgress?.({ what: 'verifying', done: done + step.value, total })
      await turn()
    }
    done += throughIndex
  }
  if (broken.length === 0)
    checks.push(
      ok(
        'hash chains',
        `${counted(total, 'entry').replace(/entrys$/, 'entries')} of ${counted(ends.size, 'partition')} are what was written`,
      ),
    )
  for (const { partition, index, reason } of broken)
    checks.push(
      notOk('hash chains', `partition ${partition}, index ${index}: ${reason}`, {
        remedy:
          'this copy is damaged: keep it, and let the node come back as a new one; the others have its history',
        details: { partition, index },
      }),
    )
  return checks
}

interface Misfitting extends MisfitPlace {
  readonly aggregate: AggregateKey
  readonly reason: string
}

/** Every aggregate of a type that has a file, from its first event; its snapshot must be what the events say. */
export async function checkReplay(
  store: StoreReader,
  facts: { readonly bindings: Bindings; readonly options: DoctorOptions; readonly ends: Ends },
): Promise<DoctorCheck[]> {
  const { bindings, options, ends } = facts
  const partitions = readClusterSettings(store)?.partitions ?? 1
  const total = store
    .eventKinds()
    .filter(({ aggregateType }) => bindings.has(aggregateType))
    .reduce((sum, kind) => sum + kind.events, 0)
  const found = { aggregates: 0, events: 0, sealed: 0, stale: 0, snapshots: 0 }
  const misfits: Misfitting[] = []
  const differences: SnapshotDifference[] = []
  for (const [type, binding] of bindings) {
    let after: AggregateKey | undefined
    for (;;) {
      const page = store.aggregates({
        type,
        limit: pageAggregates,
        commitIndexOf: partition => ends.get(partition) ?? 0,
        ...(after === undefined ? {} : { after }),
      })
      for (const key of page) {
        found.aggregates += 1
        const replayed = replay(store, { key, binding, partitions, ends })
        found.events += replayed.events
        if (replayed.isSealed) found.sealed += 1
        if (replayed.misfit !== null) misfits.push(replayed.misfit)
        differences.push(...replayed.differences)
        if (replayed.snapshot !== 'none') found.snapshots += 1
        if (replayed.snapshot === 'stale') found.stale += 1
        if (found.aggregates % 100 === 0) await turn()
        options.onProgress?.({ what: 'replaying', done: Math.min(found.events, total), total })
      }
      after = page.at(-1)
      if (page.length < pageAggregates) break
    }
  }
  return [...replayChecks(found, misfits), ...snapshotChecks(found, differences)]
}

function replay(
  store: StoreReader,
  work: {
    readonly key: AggregateKey
    readonly binding: AggregateBinding
    /** Of the cluster. */
    readonly partitions: number
    readonly ends: Ends
  },
): {
  readonly events: number
  readonly misfit: Misfitting | null
  readonly differences: readonly SnapshotDifference[]
  readonly snapshot: 'none' | 'current' | 'stale'
  /** Not replayed to its end. */
  readonly isSealed: boolean
} {
  const { key, binding, partitions, ends } = work
  const { definition, definitionId } = binding
  const aggregate = { type: key.type, id: key.id }
  const stored = store.latestSnapshot(aggregate)
  const isCurrent = stored?.definition === definitionId && definition.snapshotEvery !== undefined
  const snapshot = stored === undefined ? 'none' : isCurrent ? 'current' : 'stale'
  const differences: SnapshotDifference[] = []
  let state: unknown = (definition as AnyAggregate).emptyState
  let events = 0
  const partition = partitionOf(aggregate, partitions)
  const throughIndex = ends.get(partition) ?? 0
  try {
    for (;;) {
      const range = { partition, fromSequence: events + 1, throughIndex, limit: pageEvents }
      const page = store.readAggregate(aggregate, range)
      for (const event of page) {
        // Keys are not looked for: what rests encrypted is not replayed.
        if (isLikeSealed(event.data)) {
          const isCompared = !isCurrent || (stored !== undefined && stored.sequence <= events)
          return {
            events,
            misfit: null,
            differences,
            snapshot: isCompared ? snapshot : 'none',
            isSealed: true,
          }
        }
        state = applyStored(definition, state, event)
        events = event.sequence
        if (isCurrent && stored?.sequence === events) differences.push(...differenceOf(stored, state))
      }
      if (page.length < pageEvents) break
    }
    return { events, misfit: null, differences, snapshot, isSealed: false }
  } catch (error) {
    const place = placeOfMisfit(error)
    // Data that are no JSON were damaged: the hash chains say where.
    if (error instanceof SyntaxError)
      return {
        events,
        misfit: { aggregate, ...damaged, sequence: events + 1, reason: textOf(error) },
        differences,
        snapshot,
        isSealed: false,
      }
    if (place === undefined) throw error
    return {
      events,
      misfit: { aggregate, ...place, reason: textOf(error) },
      differences,
      snapshot,
      isSealed: false,
    }
  }
}

const damaged = { misfit: 'apply-failed', eventType: 'damaged', version: 0 } as const

function replayChecks(
  found: { readonly aggregates: number; readonly events: number; readonly sealed: number },
  misfits: readonly Misfitting[],
): DoctorCheck[] {
  const text = `${counted(found.aggregates, 'aggregate')}, ${counted(found.events, 'event')}`
  const sealed =
    found.sealed === 0
      ? ''
      : `; ${counted(found.sealed, 'aggregate')} only up to the first event that rests encrypted`
  if (misfits.length === 0) return [ok('replay', `${text}: all of them can be read${sealed}`)]
  const named = misfits.slice(0, namedMax)
  const lines = named.map(
    ({ aggregate, sequence, eventType, version, reason }) =>
      `${aggregate.type}/${aggregate.id}, event ${sequence} (${eventType} v${version}): ${reason}`,
  )
  const more = misfits.length > named.length ? `; and ${misfits.length - named.length} more` : ''
  return [
    notOk('replay', `${counted(misfits.length, 'aggregate')} cannot be read: ${lines.join('; ')}${more}`, {
      remedy:
        'correct the file of the type, or bring the newer one, and start the node again; they are quarantined until then',
      details: { count: misfits.length, first: named },
    }),
  ]
}

function snapshotChecks(
  found: { readonly snapshots: number; readonly stale: number },
  differences: readonly SnapshotDifference[],
): DoctorCheck[] {
  const stale =
    found.stale === 0 ? '' : `; ${found.stale} of other code, ignored and made again by themselves`
  if (differences.length === 0)
    return [ok('snapshots', `${found.snapshots - found.stale} are what the events say${stale}`)]
  const named = differences.slice(0, namedMax)
  const lines = named.map(
    ({ aggregate, sequence, found: was, replayed }) =>
      `${aggregate.type}/${aggregate.id}, sequence ${sequence}: ${was}, the events say ${replayed}`,
  )
  return [
    notOk('snapshots', `${differences.length} are not what the events say: ${lines.join('; ')}`, {
      remedy: 'glyn-node snapshot rebuild <type>; see why apply, or what it imports, gives another state now',
      details: { count: differences.length, first: named },
    }),
  ]
}
