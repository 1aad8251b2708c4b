// What SQLite says, in our words: one place that maps its codes to ours.
import { InvariantError } from '../../core/assert.ts'
import { type ErrorCode, GlynError, isGlynError } from '../../core/errors.ts'

/** The GlynError or InvariantError that `error` means. `location` is the path of the database. */
export function toStoreError(error: unknown, location: string): Error {
  if (isGlynError(error) || error instanceof InvariantError) return error
  const message = error instanceof Error ? error.message : String(error)
  const code = sqliteCodeOf(error)
  if (code === null) {
    return new GlynError('EVENT_STORE_ERROR', `store ${location}: ${message}`, { cause: error })
  }
  if (code.startsWith('SQLITE_CONSTRAINT')) {
    return new InvariantError(`store ${location}: a row that must be the only one exists already: ${message}`)
  }
  const text = explanations.find(([prefix]) => code.startsWith(prefix))
  const [, ours, explanation] = text ?? [code, 'EVENT_STORE_ERROR' as const, 'SQLite failed']
  return new GlynError(ours, `store ${location}: ${explanation} (${code}: ${message})`, {
    cause: error,
    details: { sqlite: code },
  })
}

const explanations: readonly (readonly [prefix: string, code: ErrorCode, explanation: string])[] = [
  ['SQLITE_FULL', 'STORE_FULL', 'the disk is full'],
  ['SQLITE_READONLY', 'STORE_READ_ONLY', 'the file or its directory cannot be written'],
  ['SQLITE_PERM', 'STORE_READ_ONLY', 'the file or its directory cannot be written'],
  ['SQLITE_CANTOPEN', 'STORE_READ_ONLY', 'the file cannot be opened or made; check the permissions'],
  ['SQLITE_NOTADB', 'STORE_CORRUPT', 'the file is not a SQLite database'],
  [
    'SQLITE_CORRUPT',
    'STORE_CORRUPT',
    'the file is damaged; keep it, and take its content from another replica',
  ],
  [
    'SQLITE_IOERR',
    'EVENT_STORE_ERROR',
    'the disk failed; nothing since the last acknowledged write is certain',
  ],
  ['SQLITE_BUSY', 'EVENT_STORE_ERROR', 'another program holds the database locked'],
]

/** `SQLITE_IOERR_FSYNC` and the like, of better-sqlite3's SqliteError; null for other errors. */
export function sqliteCodeOf(error: unknown): string | null {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : null
}

/** An error between threads, where classes are lost. */
export interface ErrorMessage {
  readonly code: ErrorCode | 'INVARIANT'
  readonly message: string
  readonly details: unknown
}

export function toErrorMessage(error: Error): ErrorMessage {
  if (isGlynError(error)) return { code: error.code, message: error.message, details: error.details }
  return { code: 'INVARIANT', message: error.message, details: undefined }
}

export function fromErrorMessage({ code, message, details }: ErrorMessage): Error {
  if (code === 'INVARIANT') return new InvariantError(message)
  return new GlynError(code, message, { details })
}
