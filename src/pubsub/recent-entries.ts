// The last entries that gossip brought, of partitions without a local replica: contiguous runs, bounded.
import type { Entry } from '../raft/entry.ts'

/** Per partition. A reader that is further behind fetches. */
const entriesMax = 1000
const bytesMax = 1024 * 1024

interface Run {
  entries: Entry[]
  bytes: number
}

export class RecentEntries {
  readonly #runs = new Map<number, Run>()

  /** Drops what is known already; what does not join on begins a new run. */
  add(partition: number, entries: readonly Entry[]): void {
    const run = this.#runs.get(partition) ?? { entries: [], bytes: 0 }
    this.#runs.set(partition, run)
    for (const entry of entries) {
      const last = run.entries.at(-1)
      if (last !== undefined && entry.index <= last.index) continue
      if (last !== undefined && entry.index !== last.index + 1) {
        run.entries = []
        run.bytes = 0
      }
      run.entries.push(entry)
      run.bytes += entry.payload.length
    }
    while (run.entries.length > entriesMax || (run.bytes > bytesMax && run.entries.length > 1)) {
      run.bytes -= run.entries.shift()?.payload.length ?? 0
    }
  }

  /** The entries that follow `afterIndex` without a gap; empty when the first of them is not here. */
  after(partition: number, afterIndex: number): readonly Entry[] {
    const entries = this.#runs.get(partition)?.entries ?? []
    const first = entries[0]
    if (first === undefined || first.index > afterIndex + 1) return []
    return entries.slice(afterIndex + 1 - first.index)
  }
}
