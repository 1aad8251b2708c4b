// A connection that only reads, for the main thread and for query workers.
import Database from 'better-sqlite3'

/** Each reading connection keeps this much of the database in memory. */
const cacheBytes = 64 * 1024 * 1024

/** Throws what SQLite throws. */
export function openReadConnection(path: string): Database.Database {
  const database = new Database(path, { readonly: true, fileMustExist: true })
  try {
    database.pragma(`cache_size = ${-cacheBytes / 1024}`)
    database.pragma('cell_size_check = on')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}
