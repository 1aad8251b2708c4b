// What PostgreSQL and the way to it say, in our words: one place that maps their codes to ours.

import { InvariantError } from '../../core/assert.ts'
import { type ErrorCode, GlynError, isGlynError } from '../../core/errors.ts'

/** The SQLSTATE or the code of Node.js of an error, or ''. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : ''
}

/** The database gave the transaction up for the sake of another: nothing was written, and the same again may go through. */
export const isGivenUp = (error: unknown): boolean => ['40001', '40P01'].includes(codeOf(error))

/** An append that a constraint refused. */
export const isUniqueViolation = (error: unknown): boolean => codeOf(error) === '23505'

/** True when the connection is as good as before: the server refused one statement, and nothing more. */
export function leavesConnectionGood(error: unknown): boolean {
  const code = codeOf(error)
  return /^[0-9A-Z]{5}$/.test(code) && !/^(08|57P|25P03)/.test(code)
}

/** The GlynError that `error` means. `location` is without secrets. */
export function toStoreError(error: unknown, location: string): Error {
  if (isGlynError(error) || error instanceof InvariantError) return error
  // Every address of a host name was tried: the first says it.
  const cause = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error
  const message = cause instanceof Error ? cause.message : String(cause)
  const code = codeOf(cause)
  const [, ours, explanation] =
    explanations.find(([pattern]) => pattern.test(code === '' ? message : code)) ?? unexplained
  const shown = code === '' || message.includes(code) ? message : `${code}: ${message}`
  return new GlynError(ours, `store ${location}: ${explanation} (${shown})`, {
    cause: error,
    ...(code !== '' && { details: { postgres: code } }),
  })
}

type Explanation = readonly [pattern: RegExp, code: ErrorCode, explanation: string]

const unexplained: Explanation = [/^/, 'EVENT_STORE_ERROR', 'PostgreSQL refused']

/** Looked up by code, or by message where there is no code; the first that matches. */
const explanations: readonly Explanation[] = [
  [
    /^ECONNREFUSED$/,
    'UNAVAILABLE',
    'nothing listens there; start PostgreSQL, or check host and port of the connection string',
  ],
  [
    /^(ENOENT|EACCES)$/,
    'UNAVAILABLE',
    'there is no socket that this user can open; start PostgreSQL, or check the host of the connection string',
  ],
  [
    /^(ENOTFOUND|EAI_AGAIN)$/,
    'UNAVAILABLE',
    'the host name is not known; check the connection string and the DNS',
  ],
  [
    /^(EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL)$/,
    'UNAVAILABLE',
    'the host cannot be reached; check the network and its firewalls',
  ],
  [
    /^(ECONNRESET|EPIPE|ECONNABORTED)$/,
    'UNAVAILABLE',
    'the connection was lost; an append under way may have been written',
  ],
  [
    /^Connection terminated due to connection timeout|^timeout expired/,
    'UNAVAILABLE',
    'it did not answer in time; check the host, the network and its firewalls',
  ],
  [
    /^timeout exceeded when trying to connect/,
    'UNAVAILABLE',
    'no connection of the pool became free in time; a larger poolSize, or a faster database, helps',
  ],
  [
    /^Query read timeout/,
    'UNAVAILABLE',
    'a statement took too long and was given up; an append may have been written',
  ],
  [
    /^Connection terminated|^Client has encountered a connection error|^Client was closed|read ECONNRESET/,
    'UNAVAILABLE',
    'the connection was lost; an append under way may have been written',
  ],
  [
    /^The server does not support SSL/,
    'INVALID_CONFIGURATION',
    'the server speaks no TLS; switch it on there, or leave sslmode out of the connection string',
  ],
  [
    /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|ERR_TLS_|CERT_|HOSTNAME_MISMATCH)/,
    'INVALID_CONFIGURATION',
    'its certificate is not trusted; name the authority with sslrootcert=<file> in the connection string',
  ],
  [
    /^(SASL|password must be)|client password must be a string/,
    'INVALID_CONFIGURATION',
    'it wants a password, and the connection string has none',
  ],
  [/^28P01$/, 'INVALID_CONFIGURATION', 'user or password is wrong; check the connection string'],
  [
    /^28/,
    'INVALID_CONFIGURATION',
    'it does not let this user in from here; check the user in the connection string, and pg_hba.conf',
  ],
  [/^3D000$/, 'INVALID_CONFIGURATION', 'the database does not exist; make it with createdb'],
  [/^53100$/, 'STORE_FULL', 'the disk of the database is full; make room there'],
  [
    /^25006$/,
    'STORE_READ_ONLY',
    'the database is read-only: a standby, or default_transaction_read_only is on; name the primary in the connection string',
  ],
  [
    /^42501$/,
    'STORE_READ_ONLY',
    'the user lacks a right; let the owner of the database open the store once, or grant create on the database, and all on the schema and its tables',
  ],
  [/^53300$/, 'UNAVAILABLE', 'it has no connection left; raise max_connections there, or lower poolSize'],
  [/^53/, 'UNAVAILABLE', 'it lacks memory or another resource'],
  [/^57014$/, 'UNAVAILABLE', 'a statement took too long and was given up'],
  [/^57P03$/, 'UNAVAILABLE', 'it is starting up or shutting down'],
  [/^(08|57P|25P0[23])/, 'UNAVAILABLE', 'the connection was lost; an append under way may have been written'],
  [/^55P03$/, 'UNAVAILABLE', 'a lock was not free in time'],
  [/^40/, 'TRANSACTION_FAILED', 'the transaction was given up again and again for the sake of others'],
  [/^XX00[12]$/, 'STORE_CORRUPT', 'the database is damaged; look into its log, and restore a backup'],
  [/^58/, 'EVENT_STORE_ERROR', 'the disk of the database failed; look into its log'],
  [
    /^(42P01|3F000)$/,
    'EVENT_STORE_ERROR',
    'tables of the store are missing; were they dropped while it was open?',
  ],
]
