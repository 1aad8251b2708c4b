// What a running node offers for reading read models with SQL.

import { GlynError } from '../core/errors.ts'
import type { Positions } from '../core/position.ts'
import type { QueryHost } from '../query/query-host.ts'
import { createSqlRunner } from '../query/run-sql.ts'
import { type SqlAnswer, sqlLimits } from '../query/sql-limits.ts'
import { checkPositive } from './check-arguments.ts'

export { type SqlAnswer, type SqlValue, sqlLimits } from '../query/sql-limits.ts'

/** Read-only SQL on the read model of a query. */
export interface SqlApi {
  /**
   * Runs one SELECT on the read model of a query of this node, in a process of its own that can only read. `:name`, `@name`
   * and `$name` in the text are parameters. Throws UNKNOWN_QUERY, INVALID_ARGUMENT for anything but one SELECT and for what
   * SQLite says of it, TIMEOUT, OVERLOADED, QUERY_LAGGING, QUERY_FAILED.
   */
  sql(
    name: string,
    text: string,
    parameters?: Readonly<Record<string, unknown>>,
    options?: SqlOptions,
  ): Promise<SqlAnswer>
}

/** How a select is run. */
export interface SqlOptions {
  /** Rows of the answer at most; `truncated` says that there are more. Default 1000. */
  readonly limit?: number
  /** Default 10 000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** A token: the query has seen it before the statement begins. */
  readonly after?: string
}

export function createSqlApi(
  host: Pick<QueryHost, 'ask' | 'readModelOf'>,
  parseAfter: (token: string) => Positions,
): SqlApi {
  const run = createSqlRunner()
  return {
    async sql(name, text, parameters = {}, options = {}) {
      const { limit: rows = sqlLimits.rowsDefault, signal, after } = options
      const timeoutMs = checkPositive('timeoutMs', options.timeoutMs ?? sqlLimits.timeoutMs)
      if (typeof text !== 'string')
        throw new GlynError('INVALID_ARGUMENT', 'sql: the statement is not a text')
      const path = host.readModelOf(name)
      if (path === null) {
        const why = `query ${name} keeps its read model in memory, where SQL cannot reach it`
        throw new GlynError('INVALID_ARGUMENT', `${why}; give the node a data directory`)
      }
      if (after !== undefined) {
        await host.ask(name, 'seen', {}, { kind: 'seen', timeoutMs, signal, after: parseAfter(after) })
      }
      return await run({ name, path, text, parameters, rows, timeoutMs, signal })
    },
  }
}
