// Who reads committed events, whether as a feed or as a query, gets each of them once, in the order of its partition.
import type { Database } from 'better-sqlite3'
import type { EventEnvelope } from '../../core/event.ts'
import type { StoredEvent } from '../../core/record.ts'
import type { AnyQuery } from '../../query/define-query.ts'
import type { Canon } from './canon.ts'
import type { About } from './story.ts'

export interface EventWatchInit {
  readonly canon: Canon
  readonly violated: (text: string, about: About) => void
  /** Thrown dice: the query's own code throws now and then. */
  readonly mayThrow: () => boolean
}

/** Null when the event is the one that is due. */
export function differenceOf(due: StoredEvent | undefined, event: EventEnvelope): string | null {
  if (due === undefined) return `got ${event.id}, which is not committed`
  const isDue =
    due.index === event.position.index &&
    due.sequence === event.sequence &&
    due.aggregateId === event.aggregate.id &&
    due.aggregateType === event.aggregate.type &&
    due.commandId === event.commandId
  const id = `${due.aggregateType}/${due.aggregateId}/${due.sequence}`
  return isDue
    ? null
    : `got ${event.id} of entry ${event.position.index} when ${id} of entry ${due.index} was due`
}

/** One reader of the feed: it goes on where it stopped, on whichever node. */
export class FeedReader {
  readonly #init: EventWatchInit
  readonly #name: string
  /** Events read by partition. */
  readonly #read = new Map<number, number>()
  /** Index of the last event read, by partition. */
  readonly positions = new Map<number, number>()

  constructor(name: string, init: EventWatchInit) {
    this.#name = name
    this.#init = init
  }

  reads(event: EventEnvelope): void {
    const { partition, index } = event.position
    const count = this.#read.get(partition) ?? 0
    const difference = differenceOf(this.#init.canon.events(partition)[count], event)
    if (difference !== null) this.#init.violated(`${this.#name} ${difference}`, { partition })
    this.#read.set(partition, count + 1)
    this.positions.set(partition, index)
  }

  /** How many events it has not seen yet. */
  lag(partitions: number): number {
    let lag = 0
    for (let partition = 1; partition <= partitions; partition += 1) {
      lag += this.#init.canon.events(partition).length - (this.#read.get(partition) ?? 0)
    }
    return lag
  }
}

/**
 * The same query, which counts in its own database, and so in the same transaction, the events that it has handled. What
 * a crash takes back is counted back. One that parks has its order within aggregates, or, where it does not hold later
 * events back, none at all.
 */
export function watchQuery(query: AnyQuery, init: EventWatchInit & { readonly on: string }): AnyQuery {
  const { canon, on } = init
  return {
    ...query,
    init(database: Database) {
      database.exec(
        `create table if not exists simulated
           (partition integer not null, line text not null, handled integer not null, primary key (partition, line))`,
      )
      query.init?.(database)
    },
    handle(aggregateId, events, context) {
      const { db } = context
      if (init.mayThrow())
        throw new Error('the simulator lets the query throw before it has handled anything')
      query.handle(aggregateId, events, context)
      const read = db.prepare('select handled from simulated where partition = ? and line = ?').pluck()
      const write = db.prepare('insert or replace into simulated values (?, ?, ?)')
      for (const event of events) {
        const { partition } = event.position
        const line = lineOf(query, event)
        const handled = Number(read.get(partition, line) ?? 0)
        const due = dueTo(query, canon.events(partition)).filter(
          ({ aggregateType: type, aggregateId: id, sequence }) =>
            lineOf(query, { aggregate: { type, id }, id: `${type}/${id}/${sequence}` }) === line,
        )
        const difference = differenceOf(due[handled], event)
        if (difference !== null) init.violated(`query ${query.name} on ${on} ${difference}`, { partition })
        write.run(partition, line, handled + 1)
      }
      if (init.mayThrow())
        throw new Error('the simulator lets the query throw after it has handled everything')
    },
  }
}

/** What keeps its order: the events of a partition, those of an aggregate, or each event is on its own. */
function lineOf(
  { onError, afterParked = 'hold' }: AnyQuery,
  event: Pick<EventEnvelope, 'id' | 'aggregate'>,
): string {
  if (onError !== 'park') return 'partition'
  return afterParked === 'hold' ? `${event.aggregate.type}/${event.aggregate.id}` : event.id
}

/** Of these events, those that the query asks for. */
export function dueTo({ filter }: AnyQuery, events: readonly StoredEvent[]): readonly StoredEvent[] {
  if (filter === undefined) return events
  const { aggregateTypes, eventTypes } = filter
  return events.filter(
    event =>
      (aggregateTypes === undefined || aggregateTypes.includes(event.aggregateType)) &&
      (eventTypes === undefined || eventTypes.includes(event.type)),
  )
}

/** Events handled by partition, as the database of a watched query says. */
export const handledBy = (database: Database): ReadonlyMap<number, number> =>
  new Map(
    database.prepare('select partition, sum(handled) from simulated group by partition').raw().all() as [
      number,
      number,
    ][],
  )

/** Events that are parked or held back, by partition. */
export const parkedBy = (database: Database): ReadonlyMap<number, number> =>
  new Map(
    database
      .prepare('select partition, sum(json_array_length(events)) from glyn_parked group by partition')
      .raw()
      .all() as [number, number][],
  )
