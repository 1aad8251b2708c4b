// The one table of failures of the world: code, whether a retry can help, and the exit code of the CLI.

interface ErrorKind {
  readonly retryable: boolean
  readonly exitCode: 1 | 2 | 4 | 5 | 6
  /** What the code means, for the documentation. */
  readonly summary: string
}

const kind = (retryable: boolean, exitCode: ErrorKind['exitCode'], summary: string): ErrorKind => ({
  retryable,
  exitCode,
  summary,
})

export const errorTable = {
  INVALID_ARGUMENT: kind(false, 2, 'An argument has a value that is not allowed.'),
  INVALID_CONFIGURATION: kind(false, 2, 'A setting has a value that is not allowed.'),
  NON_POSITIVE_ARGUMENT: kind(false, 2, 'A number that must be positive is not.'),
  UNKNOWN_AGGREGATE_TYPE: kind(false, 2, 'No aggregate of this type is loaded.'),
  UNKNOWN_COMMAND: kind(false, 2, 'The aggregate has no command of this name.'),
  INVALID_COMMAND: kind(false, 2, 'The data of the command does not fit its schema.'),
  UNKNOWN_QUERY: kind(false, 2, 'No query of this name is loaded.'),
  UNKNOWN_QUESTION: kind(false, 2, 'The query has no question of this name.'),
  ENTITY_NOT_FOUND: kind(false, 5, 'The aggregate, or the thing asked for, does not exist.'),
  UNAVAILABLE: kind(
    true,
    4,
    'No majority, or no shared store, could be reached in time. Retry with the same command id.',
  ),
  TIMEOUT: kind(true, 4, 'The deadline passed. Retry with the same command id.'),
  ACTOR_TIMEOUT: kind(true, 4, 'The aggregate did not answer in time. Retry with the same command id.'),
  OVERLOADED: kind(true, 4, 'A queue is full. Retry later with the same command id.'),
  NOT_LEADER: kind(true, 4, 'This node does not lead the partition.'),
  OUTCOME_UNKNOWN: kind(
    true,
    4,
    'Leadership was lost before the commit was known. Retry with the same command id.',
  ),
  PEER_UNREACHABLE: kind(true, 4, 'The peer is not connected.'),
  SHUTTING_DOWN: kind(true, 4, 'The node is stopping.'),
  NODE_NOT_RUNNING: kind(true, 4, 'No node answers at this address.'),
  UNAUTHORIZED: kind(false, 2, 'The HTTP API wants a token, and the call has none or another one.'),
  CLUSTER_MISMATCH: kind(false, 1, 'Two clusters met, or the settings of the cluster are others.'),
  MEMBER_REMOVED: kind(false, 1, 'This identity was removed from the cluster, for ever.'),
  ALREADY_RUNNING: kind(false, 1, 'Another process uses this data directory.'),
  INSECURE_LISTEN: kind(false, 2, 'Listening beyond loopback needs a mesh secret.'),
  EVENT_STORE_ERROR: kind(false, 6, 'The store failed.'),
  STORE_FORMAT: kind(false, 1, 'The database has a format that this version cannot read.'),
  STORE_READ_ONLY: kind(false, 6, 'The database cannot be written.'),
  STORE_FULL: kind(false, 6, 'The disk is full.'),
  STORE_CORRUPT: kind(false, 6, 'The database is damaged.'),
  SEQUENCE_CONFLICT: kind(
    false,
    1,
    'The aggregate is at another sequence than expected, or has other events there.',
  ),
  FILE_DAMAGED: kind(false, 1, 'An export or a backup is damaged or cut off.'),
  IDENTITY_MISMATCH: kind(false, 1, 'The identity key and the database do not belong together.'),
  TRANSACTION_FAILED: kind(false, 1, 'A transaction of the store failed.'),
  TRANSACTION_ROLLED_BACK: kind(false, 1, 'A transaction of the store was rolled back.'),
  PLUGIN_FAILED: kind(false, 1, 'A file of the config directory failed.'),
  QUERY_FAILED: kind(false, 1, 'The query stopped, or its question threw.'),
  QUERY_LAGGING: kind(true, 4, 'The query has not seen the position asked for within the deadline.'),
  AGGREGATE_FAILED: kind(false, 1, 'The code of the aggregate threw.'),
  AGGREGATE_QUARANTINED: kind(
    false,
    1,
    'The history of this aggregate does not fit its file: an unknown event or version, or code that throws.',
  ),
  SUBJECT_FORGOTTEN: kind(false, 1, 'The subject was forgotten: nothing is stored for it any more.'),
  KEY_UNAVAILABLE: kind(true, 4, 'The key of an event is not here, and no member that was asked has it.'),
  EVENT_UNREADABLE: kind(false, 6, 'Encrypted data do not fit their key: they were changed or moved.'),
  MESSAGE_TOO_LARGE: kind(false, 2, 'A command or its events exceed the size limit.'),
  INTERNAL: kind(false, 1, 'A mistake of ours. Please report it.'),
} as const satisfies Record<string, ErrorKind>

/** The stable names of the failures of the world: see docs/errors.md. */
export type ErrorCode = keyof typeof errorTable

/** The plain form of a {@link GlynError}, as `--json`, HTTP and the wire carry it. */
export interface ErrorBody {
  readonly code: string
  readonly message: string
  readonly retryable: boolean
  readonly details?: unknown
}

/** The world failed. Recognise it by `code`. A rejection by the domain is never a GlynError. */
export class GlynError extends Error {
  override readonly name = 'GlynError'
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly details: unknown

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: unknown } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.retryable = errorTable[code].retryable
    this.details = options.details
  }
}

export const isErrorCode = (code: unknown): code is ErrorCode =>
  typeof code === 'string' && Object.hasOwn(errorTable, code)

/** True for every GlynError, also one of another copy of this package. */
export function isGlynError(error: unknown): error is GlynError {
  return (
    error instanceof Error && error.name === 'GlynError' && isErrorCode((error as { code?: unknown }).code)
  )
}

export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is GlynError {
  return isGlynError(error) && codes.includes(error.code)
}

export const exitCodeOf = (code: ErrorCode): number => errorTable[code].exitCode

export function toErrorBody(error: unknown): ErrorBody {
  if (isGlynError(error)) {
    const { code, message, retryable, details } = error
    return details === undefined ? { code, message, retryable } : { code, message, retryable, details }
  }
  return {
    code: 'INTERNAL',
    message: error instanceof Error ? error.message : String(error),
    retryable: false,
  }
}

/** The GlynError that a peer or a server described. An unknown code becomes INTERNAL, its name kept in the text. */
export function fromErrorBody(body: ErrorBody): GlynError {
  if (isErrorCode(body.code)) return new GlynError(body.code, body.message, { details: body.details })
  return new GlynError('INTERNAL', `${body.code}: ${body.message}`, { details: body.details })
}
