// Where read models rest, and how one that was built beside another takes its place. The rule: the file `<name>.db` is what
// answers, `<name>.next.db` what is built beside it; that the old `<name>.db` is gone is the moment of the swap. A crash at
// any moment leaves both files, or the next one alone, or the new one in its place, and the next start goes on from there.
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Sqlite from 'better-sqlite3'
import {
  differenceOf,
  isDamage,
  type ReadModel,
  type ReadModelIdentity,
  readIdentity,
  removeFiles,
} from './read-model.ts'

export interface ReadModelPlaces {
  readonly path: string
  readonly nextPath: string
}

/** No query is named like this: names have no dots. */
export const placesOf = (folder: string, name: string): ReadModelPlaces => ({
  path: join(folder, `${name}.db`),
  nextPath: join(folder, `${name}.next.db`),
})

/** Names of the read models in a folder, also of those that are only being built. Empty when there is no folder. */
export function listReadModels(folder: string): readonly string[] {
  if (!existsSync(folder)) return []
  const names = readdirSync(folder).flatMap(
    file => /^([a-z0-9][a-z0-9_-]*)(?:\.next)?\.db$/.exec(file)?.[1] ?? [],
  )
  return [...new Set(names)]
}

/** Both read models of a name, with whatever SQLite has beside them. */
export function removeReadModels({ path, nextPath }: ReadModelPlaces): void {
  removeFiles(nextPath)
  removeFiles(path)
}

/**
 * Before the read model of this identity is opened at `path`: what an earlier process was building beside it takes its
 * place if it is of this identity and the old one is not, and is removed if it is of another. True when both are of this
 * identity: a rebuild was under way. Throws what SQLite and the file system throw, but not for damage.
 */
export function settleReadModels(found: ReadModelPlaces & { readonly identity: ReadModelIdentity }): boolean {
  const { path, nextPath, identity } = found
  if (path === ':memory:' || !existsSync(nextPath)) return false
  if (!isOf(nextPath, identity)) {
    removeFiles(nextPath)
    return false
  }
  if (isOf(path, identity)) return true
  const db = new Sqlite(nextPath, { fileMustExist: true })
  try {
    emptyWal(db, nextPath)
  } finally {
    db.close()
  }
  replaceFile({ from: nextPath, to: path })
  return false
}

/** Closes the read model, and moves its file over that of the old one. Nobody else may have the old one open for writing. */
export function moveReadModel(
  model: ReadModel,
  places: { readonly from: string; readonly to: string },
): void {
  emptyWal(model.db, places.from)
  model.close()
  replaceFile(places)
}

function isOf(path: string, identity: ReadModelIdentity): boolean {
  if (!existsSync(path)) return false
  let db: Sqlite.Database | undefined
  try {
    db = new Sqlite(path, { fileMustExist: true })
    const known = readIdentity(db)
    return known !== null && differenceOf(known, identity) === null
  } catch (error) {
    if (isDamage(error)) return false
    throw error
  } finally {
    db?.close()
  }
}

/** A database that is moved must be whole in its own file. */
function emptyWal(db: Sqlite.Database, path: string): void {
  const [result] = db.pragma('wal_checkpoint(truncate)') as { readonly busy: number }[]
  if (result?.busy !== 0)
    throw new Error(`${path} is being read by another program; it takes its place later`)
}

function replaceFile({ from, to }: { readonly from: string; readonly to: string }): void {
  // A write-ahead log beside another database than its own would destroy that: where the old one has left its log, because
  // some program still reads it, the database goes first. Else there is no moment without one.
  if (existsSync(`${to}-wal`)) {
    rmSync(to, { force: true })
    syncDirectory(dirname(to))
    removeFiles(to)
    syncDirectory(dirname(to))
  }
  renameSync(from, to)
  // Programs that still read it may have left them there.
  removeFiles(from)
  syncDirectory(dirname(to))
}

/** Makes removals and renames durable, in their order. Windows has no such thing, and needs none. */
function syncDirectory(path: string): void {
  if (process.platform === 'win32') return
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}
