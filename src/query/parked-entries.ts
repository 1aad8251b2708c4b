// The dead letters of a query, in its own read model: entries that its handler failed at, and those held back behind them.
import type { Database } from 'better-sqlite3'
import type { AggregateKey } from '../core/command.ts'
import type { EventEnvelope } from '../core/event.ts'
import type { Position } from '../core/position.ts'
import { type Forgotten, forgottenEventType } from '../core/system-types.ts'

/** How many entries are parked: `failed` by themselves, `held` because an earlier one of their aggregate is. */
export interface ParkedCounts {
  readonly failed: number
  readonly held: number
}

/**
 * One entry (the events of one command), as far as the query's filter lets it through. Its position names it, for people
 * as `3:17`, as in tokens.
 */
export interface ParkedEntry extends Position {
  readonly aggregate: AggregateKey
  readonly events: readonly EventEnvelope[]
  readonly state: 'failed' | 'held'
  /** What the handler threw; null for one that is held. */
  readonly message: string | null
  readonly stack: string | null
  /** How often the handler was called with it, in vain. */
  readonly attempts: number
  /** ISO 8601: when it was parked, or failed again. */
  readonly time: string
}

/** What the handler threw, and how often. */
export interface ParkedFailure {
  readonly message: string
  readonly stack: string | null
  readonly attempts: number
  readonly time: string
}

/** Every writing method belongs into an open transaction; after one was rolled back, `refresh` is called. */
export interface ParkedEntries {
  counts(): ParkedCounts
  refresh(): void
  isHeld(aggregate: AggregateKey): boolean
  /** One without a failure is held back. */
  add(
    place: Position,
    entry: { readonly events: readonly EventEnvelope[]; readonly time: string },
    failure?: ParkedFailure,
  ): void
  remove(place: Position): void
  /** The data of this aggregate that rested encrypted with this key are gone; so is what the handler said of them. */
  forget(aggregate: AggregateKey, key: string): void
  fail(place: Position, failure: ParkedFailure): void
  /** What failed comes first, then by place. */
  list(limit: number): readonly ParkedEntry[]
  /** Aggregates with parked entries, by place. */
  aggregates(): readonly AggregateKey[]
  /** Those whose first entry has not failed: it was about to be handled when something ended. */
  released(): readonly AggregateKey[]
  /** The first entry of an aggregate after an index. */
  next(aggregate: AggregateKey, afterIndex: number): ParkedEntry | undefined
  find(place: Position): ParkedEntry | undefined
  /** The aggregates with this id, of whatever type. */
  aggregatesWithId(id: string): readonly AggregateKey[]
}

/** Makes the table, in a transaction of the caller. */
export const parkedTables = `
  create table if not exists glyn_parked (
    partition integer not null, position integer not null, aggregate_type text not null, aggregate_id text not null,
    events text not null, state text not null, message text, stack text, attempts integer not null, time text not null,
    primary key (partition, position)
  ) strict;
  create index if not exists glyn_parked_by_aggregate on glyn_parked (aggregate_type, aggregate_id, position);
`

interface Row {
  readonly partition: number
  readonly position: number
  readonly aggregate_type: string
  readonly aggregate_id: string
  readonly events: string
  readonly state: 'failed' | 'held'
  readonly message: string | null
  readonly stack: string | null
  readonly attempts: number
  readonly time: string
}

