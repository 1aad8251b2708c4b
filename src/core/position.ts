// Where something stands: a place in one partition's log.

/** A place in the log of one partition. Indexes start at 1. */
export interface Position {
  readonly partition: number
  readonly index: number
}

/** How far a reader is: the last index it has seen, by partition. A partition that is missing stands at 0. */
export type Positions = ReadonlyMap<number, number>
