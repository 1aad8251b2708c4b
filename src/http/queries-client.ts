// What a node in another process offers around its queries.
import type { ParkedList, ParkedOutcome, ParkedSelection } from '../node/parked-api.ts'
import type { QueriesApi, QueryStatus } from '../node/queries-api.ts'
import type { SqlAnswer } from '../node/sql-api.ts'
import type { HttpCalls } from './http-calls.ts'

const askTimeoutMs = 10_000
const handleTimeoutMs = 60_000
/** The node keeps the deadline; a little more for the way. */
const graceMs = 1000

export function createQueriesClient(calls: HttpCalls): QueriesApi {
  const pathOf = (name: string, what: string, parameters: Readonly<Record<string, string>>): string =>
    `/v1/queries/${encodeURIComponent(name)}/${what}?${new URLSearchParams(parameters)}`

  const act = async (name: string, action: 'rebuild' | 'pause' | 'resume'): Promise<QueryStatus> => {
    const path = `/v1/queries/${encodeURIComponent(name)}/-/${action}`
    return (await calls.call({ method: 'POST', path, timeoutMs: askTimeoutMs })) as QueryStatus
  }

  const handle = async (
    action: 'retry' | 'drop',
    name: string,
    body: ParkedSelection,
    { timeoutMs = handleTimeoutMs, signal }: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  ): Promise<ParkedOutcome> => {
    const path = pathOf(name, `parked/${action}`, { timeoutMs: String(timeoutMs) })
    const call = { method: 'POST', path, body, timeoutMs: timeoutMs + graceMs, signal } as const
    return (await calls.call(call)) as ParkedOutcome
  }

  return {
    async list() {
      const call = { method: 'GET', path: '/v1/queries', timeoutMs: askTimeoutMs } as const
      return (await calls.call(call)) as readonly QueryStatus[]
    },
    rebuild: name => act(name, 'rebuild'),
    pause: name => act(name, 'pause'),
    resume: name => act(name, 'resume'),
    async parked(name, { limit, timeoutMs = askTimeoutMs, signal } = {}) {
      const parameters = {
        timeoutMs: String(timeoutMs),
        ...(limit === undefined ? {} : { limit: String(limit) }),
      }
      const path = pathOf(name, 'parked', parameters)
      return (await calls.call({
        method: 'GET',
        path,
        timeoutMs: timeoutMs + graceMs,
        signal,
      })) as ParkedList
    },
    retryParked: (name, selection, options = {}) => handle('retry', name, selection, options),
    dropParked: (name, selection, options = {}) => handle('drop', name, selection, options),
    async sql(name, text, parameters = {}, { limit, timeoutMs = askTimeoutMs, signal, after } = {}) {
      const own = { timeoutMs: String(timeoutMs), ...(after === undefined ? {} : { after }) }
      const body = { sql: text, parameters, ...(limit === undefined ? {} : { limit }) }
      const path = pathOf(name, 'sql', own)
      // It may wait for the token first, and then run.
      const call = { method: 'POST', path, body, timeoutMs: 2 * timeoutMs + graceMs, signal } as const
      return (await calls.call(call)) as SqlAnswer
    },
  }
}
