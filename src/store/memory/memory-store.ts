// The store that forgets: for tests, demonstrations and nodes that keep nothing. Same behaviour as SQLite's.
import { randomUUID } from 'node:crypto'
import { invariant } from '../../core/assert.ts'
import type { AggregateKey } from '../../core/command.ts'
import { GlynError } from '../../core/errors.ts'
import { type CommandRecord, type StoredEvent, toStoredEvents } from '../../core/record.ts'
import { decodeConfiguration } from '../../raft/configuration.ts'
import type { Entry } from '../../raft/entry.ts'
import { entryBytes } from '../../raft/entry-bytes.ts'
import type { HardState, LogReader } from '../../raft/raft.ts'
import { checkWrite, emptyHardState, storageIdIsReserved, storageIdSetting } from '../check-write.ts'
import { decodeRecord } from '../record-codec.ts'
import type {
  EventKind,
  LocalStore,
  PartitionWrite,
  RecoveredPartition,
  Snapshot,
  StoreBatch,
} from '../store.ts'

interface Row {
  readonly entry: Entry
  readonly record: CommandRecord | null
}

interface Partition {
  hardState: HardState
  /** The row of index n is at n - 1. */
  readonly rows: Row[]
}

/** Where the events of one aggregate are: `events[n]` has the sequence n + 1. */
interface Stream {
  readonly key: AggregateKey
  readonly events: { readonly partition: number; readonly index: number; readonly offset: number }[]
  /** Indexes by command id. */
  readonly commands: Map<string, number>
}

