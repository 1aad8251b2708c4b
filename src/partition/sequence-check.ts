// Where aggregates are in the shared store, asked for many at once: one question a turn confirms every read of that turn.
import type { Clock } from '../core/clock.ts'
import type { AggregateKey } from '../core/command.ts'
import type { SharedStore } from '../store/shared-store.ts'

/** Keys in one question. */
const keysMax = 1000

export interface SequenceCheck {
  /** The sequence of the last event, as it was at some moment after the call. Rejects as the store does. */
  of(aggregate: AggregateKey): Promise<number>
}

interface Asked {
  readonly aggregate: AggregateKey
  readonly resolve: (sequence: number) => void
  readonly reject: (error: unknown) => void
}

export function createSequenceCheck(init: {
  readonly store: Pick<SharedStore, 'sequences'>
  readonly clock: Clock
}): SequenceCheck {
  const { store, clock } = init
  const asked: Asked[] = []
  let isScheduled = false

  /** What comes later is not answered by a question that is under way: it would speak of a time before. */
  function ask(): void {
    const now = asked.splice(0, keysMax)
    if (asked.length > 0) clock.soon(ask)
    else isScheduled = false
    store.sequences(now.map(({ aggregate }) => aggregate)).then(
      sequences => {
        for (const [place, one] of now.entries()) one.resolve(sequences[place] ?? 0)
      },
      (error: unknown) => {
        for (const one of now) one.reject(error)
      },
    )
  }

  return {
    of: aggregate =>
      new Promise((resolve, reject) => {
        asked.push({ aggregate, resolve, reject })
        if (isScheduled) return
        isScheduled = true
        clock.soon(ask)
      }),
  }
}