export function createParkedEntries(db: Database): ParkedEntries {
  const count = db.prepare<unknown[], ParkedCounts>(
    `select count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'held') as held
     from glyn_parked`,
  )
  const held = db
    .prepare('select 1 from glyn_parked where aggregate_type = ? and aggregate_id = ? limit 1')
    .pluck()
  const insert = db.prepare(
    `insert into glyn_parked values
     (@partition, @index, @type, @id, @events, @state, @message, @stack, @attempts, @time)`,
  )
  const stateOf = db
    .prepare<unknown[], 'failed' | 'held'>(
      'select state from glyn_parked where partition = @partition and position = @index',
    )
    .pluck()
  const remove = db.prepare('delete from glyn_parked where partition = @partition and position = @index')
  const fail = db.prepare(
    `update glyn_parked set state = 'failed', message = @message, stack = @stack, attempts = @attempts, time = @time
     where partition = @partition and position = @index`,
  )
  const ofAggregate = db.prepare<unknown[], Row>(
    'select * from glyn_parked where aggregate_type = ? and aggregate_id = ?',
  )
  const replace = db.prepare(
    `update glyn_parked set events = @events, stack = null,
       message = case when message is null then null else 'what it said is forgotten' end
     where partition = @partition and position = @position`,
  )
  const list = db.prepare<unknown[], Row>(
    `select * from glyn_parked order by state = 'held', partition, position limit ?`,
  )
  const aggregates = db.prepare<unknown[], AggregateKey>(
    `select aggregate_type as type, aggregate_id as id from glyn_parked
     group by aggregate_type, aggregate_id order by partition, min(position)`,
  )
  const released = db.prepare<unknown[], AggregateKey>(
    `select aggregate_type as type, aggregate_id as id from glyn_parked
     group by aggregate_type, aggregate_id having count(*) filter (where state = 'failed') = 0
     order by partition, min(position)`,
  )
  const next = db.prepare<unknown[], Row>(
    `select * from glyn_parked where aggregate_type = ? and aggregate_id = ? and position > ?
     order by position limit 1`,
  )
  const find = db.prepare<unknown[], Row>(
    'select * from glyn_parked where partition = @partition and position = @index',
  )
  const withId = db.prepare<unknown[], AggregateKey>(
    'select distinct aggregate_type as type, aggregate_id as id from glyn_parked where aggregate_id = ?',
  )
  const read = (): ParkedCounts => count.get() ?? { failed: 0, held: 0 }
  // Invariant: as the table is, so that a query without dead letters pays nothing for them.
  let counts = read()
  const move = (from: 'failed' | 'held' | undefined, to: 'failed' | 'held' | undefined): void => {
    const change = (state: 'failed' | 'held'): number => Number(state === to) - Number(state === from)
    counts = { failed: counts.failed + change('failed'), held: counts.held + change('held') }
  }

  return {
    counts: () => counts,
    refresh() {
      counts = read()
    },
    isHeld: ({ type, id }) => counts.failed + counts.held > 0 && held.get(type, id) !== undefined,
    add({ partition, index }, { events, time }, failure) {
      const first = events[0]
      if (first === undefined) return
      insert.run({
        partition,
        index,
        ...first.aggregate,
        events: JSON.stringify(events),
        state: failure === undefined ? 'held' : 'failed',
        ...(failure ?? { message: null, stack: null, attempts: 0, time }),
      })
      move(undefined, failure === undefined ? 'held' : 'failed')
    },
    remove({ partition, index }) {
      const state = stateOf.get({ partition, index })
      remove.run({ partition, index })
      move(state, undefined)
    },
    forget({ type, id }, key) {
      for (const { partition, position, events } of ofAggregate.all(type, id)) {
        const parked = JSON.parse(events) as EventEnvelope[]
        if (!parked.some(event => event.key === key)) continue
        const left = parked.map(event => (event.key === key ? withoutData(event, key) : event))
        replace.run({ partition, position, events: JSON.stringify(left) })
      }
    },
    fail({ partition, index }, failure) {
      const state = stateOf.get({ partition, index })
      fail.run({ partition, index, ...failure })
      if (state !== undefined) move(state, 'failed')
    },
    list: limit => list.all(limit).map(toEntry),
    aggregates: () => aggregates.all(),
    released: () => (counts.held === 0 ? [] : released.all()),
    next({ type, id }, afterIndex) {
      const row = next.get(type, id, afterIndex)
      return row === undefined ? undefined : toEntry(row)
    },
    find({ partition, index }) {
      const row = find.get({ partition, index })
      return row === undefined ? undefined : toEntry(row)
    },
    aggregatesWithId: id => withId.all(id),
  }
}

/** As other readers get it. */
const withoutData = (event: EventEnvelope, key: string): EventEnvelope =>
  event.type === forgottenEventType
    ? event
    : { ...event, type: forgottenEventType, version: 1, data: { type: event.type, key } satisfies Forgotten }

function toEntry(row: Row): ParkedEntry {
  const { partition, position, aggregate_type, aggregate_id, events, state, message, stack, attempts, time } =
    row
  return {
    partition,
    index: position,
    aggregate: { type: aggregate_type, id: aggregate_id },
    events: JSON.parse(events) as EventEnvelope[],
    state,
    message,
    stack,
    attempts,
    time,
  }
}
