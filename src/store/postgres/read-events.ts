// The reads of events: each one statement along one index.
import type { AggregateKey } from '../../core/command.ts'
import type { StoredEvent } from '../../core/record.ts'
import type { Session } from './connections.ts'
import { eventColumns } from './stored-rows.ts'

export function readStream(
  session: Session,
  options: {
    readonly schema: string
    readonly aggregate: AggregateKey
    readonly fromSequence: number
    readonly limit: number
  },
): Promise<readonly StoredEvent[]> {
  const { schema, aggregate, fromSequence, limit } = options
  return session.query<StoredEvent>(
    `select ${eventColumns('e')} from ${schema}.events e
     where e.aggregate_type = $1 and e.aggregate_id = $2 and e.sequence >= $3
     order by e.sequence limit $4`,
    [aggregate.type, aggregate.id, fromSequence, limit],
  )
}

export function readCommand(
  session: Session,
  options: { readonly schema: string; readonly aggregate: AggregateKey; readonly commandId: string },
): Promise<readonly StoredEvent[]> {
  const { schema, aggregate, commandId } = options
  return session.query<StoredEvent>(
    `select ${eventColumns('e')} from ${schema}.events f
     join ${schema}.events e on e.partition = f.partition and e.idx = f.idx
     where f.aggregate_type = $1 and f.aggregate_id = $2 and f.command_id = $3 and f.event_offset = 0
     order by e.event_offset`,
    [aggregate.type, aggregate.id, commandId],
  )
}

export async function readLog(
  session: Session,
  options: {
    readonly schema: string
    readonly partition: number
    readonly afterIndex: number
    readonly limit: number
  },
): Promise<readonly StoredEvent[]> {
  const { schema, partition, afterIndex, limit } = options
  // One more than wanted tells whether the last entry is whole.
  const rows = await session.query<StoredEvent>(
    `select ${eventColumns('e')} from ${schema}.events e
     where e.partition = $1 and e.idx > $2
     order by e.partition, e.idx, e.event_offset limit $3`,
    [partition, afterIndex, limit + 1],
  )
  if (rows.length <= limit) return rows
  const cut = rows.at(-1)?.index
  const whole = rows.filter(row => row.index !== cut)
  if (whole.length > 0) return whole
  return session.query<StoredEvent>(
    `select ${eventColumns('e')} from ${schema}.events e
     where e.partition = $1 and e.idx = $2 order by e.partition, e.idx, e.event_offset`,
    [partition, cut],
  )
}
