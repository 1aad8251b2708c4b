// The last thing that went wrong with a query, for its status.
import type { Clock } from '../core/clock.ts'
import type { QueryStatus } from './query.ts'
import type { ErrorText } from './runner-messages.ts'

export interface LastError {
  readonly is: QueryStatus['lastError']
  /** Returns it with its time, ISO 8601. */
  remember(error: ErrorText): NonNullable<QueryStatus['lastError']>
}

export function createLastError(clock: Clock): LastError {
  let last: QueryStatus['lastError'] = null
  return {
    get is() {
      return last
    },
    remember({ message, stack }) {
      last = { message, stack, time: new Date(clock.wallTime()).toISOString() }
      return last
    },
  }
}
