// What a running node offers around its queries beside asking them. One place for the library, the HTTP API and the CLI.
import type { QueryStatus } from '../query/query.ts'
import type { ParkedApi } from './parked-api.ts'
import type { SqlApi } from './sql-api.ts'

export type { QueryStatus } from '../query/query.ts'

/** What there is to do with queries beside asking them. */
export interface QueriesApi extends ParkedApi, SqlApi {
  /** Sorted by name. */
  list(): Promise<readonly QueryStatus[]>
  /**
   * Begins to build the read model anew beside the old one, which keeps answering until the new one has caught up. Resolves
   * when it has begun; `list` tells how far it is. Nothing new begins while one is built already. Throws UNKNOWN_QUERY,
   * QUERY_FAILED for a query that does not load, INVALID_ARGUMENT for one that is paused.
   */
  rebuild(name: string): Promise<QueryStatus>
  /** It sees no more events until `resume`, also after a restart, and keeps answering. Idempotent. Throws UNKNOWN_QUERY. */
  pause(name: string): Promise<QueryStatus>
  /** Idempotent. Throws UNKNOWN_QUERY. */
  resume(name: string): Promise<QueryStatus>
}
