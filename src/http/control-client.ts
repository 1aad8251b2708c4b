// A node that lives in another process, through its control server.
import { v7 as uuidv7 } from 'uuid'
import { type ErrorBody, fromErrorBody, GlynError } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import type { Outcome } from '../core/outcome.ts'
import type { Explanation } from '../node/explanation.ts'
import type {
  LeaveProgress,
  LoadedAggregate,
  NodeApi,
  NodeStatus,
  NodeSubscribers,
  PlacementStatus,
  PublishedMessage,
  SubjectReport,
} from '../node/node-api.ts'
import { sendAppends } from './append-call.ts'
import { readBackupBytes } from './backup-call.ts'
import { type BatchConnection, openBatchConnection } from './batch-connection.ts'
import { createHttpCalls, type HttpTarget } from './http-calls.ts'
import { createInspectionClient } from './inspection-client.ts'
import { createQueriesClient } from './queries-client.ts'
import { readLineGroups } from './read-lines.ts'
import { statusOfRejection } from './status-of-error.ts'
import { subscribeResuming } from './subscribe-resuming.ts'

const defaultTimeoutMs = 10_000
const defaultSubscribersTimeoutMs = 2000
/** The node keeps the deadline, and says who is missing; a little more for the way. */
const graceMs = 1000
/** A node that leaves says several times a second how far it is; before the first time the controller has to take it. */
const leaveSilenceMsMax = 15_000

export type RemoteNode = Pick<
  NodeApi,
  | 'execute'
  | 'append'
  | 'loadAggregate'
  | 'loadEvents'
  | 'latestSnapshot'
  | 'aggregateStats'
  | 'systemStats'
  | 'rebuildSnapshots'
  | 'query'
  | 'queries'
  | 'subscribe'
  | 'publish'
  | 'subscribers'
  | 'heads'
  | 'backup'
  | 'status'
  | 'placement'
  | 'explain'
  | 'removeMember'
  | 'forget'
  | 'forgetStatus'
  | 'leave'
  | 'cancelLeave'
>

export interface ControlClient extends RemoteNode {
  /** For people: the socket's path or the URL. */
  readonly name: string
  openBatch(): BatchConnection
  close(): Promise<void>
}

