// What is known of an aggregate beside its state, where the events rest in a shared store: any node can ask that.
import type { AggregateKey } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import { checkAggregateKey } from '../core/names.ts'
import { partitionOf } from '../core/partition-of.ts'
import type { StoredEvent } from '../core/record.ts'
import type { AggregateBinding } from '../partition/aggregate-host.ts'
import type { SharedSnapshot, SharedStore } from '../store/shared-store.ts'
import type { AggregateSnapshot, InspectionApi } from './inspection.ts'
import type { NodeParts } from './node-parts.ts'

/** Events whose bytes are counted: more would be read for minutes. */
const countedEventsMax = 100_000
const pageEvents = 1000

export function createSharedInspection(init: {
  readonly store: SharedStore
  readonly parts: Pick<NodeParts, 'host' | 'quarantine' | 'table' | 'state'>
  readonly aggregates: ReadonlyMap<string, AggregateBinding>
  readonly partitions: number
}): InspectionApi {
  const { store, parts, aggregates, partitions } = init

  const eventAt = async (aggregate: AggregateKey, sequence: number): Promise<StoredEvent | undefined> =>
    sequence < 1 ? undefined : (await store.readStream(aggregate, { fromSequence: sequence, limit: 1 }))[0]

  async function snapshotOf(aggregate: AggregateKey): Promise<AggregateSnapshot | null> {
    const found = await store.latestSnapshot(aggregate)
    return found === undefined ? null : describe(found, await eventAt(aggregate, found.sequence))
  }

  function describe(found: SharedSnapshot, last: StoredEvent | undefined): AggregateSnapshot {
    const { aggregate, sequence, state, definition, timeMs } = found
    const binding = aggregates.get(aggregate.type)
    return {
      aggregate,
      sequence,
      position: { partition: partitionOf(aggregate, partitions), index: last?.index ?? 0 },
      state: JSON.parse(state) as unknown,
      time: new Date(timeMs).toISOString(),
      definition,
      isCurrent:
        last?.sequence === sequence &&
        binding?.definitionId === definition &&
        binding.definition.snapshotEvery !== undefined,
      bytes: Buffer.byteLength(state),
    }
  }

  async function bytesOf(aggregate: AggregateKey, sequence: number): Promise<number> {
    let bytes = 0
    for (let from = 1; from <= sequence; from += pageEvents) {
      const limit = Math.min(pageEvents, sequence - from + 1)
      for (const { data, metadata } of await store.readStream(aggregate, { fromSequence: from, limit }))
        bytes += Buffer.byteLength(data) + Buffer.byteLength(metadata)
    }
    return bytes
  }

  return {
    async latestSnapshot(type, id) {
      const aggregate = { type, id }
      checkAggregateKey(aggregate)
      return await snapshotOf(aggregate)
    },
    async aggregateStats(type, id) {
      const aggregate = { type, id }
      checkAggregateKey(aggregate)
      const partition = partitionOf(aggregate, partitions)
      const { leader } = parts.table.leaderOf(partition)
      if (leader === null)
        throw new GlynError('UNAVAILABLE', `no leader of partition ${partition} is known just now`)
      const [sequence = 0] = await store.sequences([aggregate])
      const first = await eventAt(aggregate, Math.min(1, sequence))
      const last = await eventAt(aggregate, sequence)
      const found = await snapshotOf(aggregate)
      const { aggregate: _, state: __, ...snapshot } = found ?? { aggregate, state: null }
      return {
        aggregate,
        position: { partition, index: last?.index ?? 0 },
        leader: { peerId: leader, name: parts.state().nodes.get(leader)?.name ?? leader.slice(-6) },
        sequence,
        events: sequence,
        bytes: sequence > countedEventsMax ? null : await bytesOf(aggregate, sequence),
        firstTime: timeOf(first),
        lastTime: timeOf(last),
        snapshot: found === null ? null : (snapshot as Omit<AggregateSnapshot, 'aggregate' | 'state'>),
        pending: parts.host.pendingOf(partition, aggregate).count,
        quarantined: parts.quarantine.of(aggregate) ?? null,
      }
    },
    rebuildSnapshots: () =>
      Promise.reject(
        new GlynError(
          'INVALID_ARGUMENT',
          `snapshots rest in ${store.location}; allowed: to delete them there, and each is made again when it is due`,
        ),
      ),
  }
}

const timeOf = (event: StoredEvent | undefined): string | null =>
  event === undefined ? null : new Date(event.timeMs).toISOString()
