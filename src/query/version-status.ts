// What is told of one version of a query, put together from those who know it.
import type { LastError } from './last-error.ts'
import type { MessageLine } from './message-line.ts'
import type { ParkedCounts } from './parked-entries.ts'
import type { QueryState, QueryStatus } from './query.ts'
import type { QueryFailures } from './query-failures.ts'
import type { QueryHolds } from './query-holds.ts'
import type { QueryIdentity } from './query-identity.ts'
import type { QueryProgress } from './query-progress.ts'
import type { QueryThread } from './query-thread.ts'

/** Of one version; the query adds what it knows of both. */
export type VersionStatus = Omit<QueryStatus, 'building'>

export interface VersionAspects {
  readonly identity: QueryIdentity
  readonly progress: QueryProgress
  readonly thread: Pick<QueryThread, 'phase' | 'crashes'>
  readonly holds: Pick<QueryHolds, 'has'>
  readonly failures: Pick<QueryFailures, 'resting'>
  readonly lastError: LastError
}

type StateAspects = Pick<VersionAspects, 'progress' | 'thread' | 'holds' | 'failures'>

export function versionStatus(
  version: VersionAspects,
  more: { readonly parked: ParkedCounts; readonly messages: Pick<MessageLine, 'counts'> },
): VersionStatus {
  const { identity, progress, thread, lastError } = version
  const messages = more.messages.counts()
  const lag = progress.lag()
  const mayRun = thread.phase !== 'failed' && thread.phase !== 'stopped'
  return {
    name: identity.name,
    version: identity.version,
    state: stateOf(version),
    lag,
    lagSeconds: progress.lagSeconds(),
    ratePerSecond: progress.ratePerSecond(),
    parked: more.parked.failed,
    held: more.parked.held,
    progress: !progress.hasCaughtUp && lag > 0 && mayRun ? progress.done() : null,
    positions: Object.fromEntries([...progress.positions].sort(([a], [b]) => a - b)),
    file: identity.file,
    lastError: lastError.is,
    ...(messages === null ? {} : { messages }),
  }
}

/** The state, and why, for messages. */
export function describeState(version: StateAspects & Pick<VersionAspects, 'lastError'>): string {
  const state = stateOf(version)
  const error = version.lastError.is
  return error === null || state === 'running' ? state : `${state} (${error.message})`
}

function stateOf({ progress, thread, holds, failures }: StateAspects): QueryState {
  switch (thread.phase) {
    case 'restarting':
      return 'retrying'
    case 'open':
      if (holds.has('pause')) return 'paused'
      if (failures.resting().length > 0) return 'retrying'
      return progress.isUpToDate() ? 'running' : 'catching-up'
    case 'loading':
      return thread.crashes > 0 ? 'retrying' : 'loading'
    default:
      return thread.phase
  }
}
