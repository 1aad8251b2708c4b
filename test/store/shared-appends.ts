// Appends for tests of shared stores.
import { partitionOf } from '../../src/core/partition-of.ts'
import type { Append } from '../../src/store/shared-store.ts'

export const binding = { scope: 'test', partitions: 4 } as const

export function deposit(
  id: string,
  expectedSequence: number,
  commandId: string,
  more: { readonly events?: number; readonly data?: string } = {},
): Append {
  const aggregate = { type: 'bank_account', id }
  return {
    partition: partitionOf(aggregate, binding.partitions),
    aggregate,
    expectedSequence,
    commandId,
    timeMs: 1_700_000_000_000,
    metadata: '{}',
    events: Array.from({ length: more.events ?? 1 }, (_, offset) => ({
      type: 'Deposited',
      version: 1,
      data: more.data ?? `{"amount":${expectedSequence + offset + 1}}`,
    })),
  }
}
