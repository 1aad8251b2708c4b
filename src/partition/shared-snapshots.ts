// Snapshots on their way to a shared store. They are a cache: written when there is time, and lost when there is none.
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { SharedSnapshot, SharedStore } from '../store/shared-store.ts'

/** Snapshots that wait; beyond, the oldest go. */
const waitingMax = 1000
const gatherMs = 100
const bytesPerCallMax = 4 * 1024 * 1024

export interface SharedSnapshots {
  add(snapshot: SharedSnapshot): void
}

export function createSharedSnapshots(init: {
  readonly store: Pick<SharedStore, 'writeSnapshots'>
  readonly clock: Clock
  readonly log: Log
}): SharedSnapshots {
  const { store, clock, log } = init
  /** By aggregate: a newer one takes the place of the one before. */
  const waiting = new Map<string, SharedSnapshot>()
  let isWriting = false

  function next(): readonly SharedSnapshot[] {
    const taken: SharedSnapshot[] = []
    let bytes = 0
    for (const [name, snapshot] of waiting) {
      if (taken.length > 0 && bytes + snapshot.state.length > bytesPerCallMax) break
      bytes += snapshot.state.length
      taken.push(snapshot)
      waiting.delete(name)
    }
    return taken
  }

  async function write(): Promise<void> {
    const taken = next()
    try {
      await store.writeSnapshots(taken)
    } catch (error) {
      log.debug({ snapshots: taken.length, error: String(error) }, 'aggregate: snapshots were not written')
    }
    isWriting = false
    schedule()
  }

  function schedule(): void {
    if (isWriting || waiting.size === 0) return
    isWriting = true
    clock.after(gatherMs, () => void write())
  }

  return {
    add(snapshot) {
      const name = `${snapshot.aggregate.type}\u0000${snapshot.aggregate.id}`
      waiting.delete(name)
      waiting.set(name, snapshot)
      for (const oldest of waiting.keys()) {
        if (waiting.size <= waitingMax) break
        waiting.delete(oldest)
      }
      schedule()
    },
  }
}
