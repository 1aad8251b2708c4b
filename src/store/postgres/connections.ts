// The way to the database: a pool whose connections come back after an outage, and statements that are tried again where that is safe.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool, PoolClient } from 'pg'
import { GlynError } from '../../core/errors.ts'
import { codeOf, isGivenUp, leavesConnectionGood, toStoreError } from './postgres-errors.ts'
import type { PostgresSettings } from './postgres-options.ts'

/** Runs statements. The rows are in the order of the answer. */
export interface Session {
  query<Row>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>
  /** Everything of `action` or nothing, with statements that see what was committed before each of them. */
  transaction<T>(action: () => Promise<T>): Promise<T>
}

export interface Connections {
  readonly location: string
  /**
   * Runs `action` on a connection. It is run again when the database gave its transaction up for the sake of another, and,
   * when `isRepeatable`, also when the connection was lost. Waits for an outage to end, for `connectTimeoutMs` at most.
   * Throws GlynErrors.
   */
  run<T>(
    action: (session: Session) => Promise<T>,
    options?: { readonly isRepeatable?: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<T>
  /** Waits for what runs. */
  close(): Promise<void>
}

/** A transaction that was given up this often stands in a crowd that more tries do not help. */
const attemptsMax = 20
const pauseMsMin = 25
const pauseMsMax = 1000
/** Callers that wait for a connection; a node has fewer unless the database stands still. */
const waitingMax = 10_000
/** A node that freezes in a transaction holds locks that its successor needs: the database ends it after this time. */
const idleInTransactionMs = 2000

export function createConnections(settings: PostgresSettings): Connections {
  const { location, connectTimeoutMs } = settings
  let opening: Promise<Pool> | null = null
  const names = new Map<string, string>()
  const running = new Set<Promise<unknown>>()
  let closing: Promise<void> | null = null
  let failures = 0

  /** A statement with a name is planned once per connection: planning takes longer than running it. */
  function nameOf(text: string, values: readonly unknown[]): { readonly name?: string } {
    if (values.length === 0) return {}
    const name = names.get(text) ?? `glyn_${names.size + 1}`
    names.set(text, name)
    return { name }
  }

  async function attempt<T>(action: (session: Session) => Promise<T>, sent: () => void): Promise<T> {
    opening ??= openPool(settings)
    const pool = await opening
    if (pool.waitingCount >= waitingMax) {
      throw new GlynError(
        'OVERLOADED',
        `store ${location}: ${waitingMax} calls wait for a connection already`,
      )
    }
    const client = await pool.connect()
    failures = 0
    sent()
    let isGood = true
    const query = async <Row>(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> => {
      try {
        const { rows } = await client.query({ ...nameOf(text, values), text, values: [...values] })
        return rows as Row[]
      } catch (error) {
        isGood &&= leavesConnectionGood(error)
        throw error
      }
    }
    const transaction = async <R>(inner: () => Promise<R>): Promise<R> => {
      await query('begin isolation level read committed')
      try {
        const value = await inner()
        await query('commit')
        return value
      } catch (error) {
        if (isGood) {
          await query('rollback').catch(() => {
            // The server rolls back when the connection ends, and it ends now. What went wrong first is thrown on.
            isGood = false
          })
        }
        throw error
      }
    }
    try {
      return await action({ query, transaction })
    } finally {
      // A connection in doubt is cut: its end would wait for an answer that may never come.
      if (!isGood) socketOf(client)?.destroy()
      client.release(!isGood)
    }
  }

  async function runAll<T>(
    action: (session: Session) => Promise<T>,
    { isRepeatable = false, signal }: { isRepeatable?: boolean; signal?: AbortSignal | undefined },
  ): Promise<T> {
    const deadline = performance.now() + connectTimeoutMs
    for (let number = 1; ; number += 1) {
      signal?.throwIfAborted()
      let isSent = false
      try {
        return await attempt(action, () => {
          isSent = true
        })
      } catch (error) {
        const meant = toStoreError(error, location)
        const isOutage =
          meant instanceof GlynError && meant.code === 'UNAVAILABLE' && (!isSent || isRepeatable)
        if (isOutage) failures += 1
        const pauseMs = pauseAfter(isOutage ? failures : number)
        const mayTry = isGivenUp(error)
          ? number < attemptsMax
          : isOutage && performance.now() + pauseMs < deadline
        if (!mayTry) throw meant
        await sleep(pauseMs, undefined, signal === undefined ? {} : { signal }).catch(aborted => {
          throw signal?.aborted === true ? signal.reason : aborted
        })
      }
    }
  }

  return {
    location,
    async run(action, options = {}) {
      if (closing !== null) throw new GlynError('SHUTTING_DOWN', `store ${location}: it is closed`)
      const work = runAll(action, options)
      running.add(work)
      try {
        return await work
      } finally {
        running.delete(work)
      }
    },
    async close() {
      closing ??= (async () => {
        await Promise.allSettled(running)
        await (await opening)?.end()
      })()
      await closing
    },
  }
}

/** Connects nowhere yet. The driver is loaded here, for who uses no PostgreSQL needs none of it. */
async function openPool(settings: PostgresSettings): Promise<Pool> {
  const { connectionString, location, poolSize, connectTimeoutMs, statementTimeoutMs } = settings
  const { Client, Pool, types } = await import('pg')
  try {
    new Client({ connectionString })
  } catch (error) {
    // The error may hold the whole text, with the password: only its code is told on.
    const code = codeOf(error) || 'it cannot be read'
    throw new GlynError(
      'INVALID_CONFIGURATION',
      `store ${location}: the connection string cannot be used (${code}); allowed: postgres://user:password@host:5432/database, with files of sslrootcert, sslcert and sslkey that can be read`,
    )
  }
  const pool = new Pool({
    connectionString,
    application_name: 'glyn-node',
    max: poolSize,
    connectionTimeoutMillis: connectTimeoutMs,
    // Here a little later than there: what the server gives up is known, what is given up here is not.
    query_timeout: statementTimeoutMs + 1000,
    keepAlive: true,
    idleTimeoutMillis: 60_000,
    types: {
      // 8-byte integers are indexes, sequences and times: all within 53 bits.
      getTypeParser: (oid: number, format?: 'text' | 'binary') =>
        oid === types.builtins.INT8 ? Number : types.getTypeParser(oid, format as 'text'),
    },
    // Awaited before the connection is given out.
    onConnect: async client => {
      await client.query(sessionSettings, [`${statementTimeoutMs}`, `${idleInTransactionMs}`])
    },
  })
  // The next call finds the pool without the connection that was lost while nobody used it, and makes another.
  pool.on('error', () => {})
  // While somebody uses it, its statement fails and says so.
  pool.on('connect', client => client.on('error', () => {}))
  return pool
}

/** Twice as long after each failure, and not all at the same moment. */
function pauseAfter(failures: number): number {
  const longest = Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(failures - 1, 10))
  return longest * (0.5 + Math.random() / 2)
}

/**
 * `synchronous_commit`: an acknowledged append is on the disk, whatever the database's default is. `enable_seqscan`: every
 * statement has its index; a plan that was made while a table was small must not read all of it when it is large.
 */
const sessionSettings = `
select set_config('statement_timeout', $1, false),
  set_config('idle_in_transaction_session_timeout', $2, false),
  set_config('enable_seqscan', 'off', false),
  case when current_setting('synchronous_commit', true) = 'off' then set_config('synchronous_commit', 'on', false) end`

function socketOf(client: PoolClient): { destroy(): void } | undefined {
  return (client as unknown as { connection?: { stream?: { destroy(): void } } }).connection?.stream
}
