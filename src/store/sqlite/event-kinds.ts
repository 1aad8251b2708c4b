// What kinds of events the log holds, counted while rows are folded into it: at a start nobody scans the history to know.
import type { Database } from 'better-sqlite3'
import type { EventKind } from '../store.ts'
import { rowIndexMax, rowsBetween } from './row-id.ts'

/**
 * Of each partition, as the log holds it; the tail is counted when it is read. Invariant: `first_idx` is the lowest index
 * of the kind in its partition. A truncation takes the end of a partition away, so it changes only when nothing is left.
 */
export const eventKindsTable = `
create table event_kinds (
  partition integer not null,
  aggregate_type text not null,
  event_type text not null,
  event_version integer not null,
  events integer not null,
  aggregates integer not null,
  first_idx integer not null,
  primary key (partition, aggregate_type, event_type, event_version)
) strict, without rowid;

insert into event_kinds (partition, aggregate_type, event_type, event_version, events, aggregates, first_idx)
select partition, aggregate_type, event_type, event_version, count(*), sum(sequence = 1), min(idx)
from log where kind = 'command' group by partition, aggregate_type, event_type, event_version;
`

export interface KindsOfLog {
  /** Inside the transaction that has written these entries to the log. */
  folded(partition: number, range: { readonly after: number; readonly through: number }): void
  /** Inside the transaction that removes the entries from `from` on from the log, before it does. */
  truncating(partition: number, from: number): void
}

export function createKindsOfLog(database: Database): KindsOfLog {
  const grouped = `select partition, aggregate_type, event_type, event_version, count(*) as events,
      sum(sequence = 1) as aggregates, min(idx) as first_idx
    from log where ${rowsBetween} and kind = 'command' group by aggregate_type, event_type, event_version`
  const add = database.prepare<[number, number, number, number]>(
    `insert into event_kinds (partition, aggregate_type, event_type, event_version, events, aggregates, first_idx)
     select * from (${grouped}) where true
     on conflict do update set events = events + excluded.events, aggregates = aggregates + excluded.aggregates`,
  )
  const subtract = database.prepare<[number, number, number, number]>(
    `update event_kinds set events = event_kinds.events - gone.events,
       aggregates = event_kinds.aggregates - gone.aggregates
     from (${grouped}) as gone
     where event_kinds.partition = gone.partition and event_kinds.aggregate_type = gone.aggregate_type
       and event_kinds.event_type = gone.event_type and event_kinds.event_version = gone.event_version`,
  )
  const forget = database.prepare<[number]>('delete from event_kinds where partition = ? and events = 0')
  return {
    folded(partition, { after, through }) {
      add.run(partition, after, partition, through)
    },
    truncating(partition, from) {
      subtract.run(partition, from - 1, partition, rowIndexMax)
      forget.run(partition)
    },
  }
}

/** Log and tail together, over all partitions; by aggregate type, event type and version. */
export function prepareEventKinds(database: Database): () => readonly EventKind[] {
  // The bare columns are those of the row with the lowest partition: SQLite takes them from the row of min().
  const read = database.prepare<[], KindRow>(
    `with unfolded as (
       select tail.partition as partition, aggregate_type, event_type, event_version, count(*) as events,
         sum(sequence = 1) as aggregates, min(idx) as first_idx
       from tail cross join partitions on partitions.partition = tail.partition
       where idx > last_idx and kind = 'command'
       group by tail.partition, aggregate_type, event_type, event_version
     ), everywhere as (
       select partition, aggregate_type, event_type, event_version, events, aggregates, first_idx from event_kinds
       union all
       select partition, aggregate_type, event_type, event_version, events, aggregates, first_idx from unfolded
     )
     select aggregate_type as aggregateType, event_type as eventType, event_version as version, sum(events) as events,
       sum(aggregates) as aggregates, min(partition * ${rowIndexMax + 2} + first_idx) as place, partition,
       first_idx as firstIndex
     from everywhere group by aggregate_type, event_type, event_version
     order by aggregate_type, event_type, event_version`,
  )
  return () =>
    read.all().map(({ partition, firstIndex, place: _, ...kind }) => ({
      ...kind,
      first: { partition, index: firstIndex },
    }))
}

type KindRow = Omit<EventKind, 'first'> & {
  readonly partition: number
  readonly firstIndex: number
  readonly place: number
}
