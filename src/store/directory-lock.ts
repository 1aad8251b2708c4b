// One process per data directory: a lock of the operating system, held through SQLite. It dies with the process, however
// that ends, and is kept while the process is stopped (SIGSTOP).
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { GlynError } from '../core/errors.ts'
import { makeDirectory } from './make-directory.ts'

export interface DirectoryLock {
  readonly directory: string
  /** Idempotent. */
  release(): void
}

/** How often the lock is tried when others come and go at the same moment. */
const attemptsMax = 5

/**
 * Takes `<directory>/lock`, and makes the directory if it is missing. Throws ALREADY_RUNNING, which names the process
 * that holds it, STORE_READ_ONLY, STORE_FULL, EVENT_STORE_ERROR.
 *
 * The holder keeps a write transaction open (SQLite's RESERVED lock), in which nothing is written: so others can still
 * read who it is, and nothing is rolled back after a crash.
 */
export function lockDirectory(directory: string): DirectoryLock {
  const path = join(directory, 'lock')
  let database: Database.Database | null = null
  makeDirectory(directory, { what: 'the data directory' })
  try {
    database = new Database(path, { timeout: 0 })
    hold(database)
  } catch (error) {
    const failure = explain(error, {
      directory,
      path,
      holder: database === null ? null : readHolder(database),
    })
    database?.close()
    throw failure
  }
  const held = database
  return { directory, release: () => void held.close() }
}

/** Writes who holds the lock, then holds it. Another may slip in between the two: then it starts over. */
function hold(database: Database.Database): void {
  for (let attempt = 1; ; attempt += 1) {
    database.exec('begin immediate')
    database.exec('create table if not exists holder (pid integer not null) strict; delete from holder')
    database.prepare('insert into holder (pid) values (?)').run(process.pid)
    database.exec('commit; begin immediate')
    if (readHolder(database) === process.pid || attempt === attemptsMax) return
    database.exec('rollback')
  }
}

function readHolder(database: Database.Database): number | null {
  try {
    return database.prepare<[], number>('select pid from holder').pluck().get() as number | null
  } catch (error) {
    // Not written yet, or just being written: the lock is held all the same, only by whom is not known.
    if (error instanceof Database.SqliteError) return null
    throw error
  }
}

function explain(
  error: unknown,
  context: { readonly directory: string; readonly path: string; readonly holder: number | null },
): GlynError {
  const { directory, path, holder } = context
  const code = String((error as { code?: unknown } | null)?.code)
  const text = error instanceof Error ? error.message : String(error)
  if (code.startsWith('SQLITE_BUSY')) {
    const who = holder === null ? 'another process' : `the process ${holder}`
    const message = `data directory ${directory} is in use by ${who}; stop it, or use another --data-dir`
    return new GlynError('ALREADY_RUNNING', message, { cause: error, details: { directory, pid: holder } })
  }
  if (['SQLITE_NOTADB', 'SQLITE_CORRUPT'].some(prefix => code.startsWith(prefix))) {
    return new GlynError(
      'STORE_CORRUPT',
      `lock file ${path} is damaged (${code}: ${text}); it holds no data: make sure that no node runs here, then remove it`,
      { cause: error },
    )
  }
  if (/^(SQLITE_READONLY|SQLITE_CANTOPEN|SQLITE_PERM|EACCES|EPERM|EROFS)/.test(code)) {
    const message = `data directory ${directory} cannot be written (${code}: ${text})`
    return new GlynError('STORE_READ_ONLY', message, { cause: error })
  }
  if (/^(SQLITE_FULL|ENOSPC)/.test(code)) {
    return new GlynError('STORE_FULL', `data directory ${directory}: the disk is full (${code}: ${text})`, {
      cause: error,
    })
  }
  return new GlynError('EVENT_STORE_ERROR', `data directory ${directory}: ${code}: ${text}`, { cause: error })
}
