// What a reading connection knows of the rows in `tail`: kept in memory, caught up when something is read, forgotten when
// rows have left it. Bounded by the tail, which folds keep short. Everything here is called inside a read transaction.
import type { Database, Statement } from 'better-sqlite3'
import { InvariantError } from '../../core/assert.ts'

/**
 * Calls `add` once for each row of the tail, in order; `forget` when the rows up to an id are in the log only; `reset`
 * before it starts over, after a truncation. Returns how to catch up.
 */
export function followTail<Row extends [id: number, ...rest: unknown[]]>(
  database: Database,
  listener: {
    readonly columns: string
    reset(): void
    forget(throughId: number): void
    add(row: Row): void
  },
): () => void {
  const readState = database.prepare<[], { readonly epoch: number; readonly foldedThrough: number }>(
    'select epoch, folded_through as foldedThrough from tail_state',
  )
  const readRows = database
    .prepare<[number], Row>(`select id, ${listener.columns} from tail where id > ? order by id`)
    .raw() as Statement<[number], Row>
  let epoch = 0
  let forgottenThrough = 0
  let lastId = 0
  return () => {
    const state = readState.get()
    if (state === undefined) throw new InvariantError('tail_state has no row')
    if (state.epoch !== epoch) {
      listener.reset()
      epoch = state.epoch
      lastId = 0
    } else if (state.foldedThrough !== forgottenThrough) listener.forget(state.foldedThrough)
    forgottenThrough = state.foldedThrough
    for (const row of readRows.all(lastId)) {
      listener.add(row)
      lastId = row[0]
    }
  }
}

/** Where the entries of each partition are in the tail. Some may be in the log already: ask for what comes after. */
export interface TailPlaces {
  catchUp(): void
  /** Ids of the rows with `afterIndex` < index <= `throughIndex`, in order, at most `limit`. */
  idsBetween(
    partition: number,
    range: { readonly afterIndex: number; readonly throughIndex: number; readonly limit: number },
  ): readonly number[]
}

interface Places {
  readonly ids: number[]
  readonly indexes: number[]
}

export function createTailPlaces(database: Database): TailPlaces {
  const partitions = new Map<number, Places>()
  return {
    catchUp: followTail<[id: number, partition: number, index: number]>(database, {
      columns: 'partition, idx',
      reset: () => partitions.clear(),
      forget(throughId) {
        for (const [partition, { ids, indexes }] of partitions) {
          const count = firstAbove(ids, throughId)
          ids.splice(0, count)
          indexes.splice(0, count)
          if (ids.length === 0) partitions.delete(partition)
        }
      },
      add([id, partition, index]) {
        const places = partitions.get(partition)
        if (places === undefined) partitions.set(partition, { ids: [id], indexes: [index] })
        else {
          places.ids.push(id)
          places.indexes.push(index)
        }
      },
    }),
    idsBetween(partition, { afterIndex, throughIndex, limit }) {
      const places = partitions.get(partition)
      if (places === undefined) return []
      const from = firstAbove(places.indexes, afterIndex)
      const to = firstAbove(places.indexes, throughIndex)
      return places.ids.slice(from, Math.min(to, from + limit))
    },
  }
}

/** What the aggregates did in the tail. */
export interface TailAggregates {
  catchUp(): void
  /** Ids of the rows with sequence >= `fromSequence` and index <= `throughIndex`, in order, at most `limit`. */
  idsFrom(
    place: AggregatePlace,
    range: { readonly fromSequence: number; readonly throughIndex: number; readonly limit: number },
  ): readonly number[]
  /** The index of the first entry of that command. */
  indexOfCommand(place: AggregatePlace, commandId: string): number | undefined
}

export interface AggregatePlace {
  readonly partition: number
  readonly type: string
  readonly id: string
}

interface Stream {
  readonly ids: number[]
  readonly sequences: number[]
  readonly indexes: number[]
  readonly commands: Map<string, number>
}

type StreamRow = [
  id: number,
  partition: number,
  index: number,
  type: string | null,
  aggregateId: string,
  sequence: number,
  commandId: string,
]

export function createTailAggregates(database: Database): TailAggregates {
  const streams = new Map<string, Stream>()
  const keyOf = ({ partition, type, id }: AggregatePlace): string => `${partition}\u0000${type}\u0000${id}`
  return {
    catchUp: followTail<StreamRow>(database, {
      columns: 'partition, idx, aggregate_type, aggregate_id, sequence, command_id',
      reset: () => streams.clear(),
      forget(throughId) {
        for (const [key, stream] of streams) {
          forgetEvents(stream, firstAbove(stream.ids, throughId))
          if (stream.ids.length === 0) streams.delete(key)
        }
      },
      add([rowId, partition, index, type, id, sequence, commandId]) {
        if (type === null) return
        const key = keyOf({ partition, type, id })
        let stream = streams.get(key)
        if (stream === undefined) {
          stream = { ids: [], sequences: [], indexes: [], commands: new Map() }
          streams.set(key, stream)
        }
        stream.ids.push(rowId)
        stream.sequences.push(sequence)
        stream.indexes.push(index)
        if (!stream.commands.has(commandId)) stream.commands.set(commandId, index)
      },
    }),
    idsFrom(place, { fromSequence, throughIndex, limit }) {
      const stream = streams.get(keyOf(place))
      if (stream === undefined) return []
      const from = firstAbove(stream.sequences, fromSequence - 1)
      const to = firstAbove(stream.indexes, throughIndex)
      return stream.ids.slice(from, Math.max(from, Math.min(to, from + limit)))
    },
    indexOfCommand: (place, commandId) => streams.get(keyOf(place))?.commands.get(commandId),
  }
}

/** The oldest `count` events. Whole entries: a command id that comes again later is found in the log first. */
function forgetEvents({ ids, sequences, indexes, commands }: Stream, count: number): void {
  if (count === 0) return
  const through = indexes[count - 1] ?? 0
  ids.splice(0, count)
  sequences.splice(0, count)
  indexes.splice(0, count)
  for (const [commandId, index] of commands) {
    if (index > through) break
    commands.delete(commandId)
  }
}

/** The place of the first number that is larger, in a list that never falls. */
function firstAbove(numbers: readonly number[], value: number): number {
  let low = 0
  let high = numbers.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((numbers[middle] ?? Number.POSITIVE_INFINITY) > value) high = middle
    else low = middle + 1
  }
  return low
}
