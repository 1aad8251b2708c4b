// What the leader of an aggregate knows of it beside its state: its snapshot, and what its history amounts to.
import type { Clock } from '../core/clock.ts'
import type { AggregateKey } from '../core/command.ts'
import { partitionOf } from '../core/partition-of.ts'
import type { AggregateBinding, AggregateHost } from '../partition/aggregate-host.ts'
import type { Quarantine } from '../partition/quarantine.ts'
import type { RaftEngine } from '../partition/raft-engine.ts'
import type { LocalStore, Snapshot } from '../store/store.ts'
import type { SubjectCipher } from '../store/subject-cipher.ts'
import type { AggregateSnapshot, AggregateStats } from './inspection.ts'

/** Events whose bytes are counted: more would be read for minutes. */
const countedEventsMax = 100_000
const pageEvents = 1000
/** Aggregates looked at for one page of a listing. */
const listedMax = 500

export interface InspectorInit {
  readonly host: AggregateHost
  readonly engine: RaftEngine
  readonly store: LocalStore
  readonly clock: Clock
  readonly quarantine: Quarantine
  readonly aggregates: ReadonlyMap<string, AggregateBinding>
  readonly cipher: Pick<SubjectCipher, 'openState'>
  readonly partitions: () => number
  readonly self: string
  readonly name: string
}

/** Answers for the partitions that this node leads; throws NOT_LEADER elsewhere. */
export interface AggregateInspector {
  snapshot(partition: number, aggregate: AggregateKey): Promise<AggregateSnapshot | null>
  stats(partition: number, aggregate: AggregateKey): Promise<AggregateStats>
  /** A page of the aggregates led here that have a snapshot, or are long enough for one. Null as `next`: it was the last. */
  list(type: string, after: string | null): { readonly ids: readonly string[]; readonly next: string | null }
}

export function createAggregateInspector(init: InspectorInit): AggregateInspector {
  const { host, engine, store, clock, quarantine, aggregates } = init

  /** After it, everything acknowledged before the call is readable here. Throws NOT_LEADER. */
  const confirm = (partition: number, aggregate: AggregateKey): Promise<unknown> =>
    host.loadEvents(partition, aggregate, { fromSequence: 1, limit: 1 })

  /** Null for one that was made of data that are forgotten. */
  function describe(snapshot: Snapshot): AggregateSnapshot | null {
    const { aggregate, sequence, partition, index, definition, timeMs } = snapshot
    const state = init.cipher.openState(snapshot.state, snapshot)?.state
    if (state === undefined) return null
    const binding = aggregates.get(aggregate.type)
    return {
      aggregate,
      sequence,
      position: { partition, index },
      state: JSON.parse(state) as unknown,
      time: new Date(timeMs).toISOString(),
      definition,
      isCurrent:
        binding !== undefined &&
        binding.definitionId === definition &&
        binding.definition.snapshotEvery !== undefined,
      bytes: Buffer.byteLength(state),
    }
  }

  const read = (partition: number, aggregate: AggregateKey, fromSequence: number, limit: number) =>
    store.readAggregate(aggregate, {
      partition,
      fromSequence,
      throughIndex: engine.status(partition)?.commitIndex ?? 0,
      limit,
    })

  /** Sequences have no gaps, so the last one is found by halving. */
  function lastEvent(partition: number, aggregate: AggregateKey) {
    let from = 1
    let last = read(partition, aggregate, 1, 1)[0]
    let step = 1
    while (last !== undefined) {
      const next = read(partition, aggregate, from + step, 1)[0]
      if (next !== undefined) {
        last = next
        from += step
        step *= 2
      } else if (step === 1) break
      else step = Math.max(1, Math.floor(step / 2))
    }
    return last
  }

  async function countBytes(partition: number, aggregate: AggregateKey, through: number): Promise<number> {
    let bytes = 0
    for (let from = 1; from <= through; from += pageEvents) {
      const limit = Math.min(pageEvents, through - from + 1)
      for (const { data, metadata } of read(partition, aggregate, from, limit))
        bytes += Buffer.byteLength(data) + Buffer.byteLength(metadata)
      if (from + pageEvents <= through) await new Promise<void>(resolve => clock.soon(resolve))
    }
    return bytes
  }

  return {
    async snapshot(partition, aggregate) {
      await confirm(partition, aggregate)
      const found = store.latestSnapshot(aggregate)
      return found === undefined ? null : describe(found)
    },
    async stats(partition, aggregate) {
      await confirm(partition, aggregate)
      const index = engine.status(partition)?.commitIndex ?? 0
      const [first] = read(partition, aggregate, 1, 1)
      const last = lastEvent(partition, aggregate)
      const sequence = last?.sequence ?? 0
      const found = store.latestSnapshot(aggregate)
      const described = found === undefined ? null : describe(found)
      const { aggregate: _, state: __, ...snapshot } = described ?? noSnapshot
      return {
        aggregate,
        position: { partition, index },
        leader: { peerId: init.self, name: init.name },
        sequence,
        events: sequence,
        bytes: sequence > countedEventsMax ? null : await countBytes(partition, aggregate, sequence),
        firstTime: timeOf(first),
        lastTime: timeOf(last),
        snapshot: described === null ? null : snapshot,
        pending: host.pendingOf(partition, aggregate).count,
        quarantined: quarantine.of(aggregate) ?? null,
      }
    },
    list(type, after) {
      const every = aggregates.get(type)?.definition.snapshotEvery ?? Number.POSITIVE_INFINITY
      const leads = new Set(
        engine.partitions().filter(partition => engine.status(partition)?.canServe === true),
      )
      const found = store.aggregates({
        type,
        ...(after === null ? {} : { after: { type, id: after } }),
        limit: listedMax,
        commitIndexOf: partition => engine.status(partition)?.commitIndex ?? 0,
      })
      const ids = found
        .filter(key => leads.has(partitionOf(key, init.partitions())))
        .filter(key => key.sequence >= every || store.latestSnapshot(key) !== undefined)
        .map(({ id }) => id)
      return { ids, next: found.length < listedMax ? null : (found.at(-1)?.id ?? null) }
    },
  }
}

const timeOf = (event: { readonly timeMs: number } | undefined): string | null =>
  event === undefined ? null : new Date(event.timeMs).toISOString()

const noSnapshot: AggregateSnapshot = {
  aggregate: { type: '', id: '' },
  sequence: 0,
  position: { partition: 0, index: 0 },
  state: null,
  time: '',
  definition: '',
  isCurrent: false,
  bytes: 0,
}
