// The port for logging: what pino offers, and all that the cluster code may know of it.

/** What a line of the log is about, by name. JSON, errors under `err` or `error`. */
export type LogFields = Readonly<Record<string, unknown>>

/** Where a node writes its log: pino fits, and so does anything with these four. */
export interface Log {
  /** For whoever looks for a mistake. */
  debug(fields: LogFields, message: string): void
  /** A change that matters. */
  info(fields: LogFields, message: string): void
  /** Something is not as it should be, and the node goes on. */
  warn(fields: LogFields, message: string): void
  /** Something failed. */
  error(fields: LogFields, message: string): void
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
