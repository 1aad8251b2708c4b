// A shared store in PostgreSQL: the database orders, makes durable and replicates; see docs/stores.md.
import { GlynError } from '../../core/errors.ts'
import { checkAppends } from '../check-append.ts'
import type { SharedStore, StoreBinding } from '../shared-store.ts'
import { createAppendQueue } from './append-queue.ts'
import { clusterOf } from './cluster-of.ts'
import { createConnections, type Session } from './connections.ts'
import { readSequences } from './judge-appends.ts'
import { checkPostgresOptions, type PostgresOptions } from './postgres-options.ts'
import { openSchema, type PostgresMigration, postgresMigrations } from './postgres-schema.ts'
import { readCommand, readLog, readStream } from './read-events.ts'
import { latestSnapshot, writeSnapshots } from './snapshots.ts'
import { writeAppends } from './write-appends.ts'

/**
 * A store in PostgreSQL 12 or newer, for all nodes that are given the same database and schema. Connects at `open`. Throws
 * INVALID_CONFIGURATION when an option is wrong; the calls throw what the port says.
 */
export function postgresStore(options: PostgresOptions): SharedStore {
  return createPostgresStore(options)
}

/** The same, with the steps between formats as an argument. */
export function createPostgresStore(
  options: PostgresOptions,
  migrations: readonly PostgresMigration[] = postgresMigrations,
): SharedStore {
  const settings = checkPostgresOptions(options)
  const { schema, location } = settings
  const connections = createConnections(settings)
  const queue = createAppendQueue({
    location,
    write: (appends, isAtomic) => writeAppends(connections, { schema, appends, isAtomic }),
  })
  let binding: StoreBinding | null = null
  let closing: Promise<void> | null = null

  function bound(): StoreBinding {
    if (closing !== null) throw new GlynError('SHUTTING_DOWN', `store ${location}: it is closed`)
    if (binding !== null) return binding
    throw new GlynError('EVENT_STORE_ERROR', `store ${location}: it is not open; call open() first`)
  }

  async function read<T>(action: (session: Session) => Promise<T>): Promise<T> {
    bound()
    return connections.run(action, { isRepeatable: true })
  }

  return {
    location,
    async open(wanted) {
      const { scope, partitions } = wanted
      await openSchema(connections, { schema, binding: { scope, partitions }, migrations })
      binding = { scope, partitions }
    },
    // Claimed twice by one cluster is claimed once: it may be repeated.
    cluster: claim => read(session => clusterOf(session, { schema, claim: claim ?? null })),
    async append(appends, { isAtomic = false, signal } = {}) {
      checkAppends(appends, bound().partitions)
      signal?.throwIfAborted()
      return appends.length === 0 ? [] : queue.append(appends, { isAtomic, signal })
    },
    readStream: (aggregate, range) => read(session => readStream(session, { schema, aggregate, ...range })),
    sequences: aggregates =>
      read(async session => (aggregates.length === 0 ? [] : readSequences(session, { schema, aggregates }))),
    readCommand: (aggregate, commandId) =>
      read(session => readCommand(session, { schema, aggregate, commandId })),
    readLog: (partition, range) => read(session => readLog(session, { schema, partition, ...range })),
    heads: () =>
      read(async session => {
        const rows = await session.query<{ partition: number; last: number }>(
          `select partition, last_idx as last from ${schema}.partitions where last_idx > 0`,
        )
        return new Map(rows.map(({ partition, last }) => [partition, last]))
      }),
    latestSnapshot: aggregate => read(session => latestSnapshot(session, { schema, aggregate })),
    // Written twice is written once: it may be repeated.
    writeSnapshots: snapshots => read(session => writeSnapshots(session, { schema, snapshots })),
    aggregates: ({ type = null, after, limit }) =>
      read(session =>
        session.query(
          `select f.aggregate_type as type, f.aggregate_id as id, (
             select e.sequence from ${schema}.events e
             where e.aggregate_type = f.aggregate_type and e.aggregate_id = f.aggregate_id
             order by e.sequence desc limit 1
           ) as sequence
           from ${schema}.events f
           where f.sequence = 1 ${type === null ? '' : 'and f.aggregate_type = $4'}
             and (f.aggregate_type, f.aggregate_id) > ($1, $2)
           order by f.aggregate_type, f.aggregate_id limit $3`,
          [after?.type ?? '', after?.id ?? '', limit, ...(type === null ? [] : [type])],
        ),
      ),
    statistics: () =>
      read(async session => {
        const [row] = await session.query<{ events: number; aggregates: number }>(
          `select sum(events)::bigint as events, sum(aggregates)::bigint as aggregates from ${schema}.partitions`,
        )
        return { events: row?.events ?? 0, aggregates: row?.aggregates ?? 0 }
      }),
    async close() {
      closing ??= queue.idle().then(() => connections.close())
      await closing
    },
  }
}
