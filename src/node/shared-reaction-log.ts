// The log of a shared store, as reactions read it.
import { GlynError } from '../core/errors.ts'
import type { StoredEvent } from '../core/record.ts'
import type { ReactionLog } from '../reaction/reaction.ts'
import type { SharedStore } from '../store/shared-store.ts'

export const createSharedReactionLog = (
  store: Pick<SharedStore, 'readLog' | 'readStream'>,
  /** To the newest versions of the events. */
  lift: (rows: readonly StoredEvent[]) => readonly StoredEvent[],
): ReactionLog => ({
  async readPartition(partition, { afterIndex, throughIndex, limit }) {
    const rows = await store.readLog(partition, { afterIndex, limit })
    // Nothing there would mean that there is nothing to do; but something is, the store itself has said so.
    if (rows.length === 0) {
      const text = `the store shows nothing of partition ${partition} after ${afterIndex} yet`
      throw new GlynError('UNAVAILABLE', text)
    }
    return lift(rows.filter(({ index }) => index <= throughIndex))
  },
  readAggregate: (aggregate, { fromSequence, limit }) => store.readStream(aggregate, { fromSequence, limit }),
})
