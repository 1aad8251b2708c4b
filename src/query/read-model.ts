// One query's own database: its tables, and beside them how far it is. Both move in one transaction, or not at all.
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import Sqlite, { type Database } from 'better-sqlite3'
import { cachePrepare } from './cached-prepare.ts'
import { createParkedEntries, type ParkedEntries, parkedTables } from './parked-entries.ts'

export interface ReadModel {
  readonly db: Database
  /** How far the query is. Invariant: equals the checkpoint table, once a transaction has committed. */
  readonly positions: Map<number, number>
  /** Writes the table, not `positions`: the caller moves those when the transaction is committed. */
  writeCheckpoint(partition: number, index: number): void
  readonly parked: ParkedEntries
  readonly transaction: {
    begin(): void
    commit(): void
    /** Closes a database that cannot even do this. */
    rollback(): void
    /** One savepoint at a time: the group of events under way. */
    beginGroup(): void
    releaseGroup(): void
    rollbackGroup(): void
  }
  /** Runs what may only read. Throws, with nothing changed, when it wrote. */
  readOnly<Result>(action: () => Result): Result
  close(): void
}

/** A read model made by other code, or from another history, is made again. */
export interface ReadModelIdentity {
  readonly name: string
  readonly version: number
  readonly contentHash: string
  /** Names the history: the cluster. */
  readonly history: string
}

export interface OpenedReadModel {
  readonly model: ReadModel
  /** Why the read model starts from nothing though there was one, for the log; null otherwise. */
  readonly note: string | null
}

/**
 * Opens or makes the database at `path` (`:memory:` keeps it in memory). One with another identity is deleted; a
 * damaged one is renamed to `<path>.damaged` and made again. Throws what SQLite throws.
 */
export function openReadModel(
  path: string,
  identity: ReadModelIdentity,
  connect: ConnectReadModel = connectFile,
): OpenedReadModel {
  if (path === ':memory:') return { model: prepare(new Sqlite(path), identity), note: null }
  try {
    const db = connect(path)
    const found = readIdentity(db)
    if (found === null || differenceOf(found, identity) === null) {
      return { model: prepare(db, identity), note: null }
    }
    db.close()
    removeFiles(path)
    const note = `${differenceOf(found, identity)}; the read model is built again from the first event`
    return { model: prepare(connect(path), identity), note }
  } catch (error) {
    if (!isDamage(error)) throw error
    return replaceDamaged(path, { identity, error })
  }
}

/** Renames the database to `<path>.damaged`, over an older one, and makes a new one. Its connection must be closed. */
export function replaceDamaged(
  path: string,
  why: { readonly identity: ReadModelIdentity; readonly error: unknown },
): OpenedReadModel {
  const text = why.error instanceof Error ? why.error.message : String(why.error)
  const model = (): ReadModel => prepare(connectFile(path), why.identity)
  if (path === ':memory:')
    return { model: model(), note: `the read model was damaged (${text}); it is built again` }
  renameSync(path, `${path}.damaged`)
  removeFiles(path)
  const note = `the read model was damaged (${text}): renamed to ${path}.damaged, built again from the first event`
  return { model: model(), note }
}

export const isDamage = (error: unknown): boolean =>
  error instanceof Sqlite.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(error.code)

/**
 * The database failed, and not the code that used it: a full disk, a lock held by another program. Such a failure passes by
 * itself or with help, and says nothing about the events.
 */
export const isReadModelFailure = (error: unknown): boolean =>
  error instanceof Sqlite.SqliteError &&
  /^SQLITE_(FULL|IOERR|CORRUPT|NOTADB|CANTOPEN|READONLY|NOMEM|BUSY|PROTOCOL)/.test(error.code)

/** Where databases are: files, unless somebody simulates them. */
export type ConnectReadModel = (path: string) => Database

