// Reads the cluster state from a controller's log that no node runs.
import {
  applyControllerCommand,
  type ClusterState,
  type ControllerCommand,
  emptyClusterState,
} from '../cluster/cluster-state.ts'
import type { LogReader } from '../raft/raft.ts'
import { decodeRecord } from '../store/record-codec.ts'

const pageBytesMax = 1024 * 1024

/** Of everything up to `lastIndex`, committed or not. `sequence` is that of the last command. */
export function foldController(
  log: LogReader,
  lastIndex: number,
): { readonly state: ClusterState; readonly sequence: number } {
  let state = emptyClusterState
  let sequence = 0
  for (let next = 1; next <= lastIndex; ) {
    const entries = log.entries(next, lastIndex, pageBytesMax)
    if (entries.length === 0) break
    for (const { kind, payload, index } of entries) {
      next = index + 1
      if (kind !== 'command') continue
      const { events, firstSequence } = decodeRecord(payload)
      for (const { data } of events)
        state = applyControllerCommand(state, JSON.parse(data) as ControllerCommand)
      sequence = firstSequence + events.length - 1
    }
  }
  return { state, sequence }
}