/** `storageId`: a new UUID when left out. */
export function createMemoryStore(options: { readonly storageId?: string } = {}): LocalStore {
  const partitions = new Map<number, Partition>()
  const streams = new Map<string, Stream>()
  const snapshots = new Map<string, Snapshot>()
  const settings = new Map<string, string>()
  const kinds = createEventKinds()
  const statistics = { events: 0, entries: 0, bytes: 0, commits: 0 }
  let failure: Error | null = null
  let closed = false

  const rowsOf = (partition: number): readonly Row[] => partitions.get(partition)?.rows ?? []

  function apply(batch: StoreBatch): void {
    const records = checkBatch(batch)
    for (const write of batch.partitions) applyPartition(write, records)
    for (const snapshot of batch.snapshots) {
      const key = keyOf(snapshot.aggregate)
      const stored = snapshots.get(key)
      const isNewer =
        stored === undefined ||
        snapshot.sequence >= stored.sequence ||
        snapshot.definition !== stored.definition
      if (isNewer) snapshots.set(key, snapshot)
    }
    for (const [name, value] of Object.entries(batch.settings)) {
      if (value === null) settings.delete(name)
      else settings.set(name, value)
    }
    statistics.commits += 1
  }

  /** Everything that can be refused is refused here, before anything is changed. */
  function checkBatch(batch: StoreBatch): Map<Entry, CommandRecord> {
    invariant(!Object.hasOwn(batch.settings, storageIdSetting), storageIdIsReserved)
    const records = new Map<Entry, CommandRecord>()
    const seen = new Set<number>()
    for (const write of batch.partitions) {
      invariant(!seen.has(write.partition), `partition ${write.partition} stands twice in one batch`)
      seen.add(write.partition)
      const rows = rowsOf(write.partition)
      const hardState = partitions.get(write.partition)?.hardState ?? emptyHardState
      checkWrite(write, { hardState, lastIndex: rows.length })
      const next = new Map<string, number>()
      for (const { record } of rows.slice((write.truncateFrom ?? rows.length + 1) - 1).reverse()) {
        if (record !== null) next.set(keyOf(record.aggregate), record.firstSequence)
      }
      for (const entry of write.entries) {
        if (entry.kind !== 'command') continue
        const record = decodeRecord(entry.payload)
        const key = keyOf(record.aggregate)
        const free = next.get(key) ?? (streams.get(key)?.events.length ?? 0) + 1
        const { type, id } = record.aggregate
        invariant(
          record.firstSequence >= free,
          `partition ${write.partition}, index ${entry.index}: sequence ${record.firstSequence} of ${type}/${id} exists`,
        )
        next.set(key, record.firstSequence + record.events.length)
        records.set(entry, record)
      }
    }
    return records
  }

  function applyPartition(write: PartitionWrite, records: ReadonlyMap<Entry, CommandRecord>): void {
    const { partition: number } = write
    const partition = partitions.get(number) ?? { hardState: emptyHardState, rows: [] }
    partitions.set(number, partition)
    while (write.truncateFrom !== null && partition.rows.length >= write.truncateFrom) {
      const row = partition.rows.pop()
      if (row !== undefined) forget(number, row)
    }
    for (const entry of write.entries) {
      const record = records.get(entry) ?? null
      partition.rows.push({ entry, record })
      if (record !== null) remember(record, { partition: number, index: entry.index })
      statistics.entries += 1
      statistics.bytes += entry.payload.length
    }
    if (write.hardState !== null) partition.hardState = write.hardState
  }

  function remember(record: CommandRecord, place: { readonly partition: number; readonly index: number }) {
    const key = keyOf(record.aggregate)
    const stream: Stream = streams.get(key) ?? { key: record.aggregate, events: [], commands: new Map() }
    streams.set(key, stream)
    record.events.forEach((_, offset) => {
      stream.events[record.firstSequence + offset - 1] = { ...place, offset }
    })
    kinds.remember(record, place)
    if (!stream.commands.has(record.commandId)) stream.commands.set(record.commandId, place.index)
    statistics.events += record.events.length
  }

  function forget(partition: number, { entry, record }: Row): void {
    statistics.entries -= 1
    statistics.bytes -= entry.payload.length
    if (record === null) return
    const stream = streams.get(keyOf(record.aggregate))
    invariant(stream !== undefined, `no stream of ${record.aggregate.type}/${record.aggregate.id}`)
    stream.events.length = record.firstSequence - 1
    kinds.forget(record, partition)
    if (stream.commands.get(record.commandId) === entry.index) stream.commands.delete(record.commandId)
    statistics.events -= record.events.length
  }

  function eventsAt(partition: number, index: number): readonly StoredEvent[] {
    const record = rowsOf(partition)[index - 1]?.record ?? null
    return record === null ? [] : toStoredEvents(record, { partition, index })
  }

  const logOf = (partition: number): LogReader => ({
    entries(from, to, bytesMax) {
      const entries: Entry[] = []
      let bytes = 0
      for (const { entry } of rowsOf(partition).slice(from - 1, to)) {
        bytes += entryBytes(entry)
        if (bytes > bytesMax && entries.length > 0) break
        entries.push(entry)
      }
      return entries
    },
    term: index => rowsOf(partition)[index - 1]?.entry.term,
    hash: index => rowsOf(partition)[index - 1]?.entry.hash,
  })

  return {
    storageId: options.storageId ?? randomUUID(),
    location: 'memory',
    recover() {
      return [...partitions]
        .sort(([a], [b]) => a - b)
        .map(([partition, { hardState, rows }]): RecoveredPartition => {
          const configurations = rows
            .filter(({ entry }) => entry.kind === 'config')
            .map(({ entry }) => ({ index: entry.index, configuration: decodeConfiguration(entry.payload) }))
          return { partition, hardState, lastIndex: rows.length, configurations }
        })
    },
    async write(batch) {
      if (failure !== null) throw failure
      if (closed) throw new GlynError('SHUTTING_DOWN', 'store in memory: it is closed')
      try {
        apply(batch)
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error))
        throw error
      }
    },
    log: logOf,
    readAggregate(aggregate, { partition, fromSequence, throughIndex, limit }) {
      const places = streams.get(keyOf(aggregate))?.events ?? []
      const events: StoredEvent[] = []
      for (const place of places.slice(Math.max(0, fromSequence - 1))) {
        if (place === undefined || place.partition !== partition) continue
        if (place.index > throughIndex || events.length >= limit) break
        const event = eventsAt(partition, place.index)[place.offset]
        if (event !== undefined) events.push(event)
      }
      return events
    },
    readCommand(aggregate, { partition, commandId, throughIndex }) {
      const index = streams.get(keyOf(aggregate))?.commands.get(commandId)
      return index === undefined || index > throughIndex ? [] : eventsAt(partition, index)
    },
    readPartition(partition, { afterIndex, throughIndex, limit }) {
      const events: StoredEvent[] = []
      const last = Math.min(throughIndex, rowsOf(partition).length)
      for (let index = afterIndex + 1; index <= last; index += 1) {
        const more = eventsAt(partition, index)
        if (events.length > 0 && events.length + more.length > limit) break
        events.push(...more)
      }
      return events
    },
    latestSnapshot: aggregate => snapshots.get(keyOf(aggregate)),
    settings: () => new Map(settings),
    statistics: () => ({ ...statistics }),
    aggregates({ type, after, limit, commitIndexOf }) {
      const committed = commitIndexOf ?? (partition => partitions.get(partition)?.hardState.commit ?? 0)
      const listed = []
      for (const stream of [...streams.values()].sort(byTypeAndId)) {
        if (listed.length >= limit) break
        if (type !== undefined && stream.key.type !== type) continue
        if (after !== undefined && byKey(stream.key, after) <= 0) continue
        const sequence = stream.events.findLastIndex(
          place => place !== undefined && place.index <= committed(place.partition),
        )
        if (sequence >= 0) listed.push({ ...stream.key, sequence: sequence + 1 })
      }
      return listed
    },
    eventKinds: () => kinds.list(),
    snapshots: ({ type, after, limit }) =>
      [...snapshots.values()]
        .filter(({ aggregate }) => type === undefined || aggregate.type === type)
        .filter(({ aggregate }) => after === undefined || byKey(aggregate, after) > 0)
        .sort((a, b) => byKey(a.aggregate, b.aggregate))
        .slice(0, limit),
    async close() {
      closed = true
    },
  }
}

