// Which partitions this node holds a replica of that follows the log. Asked for every event batch, so it is remembered.
import type { Placement } from '../core/placement.ts'
import type { RaftEngine } from '../partition/raft-engine.ts'

export interface LocalPartitions {
  has(partition: number): boolean
  /** Members or the wanted placement may have changed: look again when asked next. */
  forget(): void
}

/** A replica that the placement no longer wants may have been told nothing for long: it does not count. */
export function createLocalPartitions(init: {
  readonly engine: RaftEngine
  readonly wanted: (partition: number) => Placement | undefined
}): LocalPartitions {
  const { engine } = init
  const known = new Map<number, boolean>()

  function look(partition: number): boolean {
    const status = engine.status(partition)
    if (status === undefined) return false
    const isIn = (members: Placement): boolean =>
      members.voters.includes(engine.id) || members.learners.includes(engine.id)
    const wanted = init.wanted(partition)
    return isIn(status.configuration) && (wanted === undefined || isIn(wanted))
  }

  return {
    has(partition) {
      let isLocal = known.get(partition)
      if (isLocal === undefined) {
        isLocal = look(partition)
        known.set(partition, isLocal)
      }
      return isLocal
    },
    forget: () => known.clear(),
  }
}
