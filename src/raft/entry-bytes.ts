// What an entry weighs in messages, windows and memory.
import type { Entry } from './entry.ts'

/** Index, term, kind, hash and framing, so that a flood of empty entries is bounded too. */
const overheadBytes = 64

export const entryBytes = (entry: Pick<Entry, 'payload'>): number => entry.payload.length + overheadBytes
