// The databases of queries on one simulated disk: real SQLite, in memory. A crash leaves them as some commit left them: not
// always the last one, because the newest transactions of a read model are not fsynced.
import Sqlite, { type Database } from 'better-sqlite3'
import type { ConnectReadModel } from '../../query/read-model.ts'
import type { Dice } from './seeded-random.ts'

export interface SimulatedReadModels {
  readonly connect: ConnectReadModel
  /** The process is gone, and every transaction that was open with it. */
  crash(): void
}

/** How often what a statement left outside of a transaction is kept, in case the power fails next. */
const keptOften = 0.15

export function createSimulatedReadModels(dice: Dice): SimulatedReadModels {
  /** By path: as they were closed. */
  const saved = new Map<string, Buffer>()
  /** By open database: as an earlier commit left it. */
  const earlier = new Map<Database, Buffer>()
  const paths = new Map<Database, string>()

  /** Calls `committed` whenever a statement has run and no transaction is open. */
  function watchStatements(database: Database, committed: () => void): void {
    const prepare = database.prepare.bind(database)
    const watched = (source: string) => {
      const statement = prepare(source)
      const run = statement.run.bind(statement)
      statement.run = (...parameters: unknown[]) => {
        const result = run(...parameters)
        if (!database.inTransaction) committed()
        return result
      }
      return statement
    }
    database.prepare = watched as Database['prepare']
  }

  return {
    connect(path) {
      const database = new Sqlite(saved.get(path) ?? ':memory:')
      const close = database.close.bind(database)
      watchStatements(database, () => {
        if (dice.chance(keptOften)) earlier.set(database, database.serialize())
      })
      database.close = () => {
        if (database.open) {
          if (database.inTransaction) database.exec('rollback')
          saved.set(path, database.serialize())
        }
        paths.delete(database)
        earlier.delete(database)
        return close()
      }
      paths.set(database, path)
      return database
    },
    crash() {
      for (const [database, path] of [...paths]) {
        const kept = earlier.get(database)
        database.close()
        if (kept !== undefined && dice.chance(0.5)) saved.set(path, kept)
      }
    },
  }
}
