// The bounds of reading a read model with SQL, and what goes to and fro.

export const sqlLimits = {
  /** Rows of one answer, when nobody says how many. */
  rowsDefault: 1000,
  rowsMax: 100_000,
  /** An answer ends with the row that reaches this size, as JSON; a row that is larger by itself is refused. */
  bytesMax: 8 * 1024 * 1024,
  /** What SQLite may allocate for one statement. */
  heapBytesMax: 256 * 1024 * 1024,
  statementCharactersMax: 100_000,
  timeoutMs: 10_000,
  /** Statements at once, per node. */
  atOnceMax: 4,
  /** For a lock that a checkpoint of the write-ahead log holds. */
  busyMs: 2000,
}

/** A value as JSON has it: an integer beyond 2^53 is its text, a blob is `{ base64 }`, an infinite number is its text. */
export type SqlValue = string | number | null | { readonly base64: string }

/** The rows of a select. */
export interface SqlAnswer {
  /** As the statement names them; a name that comes twice gets a number, `id`, `id_2`. */
  readonly columns: readonly string[]
  readonly rows: readonly Readonly<Record<string, SqlValue>>[]
  /** There are more rows than were asked for, or than an answer holds. */
  readonly truncated: boolean
}

export type SqlParameter = string | number | boolean | null

export interface SqlRequest {
  readonly path: string
  readonly text: string
  readonly parameters: Readonly<Record<string, SqlParameter>>
  readonly rows: number
  readonly limits: typeof sqlLimits
}

export type SqlReply =
  | { readonly type: 'answer'; readonly answer: SqlAnswer }
  /** What is wrong with the statement. */
  | { readonly type: 'refused'; readonly message: string }

export const whatIsAllowed = 'allowed: one select (or with … select, values, explain)'