interface CountedKind extends Omit<EventKind, 'first'> {
  readonly partition: number
  readonly index: number
}

/** Counted by partition, whose end alone can be truncated: the first of a kind goes last. */
function createEventKinds() {
  const counted = new Map<string, CountedKind>()
  function count(
    record: CommandRecord,
    place: { readonly partition: number; readonly index: number },
    sign: 1 | -1,
  ): void {
    for (const [offset, { type: eventType, version }] of record.events.entries()) {
      const aggregateType = record.aggregate.type
      const key = [place.partition, aggregateType, eventType, version].join('\u0000')
      const known = counted.get(key) ?? {
        aggregateType,
        eventType,
        version,
        events: 0,
        aggregates: 0,
        ...place,
      }
      const events = known.events + sign
      const aggregates = known.aggregates + (record.firstSequence + offset === 1 ? sign : 0)
      if (events === 0) counted.delete(key)
      else counted.set(key, { ...known, events, aggregates })
    }
  }
  return {
    remember: (record: CommandRecord, place: { readonly partition: number; readonly index: number }): void =>
      count(record, place, 1),
    forget: (record: CommandRecord, partition: number): void => count(record, { partition, index: 0 }, -1),
    list(): readonly EventKind[] {
      const kinds = new Map<string, EventKind>()
      for (const { partition, index, ...kind } of counted.values()) {
        const key = [kind.aggregateType, kind.eventType, kind.version].join('\u0000')
        const known = kinds.get(key)
        const isLower = known === undefined || partition < known.first.partition
        kinds.set(key, {
          ...kind,
          events: kind.events + (known?.events ?? 0),
          aggregates: kind.aggregates + (known?.aggregates ?? 0),
          first: isLower ? { partition, index } : known.first,
        })
      }
      return [...kinds.values()].sort(
        (a, b) =>
          byBytes(a.aggregateType, b.aggregateType) ||
          byBytes(a.eventType, b.eventType) ||
          a.version - b.version,
      )
    },
  }
}

const keyOf = (aggregate: AggregateKey): string => `${aggregate.type}\u0000${aggregate.id}`

/** By the bytes of UTF-8, as SQLite orders texts. */
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
const byKey = (a: AggregateKey, b: AggregateKey): number => byBytes(a.type, b.type) || byBytes(a.id, b.id)
const byTypeAndId = (a: Stream, b: Stream): number => byKey(a.key, b.key)
