// What a running node offers about dead letters: what its queries failed at and put aside.

import { GlynError } from '../core/errors.ts'
import type { ParkedList, ParkedOutcome, ParkedSelection } from '../query/parked-operations.ts'
import type { QueryHost } from '../query/query-host.ts'
import { checkPositive } from './check-arguments.ts'

export type { ParkedList, ParkedOutcome, ParkedSelection, ParkedSummary } from '../query/parked-operations.ts'

/** What a query has put aside, and what to do with it. */
export interface ParkedApi {
  /**
   * What is parked in a query of this node, at most `limit` entries (100 when left out), those that failed first. Throws as
   * `query` does.
   */
  parked(name: string, options?: ParkedOptions & { readonly limit?: number }): Promise<ParkedList>
  /**
   * Calls the handler again with what is parked, in order: an entry leaves the table in the transaction of what the handler
   * writes, and what was held back behind it follows, until one fails. Throws as `query` does, and ENTITY_NOT_FOUND for what
   * is not parked, INVALID_ARGUMENT for an entry that is held behind another. After a TIMEOUT it goes on.
   */
  retryParked(name: string, selection: ParkedSelection, options?: ParkedOptions): Promise<ParkedOutcome>
  /** Discards what is parked, for ever. What was held back behind a single entry is handled. Throws as `retryParked`. */
  dropParked(name: string, selection: ParkedSelection, options?: ParkedOptions): Promise<ParkedOutcome>
}

/** How long to handle what was put aside, and how to give up. */
export interface ParkedOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

const listTimeoutMs = 10_000
/** Thousands of entries may have to be handled. */
const handleTimeoutMs = 60_000
const entriesListedDefault = 100
const entriesListedMax = 10_000

export function createParkedApi(host: Pick<QueryHost, 'ask'>): ParkedApi {
  const handle = async (
    kind: 'retry' | 'drop',
    name: string,
    selection: ParkedSelection,
    { timeoutMs = handleTimeoutMs, signal }: ParkedOptions,
  ): Promise<ParkedOutcome> => {
    const options = { kind, timeoutMs: checkPositive('timeoutMs', timeoutMs), signal }
    return (await host.ask(name, kind, checkSelection(selection), options)) as ParkedOutcome
  }
  return {
    async parked(name, { limit = entriesListedDefault, timeoutMs = listTimeoutMs, signal } = {}) {
      if (checkPositive('limit', limit) > entriesListedMax) {
        throw new GlynError('INVALID_ARGUMENT', `limit is ${limit}; allowed: 1 to ${entriesListedMax}`)
      }
      const options = { kind: 'parked', timeoutMs: checkPositive('timeoutMs', timeoutMs), signal } as const
      return (await host.ask(name, 'parked', { limit }, options)) as ParkedList
    },
    retryParked: (name, selection, options = {}) => handle('retry', name, selection, options),
    dropParked: (name, selection, options = {}) => handle('drop', name, selection, options),
  }
}

function checkSelection(value: ParkedSelection): { readonly all: true } | { readonly of: string } {
  const { all, of } = (value ?? {}) as { readonly all?: unknown; readonly of?: unknown }
  if (all === true && of === undefined) return { all }
  if (all === undefined && typeof of === 'string' && of !== '') return { of }
  throw new GlynError(
    'INVALID_ARGUMENT',
    `what is parked is chosen by ${JSON.stringify(value) ?? 'nothing'}; allowed: { all: true }, or { of: an entry or an aggregate }`,
  )
}
