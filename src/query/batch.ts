// One batch of one partition, and how it went.
import type { EventEnvelope } from '../core/event.ts'
import { isReadModelFailure } from './read-model.ts'

export interface Batch {
  readonly partition: number
  readonly events: readonly EventEnvelope[]
  /** Where the query stands when all of the batch is handled. */
  readonly throughIndex: number
}

export interface Applied {
  /** Where the query stands now. Less than `throughIndex` after a failure, or when the time was up. */
  readonly index: number
  readonly failure: BatchFailure | null
}

export interface BatchFailure {
  readonly error: unknown
  /** `read-model`: the events are not to blame; it is tried again, whatever `onError` says. */
  readonly by: 'handler' | 'read-model'
}

export interface Budget {
  now(): number
  /** No further aggregate is begun after so many milliseconds. */
  readonly batchMs: number
}

export const failureOf = (error: unknown): BatchFailure => ({
  error,
  by: isReadModelFailure(error) ? 'read-model' : 'handler',
})