function connectFile(path: string): Database {
  mkdirSync(dirname(path), { recursive: true })
  const db = new Sqlite(path)
  try {
    db.pragma('journal_mode = wal')
    // No fsync per transaction: after a power failure the newest transactions may be missing, each as a whole, and the
    // checkpoint with them, so their events come again. The history that they come from is what is fsynced.
    db.pragma('synchronous = normal')
    db.pragma('journal_size_limit = 67108864')
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Null for a new database. Damage throws, after the connection is closed. */
export function readIdentity(db: Database): ReadModelIdentity | null {
  try {
    const tables = db
      .prepare(`select name from sqlite_master where name in ('glyn_query', 'glyn_checkpoint')`)
      .all()
    if (tables.length < 2) return null
    return db
      .prepare('select name, version, content_hash as contentHash, history from glyn_query')
      .get() as ReadModelIdentity
  } catch (error) {
    db.close()
    throw error
  }
}

/** In words; null when they are the same. */
export function differenceOf(found: ReadModelIdentity, wanted: ReadModelIdentity): string | null {
  if (found.history !== wanted.history) return `it was built from another history (${found.history})`
  if (found.version !== wanted.version) return `version ${wanted.version} replaces version ${found.version}`
  if (found.contentHash !== wanted.contentHash) return 'the code of the query has changed'
  return null
}

function prepare(db: Database, identity: ReadModelIdentity): ReadModel {
  try {
    db.transaction(() => {
      db.exec(`
        create table if not exists glyn_query
          (name text not null, version integer not null, content_hash text not null, history text not null) strict;
        create table if not exists glyn_checkpoint
          (partition integer primary key, position integer not null) strict;
        ${parkedTables}
      `)
      if (db.prepare('select count(*) from glyn_query').pluck().get() === 0) {
        db.prepare('insert into glyn_query values (@name, @version, @contentHash, @history)').run(identity)
      }
    })()
    const rows = db.prepare('select partition, position from glyn_checkpoint').raw().all() as [
      number,
      number,
    ][]
    const write = db.prepare(
      'insert into glyn_checkpoint values (?, ?) on conflict do update set position = excluded.position',
    )
    const parked = createParkedEntries(db)
    const rollBack = statement(db, 'rollback')
    const rollBackToGroup = statement(db, 'rollback to glyn_group')
    const releaseGroup = statement(db, 'release glyn_group')
    const transaction = {
      begin: statement(db, 'begin immediate'),
      commit: statement(db, 'commit'),
      rollback() {
        try {
          rollBack()
          parked.refresh()
        } catch {
          // Why the transaction failed is known already. Closing rolls back too, and whoever finds it closed opens it anew.
          db.close()
        }
      },
      beginGroup: statement(db, 'savepoint glyn_group'),
      releaseGroup,
      rollbackGroup() {
        rollBackToGroup()
        releaseGroup()
      },
    }
    const readOnly = prepareReadOnly(db)
    cachePrepare(db)
    return {
      db,
      positions: new Map(rows),
      writeCheckpoint: (partition, index) => void write.run(partition, index),
      parked,
      transaction,
      readOnly,
      close: () => void db.close(),
    }
  } catch (error) {
    db.close()
    throw error
  }
}

function statement(db: Database, source: string): () => void {
  const prepared = db.prepare(source)
  return () => void prepared.run()
}

/** Not by `pragma query_only`: that makes SQLite compile every statement again. */
function prepareReadOnly(db: Database): ReadModel['readOnly'] {
  const begin = statement(db, 'begin')
  const rollback = statement(db, 'rollback')
  const changes = db.prepare<unknown[], number>('select total_changes()').pluck()
  return action => {
    begin()
    try {
      const before = changes.get()
      const result = action()
      if (db.open && changes.get() !== before)
        throw new Error('it wrote to the read model; answers only read')
      return result
    } finally {
      if (db.open && db.inTransaction) rollback()
    }
  }
}

export function removeFiles(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true })
}
