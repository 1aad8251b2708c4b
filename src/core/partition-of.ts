// Which partition an aggregate belongs to. Part of the data format: it must never change.
import type { AggregateKey } from './command.ts'
import { hash32 } from './hash.ts'

/** The controller's group. Data partitions are 1..partitions. */
export const controllerPartition = 0

/** 1..partitions. */
export function partitionOf(aggregate: AggregateKey, partitions: number): number {
  return 1 + (hash32(`${aggregate.type}\u0000${aggregate.id}`) % partitions)
}
