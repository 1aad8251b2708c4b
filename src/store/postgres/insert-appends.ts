// The one statement that writes: many appends over many partitions in one round trip, all of them or none.
import type { Append } from '../shared-store.ts'
import type { Session } from './connections.ts'

/**
 * Resolves with the index of each append, or with null, and nothing written, when the event that an append expects to be
 * the last is not there, nor made by one before it. Fails with a unique violation, and nothing written, when its sequence or its command id is taken.
 *
 * The rows of `partitions` are locked in the order of their numbers, so that two calls never wait for each other, and stay
 * locked until the commit: indexes become visible in their order. What the statement sees of `events` may be older than
 * what it gets from the lock; that does no harm. An event that is there stays there, so the one expected is no gap; and of
 * two that come after it the constraint lets in one.
 */
export async function insertAppends(
  session: Session,
  options: { readonly schema: string; readonly appends: readonly Append[] },
): Promise<readonly number[] | null> {
  const { schema, appends } = options
  const partitions = new Map<number, { entries: number; events: number; aggregates: number }>()
  const columns: unknown[][] = Array.from({ length: 12 }, () => [])
  const expected: [types: string[], ids: string[], sequences: number[]] = [[], [], []]
  const next = new Map<string, number>()
  const commands = new Set<string>()
  const steps: number[] = []
  for (const append of appends) {
    const { aggregate, partition, expectedSequence } = append
    const key = `${aggregate.type}\u0000${aggregate.id}`
    const command = `${key}\u0000${append.commandId}`
    // On top of another of this call, or a repetition of it.
    if ((next.get(key) ?? expectedSequence) !== expectedSequence || commands.has(command)) return null
    if (!next.has(key) && expectedSequence > 0) {
      expected[0].push(aggregate.type)
      expected[1].push(aggregate.id)
      expected[2].push(expectedSequence)
    }
    next.set(key, expectedSequence + append.events.length)
    commands.add(command)
    const grown = partitions.get(partition) ?? { entries: 0, events: 0, aggregates: 0 }
    partitions.set(partition, grown)
    grown.entries += 1
    grown.events += append.events.length
    if (expectedSequence === 0) grown.aggregates += 1
    steps.push(grown.entries)
    for (const [offset, event] of append.events.entries()) {
      const row = [
        partition,
        grown.entries,
        offset,
        aggregate.type,
        aggregate.id,
        expectedSequence + 1 + offset,
        event.type,
        event.version,
        event.data,
        append.metadata,
        append.commandId,
        append.timeMs,
      ]
      for (const [place, value] of row.entries()) columns[place]?.push(value)
    }
  }
  const counts = [...partitions.values()]
  const bases = await session.query<{ partition: number; base: number }>(statementOf(schema), [
    [...partitions.keys()],
    counts.map(({ entries }) => entries),
    counts.map(({ events }) => events),
    counts.map(({ aggregates }) => aggregates),
    ...expected,
    ...columns,
  ])
  if (bases.length !== partitions.size) return null
  const baseOf = new Map(bases.map(({ partition, base }) => [partition, base]))
  return appends.map(({ partition }, place) => (baseOf.get(partition) ?? 0) + (steps[place] ?? 0))
}

const statementOf = (schema: string): string => `
with
wanted as (
  select * from unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[])
    as w (partition, entries, events, aggregates)
),
missing as (
  select 1 as one from unnest($5::text[], $6::text[], $7::bigint[]) as x (aggregate_type, aggregate_id, sequence)
  where not exists (
    select 1 from ${schema}.events e
    where e.aggregate_type = x.aggregate_type and e.aggregate_id = x.aggregate_id and e.sequence = x.sequence
  )
),
locked as (
  select p.partition from ${schema}.partitions p
  where p.partition = any($1::integer[]) and not exists (select 1 from missing)
  order by p.partition for update
),
grown as (
  update ${schema}.partitions p
  set last_idx = p.last_idx + w.entries, events = p.events + w.events, aggregates = p.aggregates + w.aggregates
  from wanted w join locked l on l.partition = w.partition
  where p.partition = w.partition
  returning p.partition, p.last_idx - w.entries as base
),
added as (
  insert into ${schema}.events (partition, idx, event_offset, aggregate_type, aggregate_id, sequence,
    type, version, data, metadata, command_id, time_ms)
  select n.partition, g.base + n.step, n.event_offset, n.aggregate_type, n.aggregate_id, n.sequence,
    n.type, n.version, n.data, n.metadata, n.command_id, n.time_ms
  from unnest($8::integer[], $9::bigint[], $10::integer[], $11::text[], $12::text[], $13::bigint[],
      $14::text[], $15::integer[], $16::text[], $17::text[], $18::text[], $19::bigint[])
    as n (partition, step, event_offset, aggregate_type, aggregate_id, sequence,
      type, version, data, metadata, command_id, time_ms)
  join grown g on g.partition = n.partition
)
select partition, base from grown`
