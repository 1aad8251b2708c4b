// Where an export reads from: a store that somebody runs on, or one that nobody does.
import type { EventEnvelope } from '../../core/event.ts'
import type { Positions } from '../../core/position.ts'
import { parseToken } from '../../core/token.ts'
import type { NodeApi } from '../node-api.ts'

export interface EventSource {
  /** Names the history that positions are of. */
  readonly history: string
  readonly scope: string
  readonly partitions: number
  /** How far each partition is: for progress. */
  readonly heads: Positions
  /** Committed events after a token, until now; each partition in order, the events of one command after each other. */
  events(options: {
    readonly from: string
    readonly types: readonly string[] | null
    readonly signal: AbortSignal
  }): AsyncIterable<EventEnvelope>
  /** What was left out, and why, in words. Known at the end. */
  remarks(): readonly string[]
}

/** A running node, in this process or through its control server. */
export async function runningSource(node: Pick<NodeApi, 'status' | 'subscribe'>): Promise<EventSource> {
  const { cluster, partitions } = await node.status()
  const heads = new Map(partitions.filter(({ id }) => id > 0).map(({ id, commitIndex }) => [id, commitIndex]))
  return {
    history: cluster.id,
    scope: cluster.scope,
    partitions: cluster.partitions,
    heads,
    events: ({ from, types, signal }) =>
      node.subscribe({
        from: from === '' ? 'start' : from,
        until: 'now',
        ...(types === null ? {} : { filter: { aggregateTypes: types } }),
        signal,
      }),
    remarks: () => [],
  }
}

/** How much of the way from one token to the heads is done: indexes, as numbers. */
export function wayOf(
  heads: Positions,
  from: string,
): { readonly total: number; done(positions: Positions): number } {
  const start = parseToken(from)
  const sum = (positions: Positions): number =>
    [...heads.keys()].reduce(
      (done, partition) => done + Math.max(0, (positions.get(partition) ?? 0) - (start.get(partition) ?? 0)),
      0,
    )
  return { total: sum(heads), done: sum }
}
