// A shared store in this process: nodes of one program share a history that is forgotten with it.
import type { AggregateKey } from '../../core/command.ts'
import { GlynError } from '../../core/errors.ts'
import { type StoredEvent, toStoredEvents } from '../../core/record.ts'
import { checkAppends, rolledBack } from '../check-append.ts'
import type { Append, AppendResult, SharedSnapshot, SharedStore, StoreBinding } from '../shared-store.ts'

interface Stream {
  readonly key: AggregateKey
  /** The event of sequence n is at n - 1. */
  readonly events: StoredEvent[]
  readonly commands: Map<string, readonly StoredEvent[]>
}

/** What stores in memory share. Made by {@link createSharedMemory}; its content is theirs. */
export interface SharedMemory {
  binding: StoreBinding | null
  /** The one that has claimed it. */
  cluster: string | null
  readonly streams: Map<string, Stream>
  /** The entry of index n is at n - 1. */
  readonly logs: Map<number, (readonly StoredEvent[])[]>
  readonly snapshots: Map<string, SharedSnapshot>
  events: number
}

export function createSharedMemory(): SharedMemory {
  return {
    binding: null,
    cluster: null,
    streams: new Map(),
    logs: new Map(),
    snapshots: new Map(),
    events: 0,
  }
}

/** Each node has a store of its own, which it opens and closes; those with the same `memory` have the same history. */
export function createMemorySharedStore(options: { readonly memory?: SharedMemory } = {}): SharedStore {
  const location = 'memory'
  const memory = options.memory ?? createSharedMemory()
  let state: 'new' | 'open' | 'closed' = 'new'

  function bound(): StoreBinding {
    if (state === 'closed') throw new GlynError('SHUTTING_DOWN', `store ${location}: it is closed`)
    if (state === 'new' || memory.binding === null) {
      throw new GlynError('EVENT_STORE_ERROR', `store ${location}: it is not open; call open() first`)
    }
    return memory.binding
  }

  function judge(append: Append): AppendResult | null {
    const stream = memory.streams.get(keyOf(append.aggregate))
    const events = stream?.commands.get(append.commandId)
    if (events !== undefined) return { type: 'duplicate', events }
    const sequence = stream?.events.length ?? 0
    return sequence === append.expectedSequence ? null : { type: 'conflict', sequence }
  }

  function write(append: Append): AppendResult {
    const { partition, aggregate, commandId } = append
    const log = memory.logs.get(partition) ?? []
    memory.logs.set(partition, log)
    const key = keyOf(aggregate)
    const { type, id } = aggregate
    const stream: Stream = memory.streams.get(key) ?? { key: { type, id }, events: [], commands: new Map() }
    memory.streams.set(key, stream)
    const index = log.length + 1
    const record = { ...append, firstSequence: append.expectedSequence + 1 }
    const events = Object.freeze(
      toStoredEvents(record, { partition, index }).map(event => Object.freeze(event)),
    )
    log.push(events)
    stream.events.push(...events)
    stream.commands.set(commandId, events)
    memory.events += events.length
    return { type: 'appended', index }
  }

  /** Takes back what {@link write} did last. */
  function undo(append: Append): void {
    const key = keyOf(append.aggregate)
    const stream = memory.streams.get(key)
    memory.logs.get(append.partition)?.pop()
    stream?.events.splice(-append.events.length)
    stream?.commands.delete(append.commandId)
    if (stream?.events.length === 0) memory.streams.delete(key)
    memory.events -= append.events.length
  }

  return {
    location,
    async open(binding) {
      if (state === 'closed') throw new GlynError('SHUTTING_DOWN', `store ${location}: it is closed`)
      memory.binding ??= { scope: binding.scope, partitions: binding.partitions }
      const { scope, partitions } = memory.binding
      if (scope !== binding.scope || partitions !== binding.partitions) {
        throw new GlynError(
          'CLUSTER_MISMATCH',
          `store ${location}: it belongs to scope ${scope} with ${partitions} partitions, not to scope ${binding.scope} with ${binding.partitions}`,
          { details: { found: memory.binding, wanted: binding } },
        )
      }
      state = 'open'
    },
    async cluster(claim) {
      bound()
      memory.cluster ??= claim ?? null
      return memory.cluster
    },
    async append(appends, { isAtomic = false, signal } = {}) {
      checkAppends(appends, bound().partitions)
      signal?.throwIfAborted()
      const written: Append[] = []
      return appends.map((append, number) => {
        const refused = judge(append)
        if (refused === null) {
          written.push(append)
          return write(append)
        }
        if (!isAtomic) return refused
        for (const last of written.reverse()) undo(last)
        throw rolledBack(location, { number, append, result: refused })
      })
    },
    async readStream(aggregate, { fromSequence, limit }) {
      bound()
      const from = Math.max(fromSequence, 1) - 1
      return memory.streams.get(keyOf(aggregate))?.events.slice(from, from + limit) ?? []
    },
    async sequences(aggregates) {
      bound()
      return aggregates.map(aggregate => memory.streams.get(keyOf(aggregate))?.events.length ?? 0)
    },
    async readCommand(aggregate, commandId) {
      bound()
      return memory.streams.get(keyOf(aggregate))?.commands.get(commandId) ?? []
    },
    async readLog(partition, { afterIndex, limit }) {
      bound()
      const log = memory.logs.get(partition) ?? []
      const events: StoredEvent[] = []
      for (let place = Math.max(afterIndex, 0); place < log.length; place += 1) {
        const entry = log[place] ?? []
        if (events.length > 0 && events.length + entry.length > limit) break
        events.push(...entry)
      }
      return events
    },
    async heads() {
      bound()
      return new Map(
        [...memory.logs].map(([partition, log]) => [partition, log.length] as const).filter(([, n]) => n > 0),
      )
    },
    async latestSnapshot(aggregate) {
      bound()
      return memory.snapshots.get(keyOf(aggregate))
    },
    async writeSnapshots(snapshots) {
      bound()
      for (const snapshot of snapshots) {
        const key = keyOf(snapshot.aggregate)
        const stored = memory.snapshots.get(key)
        if (stored === undefined || snapshot.sequence >= stored.sequence)
          memory.snapshots.set(key, { ...snapshot })
      }
    },
    async aggregates({ type, after, limit }) {
      bound()
      return [...memory.streams.values()]
        .filter(
          ({ key }) =>
            (type === undefined || key.type === type) && (after === undefined || inOrder(after, key) < 0),
        )
        .sort((a, b) => inOrder(a.key, b.key))
        .slice(0, limit)
        .map(({ key, events }) => ({ ...key, sequence: events.length }))
    },
    async statistics() {
      bound()
      return { events: memory.events, aggregates: memory.streams.size }
    },
    async close() {
      state = 'closed'
    },
  }
}

const keyOf = (aggregate: AggregateKey): string => `${aggregate.type}\u0000${aggregate.id}`

/** By the bytes of UTF-8, as databases order texts. */
const inOrder = (a: AggregateKey, b: AggregateKey): number =>
  Buffer.compare(Buffer.from(a.type), Buffer.from(b.type)) ||
  Buffer.compare(Buffer.from(a.id), Buffer.from(b.id))