/** Connects when it is first needed. Throws INVALID_ARGUMENT for a URL that is none. */
export function createControlClient(target: HttpTarget): ControlClient {
  const calls = createHttpCalls(target)
  return {
    name: calls.name,
    async execute(type, id, command, options = {}) {
      const { timeoutMs = defaultTimeoutMs, commandId = uuidv7(), metadata, signal } = options
      const answer = await calls.call(
        {
          method: 'POST',
          path: `${aggregatePath(type, id)}/commands`,
          body: { command: command.type, data: command.data, commandId, metadata, timeoutMs },
          timeoutMs: timeoutMs + graceMs,
          signal,
        },
        [statusOfRejection],
      )
      return answer as Outcome
    },
    append: (appends, { timeoutMs = defaultTimeoutMs, signal } = {}) =>
      sendAppends(calls, appends, { timeoutMs, signal }),
    async loadAggregate(type, id, { timeoutMs = defaultTimeoutMs, signal } = {}) {
      const path = `${aggregatePath(type, id)}?timeoutMs=${timeoutMs}`
      const answer = await calls.call({ method: 'GET', path, timeoutMs: timeoutMs + graceMs, signal })
      return answer as LoadedAggregate
    },
    async loadEvents(type, id, options = {}) {
      const { fromSequence = 1, limit, timeoutMs = defaultTimeoutMs, signal } = options
      const parameters = new URLSearchParams({
        from: String(fromSequence),
        ...(limit === undefined ? {} : { limit: String(limit) }),
        timeoutMs: String(timeoutMs),
      })
      const deadline = AbortSignal.timeout(timeoutMs + graceMs)
      try {
        const body = await calls.stream({
          method: 'GET',
          path: `${aggregatePath(type, id)}/events?${parameters}`,
          headers: {},
          silenceMsMax: timeoutMs + graceMs,
          signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
        })
        return await readEnvelopes(body)
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason
        if (!deadline.aborted) throw calls.explain(error)
        throw new GlynError('TIMEOUT', `${calls.name} did not answer within ${timeoutMs} ms`, {
          cause: error,
        })
      }
    },
    query(name, question, parameters, options = {}) {
      const { timeoutMs = defaultTimeoutMs, after, signal } = options
      const own = new URLSearchParams({
        timeoutMs: String(timeoutMs),
        ...(after === undefined ? {} : { after }),
      })
      return calls.call({
        method: 'POST',
        path: `/v1/queries/${encodeURIComponent(name)}/${encodeURIComponent(question)}?${own}`,
        body: parameters,
        timeoutMs: timeoutMs + graceMs,
        signal,
      })
    },
    queries: createQueriesClient(calls),
    ...createInspectionClient(calls),
    subscribe: options => subscribeResuming(calls, options),
    async publish(message) {
      const call = {
        method: 'POST',
        path: '/v1/messages',
        body: message,
        timeoutMs: defaultTimeoutMs,
      } as const
      return (await calls.call(call)) as PublishedMessage
    },
    async subscribers({ timeoutMs = defaultSubscribersTimeoutMs } = {}) {
      const path = `/v1/subscribers?timeoutMs=${timeoutMs}`
      const answer = await calls.call({ method: 'GET', path, timeoutMs: timeoutMs + graceMs })
      return answer as readonly NodeSubscribers[]
    },
    async heads({ signal } = {}) {
      const call = {
        method: 'GET',
        path: '/v1/heads',
        timeoutMs: defaultTimeoutMs + graceMs,
        signal,
      } as const
      return ((await calls.call(call)) as { readonly token: string }).token
    },
    backup: ({ signal } = {}) => readBackupBytes(calls, signal ?? new AbortController().signal),
    async status() {
      const answer = await calls.call({ method: 'GET', path: '/v1/cluster', timeoutMs: defaultTimeoutMs })
      return answer as NodeStatus
    },
    async placement() {
      const answer = await calls.call({ method: 'GET', path: '/v1/placement', timeoutMs: defaultTimeoutMs })
      return answer as PlacementStatus
    },
    async explain(type, id) {
      const path = `/v1/explain/${encodeURIComponent(type)}/${encodeURIComponent(id)}`
      return (await calls.call({ method: 'GET', path, timeoutMs: defaultTimeoutMs })) as Explanation
    },
    async removeMember(peerId) {
      const path = `/v1/members/${encodeURIComponent(peerId)}`
      // The node keeps the deadline, and says what is in the way.
      await calls.call({ method: 'DELETE', path, timeoutMs: defaultTimeoutMs + graceMs })
    },
    async forget(subject, { timeoutMs = defaultTimeoutMs, force = false, signal } = {}) {
      const body = { subject, timeoutMs, force }
      const path = '/v1/subjects/forget'
      const answer = await calls.call({ method: 'POST', path, body, timeoutMs: timeoutMs + graceMs, signal })
      return answer as SubjectReport
    },
    async forgetStatus(subject, { timeoutMs = defaultSubscribersTimeoutMs, signal } = {}) {
      const body = { subject, timeoutMs }
      const path = '/v1/subjects/status'
      const answer = await calls.call({ method: 'POST', path, body, timeoutMs: timeoutMs + graceMs, signal })
      return answer as SubjectReport
    },
    async leave({ signal, onProgress } = {}) {
      const body = await calls.stream({
        method: 'POST',
        path: '/v1/leave',
        headers: {},
        silenceMsMax: leaveSilenceMsMax,
        signal: signal ?? new AbortController().signal,
      })
      try {
        if (await readLeaving(body, onProgress)) return
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason
        throw calls.explain(error)
      }
      throw new GlynError(
        'UNAVAILABLE',
        `${calls.name} ended before it had left; it goes on when it is started again`,
      )
    },
    async cancelLeave() {
      await calls.call({ method: 'DELETE', path: '/v1/leave', timeoutMs: defaultTimeoutMs + graceMs })
    },
    openBatch: () => openBatchConnection(calls),
    close: () => calls.close(),
  }
}

const aggregatePath = (type: string, id: string): string =>
  `/v1/aggregates/${encodeURIComponent(type)}/${encodeURIComponent(id)}`

type LeaveLine =
  | ({ readonly event: 'leaving' } & LeaveProgress)
  | { readonly event: 'left' }
  | { readonly event?: undefined; readonly error: ErrorBody }

/** True when the node has left. Throws what it says it failed with. */
async function readLeaving(
  body: AsyncIterable<Uint8Array>,
  onProgress: ((progress: LeaveProgress) => void) | undefined,
): Promise<boolean> {
  for await (const group of readLineGroups(body)) {
    for (const line of group) {
      if (line === '') continue
      const said = JSON.parse(line) as LeaveLine
      if (said.event === 'left') return true
      if (said.event === undefined) throw fromErrorBody(said.error)
      const { replicas, leads, total, waitsFor } = said
      onProgress?.({ replicas, leads, total, waitsFor })
    }
  }
  return false
}

async function readEnvelopes(body: AsyncIterable<Uint8Array>): Promise<EventEnvelope[]> {
  const events: EventEnvelope[] = []
  for await (const group of readLineGroups(body)) {
    for (const line of group) if (line !== '') events.push(JSON.parse(line) as EventEnvelope)
  }
  return events
}
