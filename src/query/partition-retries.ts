// Partitions at which a query failed: how often in a row, when each is tried again, and when an entry is given up.
import type { Cancel, Clock } from '../core/clock.ts'

export interface PartitionRetriesInit {
  readonly clock: Clock
  /** Before the first retry; doubles with each further one, up to the maximum. */
  readonly backoffMsMin: number
  readonly backoffMsMax: number
  /** An entry is parked when it has failed so often; infinite when it is never. */
  attemptsMax(): number
  retry(partition: number): void
  /** Instead of `retry`. */
  park(partition: number, failure: PartitionFailure): void
}

export interface PartitionFailure {
  readonly message: string
  readonly stack: string | null
  /** ISO 8601. */
  readonly time: string
  /** The handler failed at one entry, and nothing else was in the batch. */
  readonly isAlone: boolean
  /** Where the batch ended: until then, entries are handled one by one. Null when its runner knows that by itself. */
  readonly throughIndex: number | null
  /** With those before it. */
  readonly attempts: number
}

export interface PartitionRetries {
  /** It failed once more: `retry` or `park` is called after the delay. */
  add(
    partition: number,
    failure: Omit<PartitionFailure, 'attempts'>,
  ): { readonly attempt: number; readonly delayMs: number; readonly isGivenUp: boolean }
  /** It made progress to this index: the next failure is the first again. */
  forget(partition: number, index: number): void
  /** It turned out to stand elsewhere: another entry is next. It is tried as before, after `resume`, but not given up. */
  moved(partition: number): void
  /** Nobody is there who could try: the counts stay. */
  pause(): void
  /** Every delay begins anew. */
  resume(): void
  partitions(): readonly number[]
  /** Where a batch ended that ended its thread: something in it did. */
  suspects(): readonly (readonly [partition: number, throughIndex: number])[]
}

interface Failed {
  readonly attempt: number
  readonly delayMs: number
  readonly failure: PartitionFailure
  readonly cancel: Cancel
}

export function createPartitionRetries(init: PartitionRetriesInit): PartitionRetries {
  const failures = new Map<number, Failed>()
  const suspects = new Map<number, number>()

  const isGivenUp = ({ attempts }: PartitionFailure): boolean => attempts >= init.attemptsMax()

  const schedule = (partition: number, failed: Omit<Failed, 'cancel'>): void => {
    failures.get(partition)?.cancel()
    const cancel = init.clock.after(failed.delayMs, () => {
      if (isGivenUp(failed.failure)) init.park(partition, failed.failure)
      else init.retry(partition)
    })
    failures.set(partition, { ...failed, cancel })
  }

  return {
    add(partition, given) {
      const before = failures.get(partition)
      const attempt = (before?.attempt ?? 0) + 1
      const attempts = (before?.failure.attempts ?? 0) + (given.isAlone ? 1 : 0)
      const known = before?.failure
      // Why an entry failed stays known while the disk, say, is in the way of parking it.
      const failure =
        given.isAlone || known === undefined || known.attempts === 0 ? { ...given, attempts } : known
      const isOver = given.isAlone && isGivenUp(failure)
      const delayMs = isOver ? 0 : backoffMs(init, attempt)
      if (given.throughIndex !== null) suspects.set(partition, given.throughIndex)
      schedule(partition, { attempt, delayMs, failure })
      return { attempt, delayMs, isGivenUp: isOver }
    },
    forget(partition, index) {
      failures.get(partition)?.cancel()
      failures.delete(partition)
      if (index >= (suspects.get(partition) ?? 0)) suspects.delete(partition)
    },
    moved(partition) {
      const failed = failures.get(partition)
      if (failed === undefined) return
      failures.set(partition, { ...failed, failure: { ...failed.failure, attempts: 0 } })
    },
    pause() {
      for (const { cancel } of failures.values()) cancel()
    },
    resume() {
      for (const [partition, failed] of failures) schedule(partition, failed)
    },
    partitions: () => [...failures.keys()],
    suspects: () => [...suspects],
  }
}

/** 1, 2, 4, … times the minimum. */
export function backoffMs(
  bounds: { readonly backoffMsMin: number; readonly backoffMsMax: number },
  attempt: number,
): number {
  return Math.min(bounds.backoffMsMax, bounds.backoffMsMin * 2 ** Math.min(attempt - 1, 20))
}
