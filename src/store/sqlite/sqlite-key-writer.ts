// Writes keys and overwrites them. Every step leaves something that the next start can finish.
import { closeSync, fdatasyncSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import Database from 'better-sqlite3'
import { GlynError } from '../../core/errors.ts'
import { type KnownKeys, type SubjectKey, subjectsToForget } from '../key-store.ts'
import { keyBytes } from '../sealing-key.ts'
import { keyApplicationId, keyBytesPath, keyDatabasePath, keyFormat, keySchema } from './key-files.ts'

/** What a batch changed, for those who keep count. */
export interface KeyChanges {
  readonly added: readonly { readonly id: string; readonly isDestroyed: boolean }[]
  /** They were here until now. */
  readonly destroyed: readonly SubjectKey[]
  readonly forgotten: readonly string[]
}

export interface SqliteKeyWriter {
  /** Durable, and what is to be destroyed overwritten, when it returns. Throws what SQLite and the disk throw. */
  join(known: readonly KnownKeys[]): KeyChanges
  markTold(ids: readonly string[]): void
  close(): void
}

/** Makes the files when they are missing, and finishes what a crash interrupted. Throws STORE_FORMAT. */
export function openSqliteKeyWriter(directory: string): SqliteKeyWriter {
  const path = keyDatabasePath(directory)
  const database = new Database(path)
  const file = openSync(keyBytesPath(directory), 'a+', 0o600)
  // Positions count only in a file that is not open for appending.
  closeSync(file)
  const bytes = openSync(keyBytesPath(directory), 'r+')
  syncDirectory(directory)
  database.pragma('journal_mode = wal')
  database.pragma('synchronous = full')
  checkFormat(database, path)

  const isKnown = database.prepare<[string]>('select 1 from keys where id = ?').pluck()
  const isForgotten = database.prepare<[string]>('select 1 from forgotten where subject = ?').pluck()
  const insertForgotten = database.prepare<[string]>('insert into forgotten (subject) values (?)')
  const insertKey = database.prepare(
    'insert into keys (id, subject, aggregate_type, aggregate_id, slot, destroyed, told) values (?, ?, ?, ?, ?, ?, 0)',
  )
  const liveOf = database.prepare<[string], KeyRow>(
    'select id, subject, aggregate_type as type, aggregate_id as aggregateId from keys where subject = ? and destroyed = 0',
  )
  const destroy = database.prepare<[string]>('update keys set destroyed = 1 where id = ?')
  const toWipe = database.prepare<[], { readonly id: string; readonly slot: number }>(
    'select id, slot from keys where destroyed = 1 and slot is not null',
  )
  const usedFrom = database
    .prepare<[number], number>('select slot from keys where slot is not null and slot >= ?')
    .pluck()
  const forgetSlot = database.prepare<[string]>('update keys set slot = null where id = ?')
  const tell = database.prepare<[string]>('update keys set told = 1 where id = ?')

  const slotsOfFile = (): number => Math.ceil(fstatSync(bytes).size / keyBytes)

  /** Bytes first: a row never points to a key that is not there. */
  function writeBytes(keys: readonly Uint8Array[]): number {
    const firstSlot = slotsOfFile()
    if (keys.length === 0) return firstSlot
    writeAll(bytes, Buffer.concat(keys), firstSlot * keyBytes)
    fdatasyncSync(bytes)
    return firstSlot
  }

  /** Bytes that no row points to would outlive their key: what a crash, or a failed transaction, left of it. */
  function wipeUnused(fromSlot: number): void {
    const used = new Set(usedFrom.all(fromSlot))
    const slots = slotsOfFile()
    const zeros = Buffer.alloc(keyBytes)
    const slot = Buffer.alloc(keyBytes)
    let hasWiped = false
    for (let place = fromSlot; place < slots; place += 1) {
      if (used.has(place)) continue
      slot.fill(0)
      readSync(bytes, slot, 0, keyBytes, place * keyBytes)
      if (slot.equals(zeros)) continue
      writeAll(bytes, zeros, place * keyBytes)
      hasWiped = true
    }
    if (hasWiped) fdatasyncSync(bytes)
  }

  /** A row that says `destroyed` first: after a crash the next start overwrites what is left. */
  function wipe(): void {
    const rows = toWipe.all()
    if (rows.length === 0) return
    const zeros = new Uint8Array(keyBytes)
    for (const { slot } of rows) writeAll(bytes, zeros, slot * keyBytes)
    fdatasyncSync(bytes)
    database.transaction(() => {
      for (const { id } of rows) forgetSlot.run(id)
    })()
  }

  function join(known: readonly KnownKeys[]): KeyChanges {
    const forgotten = [...new Set(known.flatMap(subjectsToForget))].filter(
      subject => isForgotten.get(subject) === undefined,
    )
    const gone = new Set(forgotten)
    const isGone = ({ subject, key }: SubjectKey): boolean =>
      key === null || gone.has(subject) || isForgotten.get(subject) !== undefined
    const fresh = new Map<string, SubjectKey>()
    for (const key of known.flatMap(({ keys }) => keys)) {
      if (isKnown.get(key.id) === undefined && !fresh.has(key.id)) fresh.set(key.id, key)
    }
    const live = [...fresh.values()].filter(key => !isGone(key))
    const slotsBefore = slotsOfFile()
    try {
      return record(forgotten, fresh, live)
    } catch (error) {
      wipeUnused(slotsBefore)
      throw error
    }
  }

  function record(
    forgotten: readonly string[],
    fresh: ReadonlyMap<string, SubjectKey>,
    live: readonly SubjectKey[],
  ): KeyChanges {
    let slot = writeBytes(live.flatMap(({ key }) => (key === null ? [] : [key])))
    const destroyed: SubjectKey[] = []
    const added: { readonly id: string; readonly isDestroyed: boolean }[] = []
    database
      .transaction(() => {
        for (const subject of forgotten) {
          insertForgotten.run(subject)
          for (const row of liveOf.all(subject)) {
            destroy.run(row.id)
            const aggregate = { type: row.type, id: row.aggregateId }
            destroyed.push({ id: row.id, subject, aggregate, key: null })
          }
        }
        const slots = new Map(live.map(({ id }) => [id, slot++]))
        for (const { id, subject, aggregate } of fresh.values()) {
          const own = slots.get(id)
          insertKey.run(id, subject, aggregate.type, aggregate.id, own ?? null, own === undefined ? 1 : 0)
          added.push({ id, isDestroyed: own === undefined })
        }
      })
      .immediate()
    wipe()
    return { added, destroyed, forgotten }
  }

  const lastUsed = Number(database.prepare('select max(slot) from keys').pluck().get() ?? -1)
  if ((lastUsed + 1) * keyBytes > fstatSync(bytes).size) {
    throw new GlynError(
      'STORE_CORRUPT',
      `keys ${keyBytesPath(directory)}: it is missing, or shorter than keys.db says; put back the two files that belong together, ` +
        'or let this node join again with an empty directory: other nodes have all keys',
    )
  }
  wipeUnused(0)
  wipe()
  return {
    join,
    markTold(ids) {
      database.transaction(() => {
        for (const id of ids) tell.run(id)
      })()
    },
    close() {
      database.close()
      closeSync(bytes)
    },
  }
}

interface KeyRow {
  readonly id: string
  readonly type: string
  readonly aggregateId: string
}

function checkFormat(database: Database.Database, path: string): void {
  const isEmpty = database.prepare('select 1 from sqlite_schema limit 1').get() === undefined
  const found = Number(database.pragma('user_version', { simple: true }))
  const isOurs = Number(database.pragma('application_id', { simple: true })) === keyApplicationId
  if (!isEmpty && !(isOurs && found === keyFormat)) {
    throw new GlynError(
      'STORE_FORMAT',
      `keys ${path}: ${isOurs ? `it has format ${found}` : 'it is not a file of glyn-node'}; allowed: ${keyFormat}`,
    )
  }
  if (!isEmpty) return
  database.transaction(() => {
    database.exec(keySchema)
    database.pragma(`application_id = ${keyApplicationId}`)
    database.pragma(`user_version = ${keyFormat}`)
  })()
}

function writeAll(file: number, content: Uint8Array, position: number): void {
  let done = 0
  while (done < content.length) done += writeSync(file, content, done, content.length - done, position + done)
}

/** New files are there after a power cut only when their directory was synced. */
function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
