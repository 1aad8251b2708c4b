// Snapshots: one row for each aggregate, replaced by the same or a higher sequence.
import type { AggregateKey } from '../../core/command.ts'
import type { SharedSnapshot } from '../shared-store.ts'
import type { Session } from './connections.ts'

export async function latestSnapshot(
  session: Session,
  options: { readonly schema: string; readonly aggregate: AggregateKey },
): Promise<SharedSnapshot | undefined> {
  const { schema, aggregate } = options
  const [row] = await session.query<Omit<SharedSnapshot, 'aggregate'>>(
    `select sequence, state, definition, time_ms as "timeMs" from ${schema}.snapshots
     where aggregate_type = $1 and aggregate_id = $2`,
    [aggregate.type, aggregate.id],
  )
  if (row === undefined) return undefined
  const { sequence, state, definition, timeMs } = row
  return { aggregate: { type: aggregate.type, id: aggregate.id }, sequence, state, definition, timeMs }
}

export async function writeSnapshots(
  session: Session,
  options: { readonly schema: string; readonly snapshots: readonly SharedSnapshot[] },
): Promise<void> {
  const { schema } = options
  const newest = new Map<string, SharedSnapshot>()
  for (const snapshot of options.snapshots) {
    const key = JSON.stringify([snapshot.aggregate.type, snapshot.aggregate.id])
    const other = newest.get(key)
    if (other === undefined || snapshot.sequence >= other.sequence) newest.set(key, snapshot)
  }
  // Rows are locked in one order, whoever writes: no two calls wait for each other.
  const snapshots = [...newest].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, snapshot]) => snapshot)
  if (snapshots.length === 0) return
  await session.query(
    `insert into ${schema}.snapshots as old (aggregate_type, aggregate_id, sequence, state, definition, time_ms)
     select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[])
     on conflict (aggregate_type, aggregate_id) do update
     set sequence = excluded.sequence, state = excluded.state, definition = excluded.definition, time_ms = excluded.time_ms
     where excluded.sequence >= old.sequence`,
    [
      snapshots.map(({ aggregate }) => aggregate.type),
      snapshots.map(({ aggregate }) => aggregate.id),
      snapshots.map(({ sequence }) => sequence),
      snapshots.map(({ state }) => state),
      snapshots.map(({ definition }) => definition),
      snapshots.map(({ timeMs }) => timeMs),
    ],
  )
}
