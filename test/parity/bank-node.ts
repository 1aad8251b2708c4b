// A node with the bank, in memory: what the tests of the original begin with.
import type { Test } from 'tap'
import type { AnyAggregate } from '../../src/core/aggregate.ts'
import { createNode } from '../../src/node/create-node.ts'
import type { GlynNode } from '../../src/node/glyn-node.ts'
import type { NodeOptions } from '../../src/node/node-options.ts'
import { bankAccount } from '../support/bank.ts'

export { eventually } from '../node/memory-cluster.ts'
export { balance, bankAccount } from '../support/bank.ts'

/** Closed when the test ends. */
export async function startBank(
  t: Test,
  {
    aggregates = [],
    ...options
  }: Partial<NodeOptions> & { readonly aggregates?: readonly AnyAggregate[] } = {},
): Promise<GlynNode> {
  const node = await createNode({
    topic: 'bank_events',
    dataDirectory: null,
    partitions: 4,
    aggregates: [bankAccount, ...aggregates],
    ...options,
  })
  t.teardown(() => node.close())
  return node
}

export const open = { type: 'OpenAccount', data: {} } as const
export const deposit = (amount: number) => ({ type: 'DepositMoney', data: { amount } }) as const
export const withdraw = (amount: number) => ({ type: 'WithDrawMoney', data: { amount } }) as const
export const close = { type: 'CloseAccount', data: {} } as const

/** Tells what it was called with, as the queries of the original do with their subjects. */
export function recorder(): {
  readonly calls: [aggregateId: string, events: number][]
  readonly query: (aggregateId: string, events: readonly unknown[]) => void
} {
  const calls: [string, number][] = []
  return { calls, query: (aggregateId, events) => void calls.push([aggregateId, events.length]) }
}

/** How many events each aggregate had in them. */
export function countByAggregate(calls: readonly (readonly [string, number])[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const [id, events] of calls) counts[id] = (counts[id] ?? 0) + events
  return counts
}
