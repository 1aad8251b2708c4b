// Reads keys on any thread. Every look is at the file: nothing that was destroyed is remembered here.
import { closeSync, openSync, readSync } from 'node:fs'
import Database from 'better-sqlite3'
import type { KeyReader, KnownKeys, SubjectKey } from '../key-store.ts'
import { keyBytes } from '../sealing-key.ts'
import { keyBytesPath, keyDatabasePath } from './key-files.ts'
import { toStoreError } from './sqlite-errors.ts'

/** The writer holds the file for the moment of a commit. */
const busyMs = 5000

export interface SqliteKeyReader extends KeyReader {
  keysOf(subject: string): readonly SubjectKey[]
  untold(): readonly SubjectKey[]
  isForgotten(subject: string): boolean
  between(from: string, to: string, limit: number): KnownKeys
  each(visit: (item: string, state: 'live' | 'destroyed' | 'forgotten') => void): void
  close(): void
}

interface Row {
  readonly id: string
  readonly subject: string
  readonly type: string
  readonly aggregateId: string
  readonly slot: number | null
  readonly destroyed: number
}

const columns = 'id, subject, aggregate_type as type, aggregate_id as aggregateId, slot, destroyed'

/** Throws STORE_READ_ONLY when the files are not there, STORE_CORRUPT, EVENT_STORE_ERROR. */
export function openSqliteKeyReader(directory: string): SqliteKeyReader {
  const path = keyDatabasePath(directory)
  const safely = <Result>(action: () => Result): Result => {
    try {
      return action()
    } catch (error) {
      throw toStoreError(error, path)
    }
  }
  return safely(() => {
    const database = new Database(path, { readonly: true, fileMustExist: true, timeout: busyMs })
    const file = openSync(keyBytesPath(directory), 'r')
    const find = database.prepare<[string], Row>(`select ${columns} from keys where id = ?`)
    const ofSubject = database.prepare<[string], Row>(
      `select ${columns} from keys where subject = ? order by id`,
    )
    const untold = database.prepare<[], Row>(
      `select ${columns} from keys where destroyed = 1 and told = 0 order by id`,
    )
    const forgotten = database.prepare<[string]>('select 1 from forgotten where subject = ?').pluck()
    const range = database.prepare<[string, string, number], Row>(
      `select ${columns} from keys where id > ? and id < ? order by id limit ?`,
    )
    const forgottenRange = database
      .prepare<[string, string, number], string>(
        'select subject from forgotten where subject > ? and subject < ? order by subject limit ?',
      )
      .pluck()

    /** Null for one that was overwritten since the row was read. */
    function bytesOf(id: string, slot: number): Uint8Array | null {
      const key = new Uint8Array(keyBytes)
      const count = readSync(file, key, 0, keyBytes, slot * keyBytes)
      if (count < keyBytes) throw new Error(`keys.bin ends before slot ${slot}`)
      return find.get(id)?.destroyed === 0 ? key : null
    }

    const toKey = ({ id, subject, type, aggregateId, slot, destroyed }: Row): SubjectKey => ({
      id,
      subject,
      aggregate: { type, id: aggregateId },
      key: destroyed === 1 || slot === null ? null : bytesOf(id, slot),
    })

    return {
      find: id =>
        safely(() => {
          const row = find.get(id)
          return row === undefined ? undefined : toKey(row)
        }),
      keysOf: subject => safely(() => ofSubject.all(subject).map(toKey)),
      untold: () => safely(() => untold.all().map(toKey)),
      isForgotten: subject => safely(() => forgotten.get(subject) !== undefined),
      between: (from, to, limit) =>
        safely(() => ({
          keys: range.all(from, to, limit).map(toKey),
          forgotten: forgottenRange.all(from, to, limit),
        })),
      each: visit =>
        safely(() => {
          const rows = database.prepare<[], { id: string; destroyed: number }>(
            'select id, destroyed from keys',
          )
          for (const { id, destroyed } of rows.iterate()) visit(id, destroyed === 1 ? 'destroyed' : 'live')
          const subjects = database.prepare<[], string>('select subject from forgotten').pluck()
          for (const subject of subjects.iterate()) visit(subject, 'forgotten')
        }),
      close() {
        if (!database.open) return
        database.close()
        closeSync(file)
      },
    }
  })
}
