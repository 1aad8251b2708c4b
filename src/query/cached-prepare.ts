// Handlers prepare the same few statements for every aggregate: they are kept, and cost their compilation once.
import type { Database, Statement } from 'better-sqlite3'
import { LRUCache } from 'lru-cache'

/** Statements kept per read model. */
const statementsMax = 200

/**
 * Lets `db.prepare` give the same statement again for the same text. One that was changed by a call of its own (`pluck`,
 * `bind`, …), or that somebody is iterating over, is not given to others.
 */
export function cachePrepare(db: Database): void {
  const kept = new LRUCache<string, Statement>({ max: statementsMax })
  const prepare = db.prepare.bind(db)
  const defaultSafeIntegers = db.defaultSafeIntegers.bind(db)

  const keep = (source: string): Statement => {
    const statement = prepare(source)
    for (const name of ['pluck', 'raw', 'expand', 'bind', 'safeIntegers'] as const) {
      const change = (statement[name] as (...values: unknown[]) => unknown).bind(statement)
      Object.defineProperty(statement, name, {
        value: (...values: unknown[]) => {
          if (kept.peek(source) === statement) kept.delete(source)
          return change(...values)
        },
      })
    }
    kept.set(source, statement)
    return statement
  }

  db.prepare = ((source: string) => {
    const known = kept.get(source)
    return known === undefined || known.busy ? keep(source) : known
  }) as Database['prepare']
  db.defaultSafeIntegers = (toggle = true) => {
    kept.clear()
    return defaultSafeIntegers(toggle)
  }
}
