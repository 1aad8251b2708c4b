// What the writer knows of one partition: what is durable, and how much of it is in the log already.
import { emptyHardState, type StoredPartition } from '../check-write.ts'

export interface WrittenPartition extends StoredPartition {
  /** The log holds the entries up to here, with so many events; they are what the partition's row says. */
  foldedIndex: number
  foldedEvents: number
  /** The entries after it, oldest first. Their rows are `firstId`, `firstId + 1`, … of the tail. */
  tail: TailEntry[]
}

export interface TailEntry {
  readonly index: number
  readonly firstId: number
  readonly rows: number
  readonly events: number
  readonly bytes: number
}

export const newPartition = (): WrittenPartition => ({
  hardState: emptyHardState,
  lastIndex: 0,
  foldedIndex: 0,
  foldedEvents: 0,
  tail: [],
})
