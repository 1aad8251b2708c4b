// Where a runner has work, and how much of it is taken at once: which partitions have something to see, which of them rest,
// and which are taken in smaller steps, because something in them failed.
import type { ParkedFailure } from './parked-entries.ts'
import type { Head } from './runner-messages.ts'

export interface RunnerPartitionsInit {
  readonly batchEventsMax: number
  /** Partitions that failed before this runner was there. */
  readonly resting: readonly number[]
  /** Through which index entries are handled one by one, because a batch with them ended the thread. */
  readonly suspects: readonly (readonly [partition: number, throughIndex: number])[]
  /** Where the query stands. */
  positionOf(partition: number): number
}

export interface RunnerPartitions {
  /** What changed. */
  learn(heads: readonly Head[]): void
  /** One with something to see that does not rest; in turn, so that none starves the others. */
  next(): number | undefined
  /** Through which index it can be read in the log file. */
  readableOf(partition: number): number
  /** Events for the next batch; 1 is one entry. */
  limitOf(partition: number): number
  /** A batch was handled. */
  grow(partition: number): void
  /** It failed: it is left alone until `wake`, and begins with one entry then. */
  rest(partition: number): void
  wake(partition: number): void
  /** Wakes it; the entry after this index is put aside instead of handled, if it is next. */
  park(partition: number, afterIndex: number, failure: ParkedFailure): void
  /** Why what is next in it is to be put aside. */
  toPark(partition: number): ParkedFailure | undefined
  /** It was, or failed to be. */
  forgetToPark(partition: number): void
}

export function createRunnerPartitions(init: RunnerPartitionsInit): RunnerPartitions {
  const { batchEventsMax, positionOf } = init
  const heads = new Map<number, Head>()
  const resting = new Set<number>()
  /** Events per batch, 1 after a failure, doubled by each success; the maximum when missing. */
  const batchEvents = new Map<number, number>()
  const suspects = new Map(init.suspects)
  const toPark = new Map<number, ParkedFailure>()
  /** Where the search for work goes on. */
  let lastPartition = -1

  const rest = (partition: number): void => {
    resting.add(partition)
    batchEvents.set(partition, 1)
  }
  const eventsOf = (partition: number): number => batchEvents.get(partition) ?? batchEventsMax

  for (const partition of init.resting) rest(partition)

  return {
    learn(changed) {
      for (const head of changed) heads.set(head.partition, head)
    },
    next() {
      let first: number | undefined
      for (const { partition, index } of heads.values()) {
        if (index <= positionOf(partition) || resting.has(partition)) continue
        if (partition > lastPartition) {
          lastPartition = partition
          return partition
        }
        first ??= partition
      }
      if (first !== undefined) lastPartition = first
      return first
    },
    readableOf: partition => heads.get(partition)?.readable ?? 0,
    limitOf(partition) {
      if (toPark.has(partition) || positionOf(partition) < (suspects.get(partition) ?? 0)) return 1
      suspects.delete(partition)
      return eventsOf(partition)
    },
    grow(partition) {
      const doubled = 2 * eventsOf(partition)
      if (doubled < batchEventsMax) batchEvents.set(partition, doubled)
      else batchEvents.delete(partition)
    },
    rest,
    wake: partition => void resting.delete(partition),
    park(partition, afterIndex, failure) {
      // Not another entry than the one that failed.
      if (afterIndex === positionOf(partition)) toPark.set(partition, failure)
      resting.delete(partition)
    },
    toPark: partition => toPark.get(partition),
    forgetToPark: partition => void toPark.delete(partition),
  }
}
