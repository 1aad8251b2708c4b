// How the codes of the error table look as HTTP statuses.
import type { ErrorCode } from '../core/errors.ts'

/** Every code has one status; a client decides by the code in the body, proxies and people by the status. */
export const statusOfError: Readonly<Record<ErrorCode, number>> = {
  INVALID_ARGUMENT: 400,
  INVALID_CONFIGURATION: 400,
  NON_POSITIVE_ARGUMENT: 400,
  UNKNOWN_AGGREGATE_TYPE: 404,
  UNKNOWN_COMMAND: 400,
  INVALID_COMMAND: 400,
  UNKNOWN_QUERY: 404,
  UNKNOWN_QUESTION: 404,
  ENTITY_NOT_FOUND: 404,
  UNAVAILABLE: 503,
  TIMEOUT: 504,
  ACTOR_TIMEOUT: 504,
  OVERLOADED: 429,
  NOT_LEADER: 503,
  OUTCOME_UNKNOWN: 503,
  PEER_UNREACHABLE: 503,
  SHUTTING_DOWN: 503,
  NODE_NOT_RUNNING: 503,
  UNAUTHORIZED: 401,
  CLUSTER_MISMATCH: 409,
  MEMBER_REMOVED: 403,
  ALREADY_RUNNING: 409,
  INSECURE_LISTEN: 400,
  EVENT_STORE_ERROR: 500,
  STORE_FORMAT: 500,
  STORE_READ_ONLY: 500,
  STORE_FULL: 507,
  STORE_CORRUPT: 500,
  IDENTITY_MISMATCH: 500,
  TRANSACTION_FAILED: 500,
  TRANSACTION_ROLLED_BACK: 500,
  PLUGIN_FAILED: 500,
  QUERY_FAILED: 500,
  QUERY_LAGGING: 503,
  AGGREGATE_FAILED: 500,
  SUBJECT_FORGOTTEN: 410,
  KEY_UNAVAILABLE: 503,
  EVENT_UNREADABLE: 500,
  MESSAGE_TOO_LARGE: 413,
  INTERNAL: 500,
}

/** A rejection by the domain is an answer, not an error; its status only tells people at a glance. */
export const statusOfRejection = 422
