// Which of many appends are refused, and why, when their partitions are locked.
import type { AggregateKey } from '../../core/command.ts'
import { type StoredEvent, toStoredEvents } from '../../core/record.ts'
import type { Append, AppendResult } from '../shared-store.ts'
import type { Session } from './connections.ts'
import { eventColumns } from './stored-rows.ts'

/** What is to be done with one append. An `again` repeats the command id of an earlier append of the same call. */
export type Verdict =
  | { readonly type: 'write' }
  | { readonly type: 'again'; readonly of: number }
  | { readonly type: 'refused'; readonly result: AppendResult }

/** Judges each append on top of those before it. */
export async function judgeAppends(
  session: Session,
  options: { readonly schema: string; readonly appends: readonly Append[] },
): Promise<readonly Verdict[]> {
  const { schema, appends } = options
  const keys = [...new Map(appends.map(({ aggregate }) => [keyOf(aggregate), aggregate])).values()]
  const found = await readSequences(session, { schema, aggregates: keys })
  const sequences = new Map(keys.map((aggregate, place) => [keyOf(aggregate), found[place] ?? 0]))
  const commands = await readCommands(session, { schema, appends })
  const written = new Map<string, number>()
  return appends.map((append, number): Verdict => {
    const key = keyOf(append.aggregate)
    const command = commandKeyOf(append)
    const events = commands.get(command)
    if (events !== undefined) return { type: 'refused', result: { type: 'duplicate', events } }
    const earlier = written.get(command)
    if (earlier !== undefined) return { type: 'again', of: earlier }
    const sequence = sequences.get(key) ?? 0
    if (sequence !== append.expectedSequence) {
      return { type: 'refused', result: { type: 'conflict', sequence } }
    }
    sequences.set(key, sequence + append.events.length)
    written.set(command, number)
    return { type: 'write' }
  })
}

/** The rows of an append that was written at an index. */
export const rowsOf = (append: Append, index: number): StoredEvent[] =>
  toStoredEvents(
    { ...append, firstSequence: append.expectedSequence + 1 },
    { partition: append.partition, index },
  )

export async function readSequences(
  session: Session,
  options: { readonly schema: string; readonly aggregates: readonly AggregateKey[] },
): Promise<readonly number[]> {
  const { schema, aggregates } = options
  const rows = await session.query<{ sequence: number | null }>(
    `select (
       select e.sequence from ${schema}.events e
       where e.aggregate_type = a.aggregate_type and e.aggregate_id = a.aggregate_id
       order by e.sequence desc limit 1
     ) as sequence
     from unnest($1::text[], $2::text[]) with ordinality as a (aggregate_type, aggregate_id, place)
     order by a.place`,
    [aggregates.map(({ type }) => type), aggregates.map(({ id }) => id)],
  )
  return rows.map(({ sequence }) => sequence ?? 0)
}

async function readCommands(
  session: Session,
  options: { readonly schema: string; readonly appends: readonly Append[] },
): Promise<ReadonlyMap<string, readonly StoredEvent[]>> {
  const { schema } = options
  const appends = [...new Map(options.appends.map(append => [commandKeyOf(append), append])).values()]
  const rows = await session.query<StoredEvent>(
    `select ${eventColumns('e')}
     from unnest($1::text[], $2::text[], $3::text[]) as c (aggregate_type, aggregate_id, command_id)
     join ${schema}.events f on f.aggregate_type = c.aggregate_type and f.aggregate_id = c.aggregate_id
       and f.command_id = c.command_id and f.event_offset = 0
     join ${schema}.events e on e.partition = f.partition and e.idx = f.idx
     order by e.partition, e.idx, e.event_offset`,
    [
      appends.map(({ aggregate }) => aggregate.type),
      appends.map(({ aggregate }) => aggregate.id),
      appends.map(({ commandId }) => commandId),
    ],
  )
  const commands = new Map<string, StoredEvent[]>()
  for (const row of rows) {
    const key = commandKeyOf({
      aggregate: { type: row.aggregateType, id: row.aggregateId },
      commandId: row.commandId,
    })
    const events = commands.get(key) ?? []
    commands.set(key, events)
    events.push(row)
  }
  return commands
}

const keyOf = (aggregate: AggregateKey): string => `${aggregate.type}\u0000${aggregate.id}`

const commandKeyOf = (append: Pick<Append, 'aggregate' | 'commandId'>): string =>
  `${keyOf(append.aggregate)}\u0000${append.commandId}`
