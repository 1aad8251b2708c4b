// The bounds of running queries. Times in milliseconds.

export interface QueryLimits {
  /** Events per read and transaction at most; more only when one command yielded more, fewer when they are large. */
  readonly batchEventsMax: number
  /** After this long a transaction takes no more aggregates: answers wait at most about this long. */
  readonly batchMs: number
  /** A handler or an answer that holds its thread for longer is looping: the thread is ended and started again. */
  readonly batchMsMax: number
  /** From the start of a thread until its file is imported. */
  readonly loadMsMax: number
  /** From `loaded` until the read model is open: `init` may build an index. */
  readonly openMsMax: number
  /** One read from the source: a remote replica may have to be found first. */
  readonly readMsMax: number
  /** `start()` waits no longer for queries that load slowly: they go on loading beside the node. */
  readonly startMsMax: number
  /** Before the first retry of what failed; doubles with each further one. */
  readonly backoffMsMin: number
  readonly backoffMsMax: number
  /** A query that is behind and sees nothing for longer, though nothing is in its way, is started again. More than `readMsMax`. */
  readonly stallMsMax: number
  /** Until a new version has seen what the old one has, at the swap; else it is tried again. */
  readonly swapMsMax: number
  /** The read model of a query whose file is gone is kept for this long. */
  readonly graceMs: number
  /** Before a file that failed to load is tried again. */
  readonly loadBackoffMs: number
  /** Old-generation heap of a query's thread. */
  readonly heapMbMax: number
  /** Entries that are parked or held back, per query. A partition that would park one more waits, and says so. */
  readonly parkedMax: number
  /** Questions that wait for their answer, per query. */
  readonly asksMax: number
  /** Messages sent to the thread of a query that it has not finished, and their bytes; further ones are dropped. */
  readonly messagesMax: number
  readonly messageBytesMax: number
  /** Lines of a plugin's output that are logged per second. */
  readonly outputLinesPerSecondMax: number
  /** From `close()` until a thread that does not end by itself is ended. */
  readonly closeMsMax: number
}

export const queryLimits: QueryLimits = {
  batchEventsMax: 2000,
  batchMs: 50,
  batchMsMax: 10_000,
  loadMsMax: 15_000,
  openMsMax: 60_000,
  readMsMax: 30_000,
  startMsMax: 3000,
  backoffMsMin: 100,
  backoffMsMax: 10_000,
  stallMsMax: 60_000,
  swapMsMax: 5000,
  graceMs: 24 * 60 * 60 * 1000,
  loadBackoffMs: 30_000,
  heapMbMax: 512,
  parkedMax: 10_000,
  asksMax: 1000,
  messagesMax: 1000,
  messageBytesMax: 4 * 1024 * 1024,
  outputLinesPerSecondMax: 200,
  closeMsMax: 2000,
}
