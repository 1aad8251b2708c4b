// Walks the hash chain of one partition and names the first entry that is not what was written.
import { isGlynError } from '../core/errors.ts'
import { type Entry, genesisHash, type HashEntry } from '../raft/entry.ts'
import type { LogReader } from '../raft/raft.ts'

export interface LogFault {
  readonly index: number
  readonly reason: string
}

export interface VerifyOptions {
  readonly throughIndex: number
  readonly hashEntry: HashEntry
  /** 1 when left out. The entry before it is trusted. */
  readonly fromIndex?: number
}

/** How much of the log is read at once: bounds the memory and the time between two yields. */
const stepBytesMax = 1024 * 1024

/**
 * Yields the last index that was found good, about once a mebibyte, so that the caller can show progress or let others
 * run. Returns the first fault, or null.
 */
export function* verifyLog(log: LogReader, options: VerifyOptions): Generator<number, LogFault | null, void> {
  const { throughIndex, hashEntry, fromIndex = 1 } = options
  let previous = fromIndex === 1 ? genesisHash : log.hash(fromIndex - 1)
  if (previous === undefined) return { index: fromIndex - 1, reason: 'it is missing' }
  for (let next = fromIndex; next <= throughIndex; ) {
    const step = readStep(log, { from: next, to: throughIndex })
    if (step.type === 'fault') return { index: step.index, reason: step.reason }
    for (const entry of step.entries) {
      if (entry.index !== next) return { index: next, reason: `entry ${entry.index} stands in its place` }
      const hash = hashEntry(previous, entry)
      if (Buffer.compare(hash, entry.hash) !== 0) {
        return { index: next, reason: 'its content, or the entry before it, does not fit its hash' }
      }
      previous = hash
      next += 1
    }
    yield next - 1
  }
  return null
}

type Step =
  | { readonly type: 'entries'; readonly entries: readonly Entry[] }
  | ({ readonly type: 'fault' } & LogFault)

/** Reads on; where the reading itself finds damage, entry by entry up to it. */
function readStep(log: LogReader, range: { readonly from: number; readonly to: number }): Step {
  const { from, to } = range
  const read = (last: number, bytesMax: number): Step => {
    const entries = log.entries(from, last, bytesMax)
    return entries.length === 0
      ? { type: 'fault', index: from, reason: 'it is missing' }
      : { type: 'entries', entries }
  }
  try {
    return read(to, stepBytesMax)
  } catch (error) {
    if (!isGlynError(error)) throw error
    try {
      return read(from, 1)
    } catch (cause) {
      return { type: 'fault', index: from, reason: cause instanceof Error ? cause.message : String(cause) }
    }
  }
}
