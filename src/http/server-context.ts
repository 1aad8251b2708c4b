// What the routes of one control server share.
import type { Log } from '../core/log.ts'
import type { NodeApi } from '../node/node-api.ts'
import type { Metrics } from './metrics.ts'

export interface ServerContext {
  /** The attached node. Throws UNAVAILABLE before. */
  node(): NodeApi
  /** Aborted when the server closes: streams end. */
  readonly closing: AbortSignal
  readonly metrics: Metrics
  readonly log: Log
}
