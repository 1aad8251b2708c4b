// Command ids: UUIDv7 (RFC 9562), so that ids of one time lie together in the index of the log.
import { randomFillSync } from 'node:crypto'
import { v7 as uuidv7 } from 'uuid'

/** Asking the system for randomness costs more than the rest of a command's way: it is asked for many ids at once. */
const idsAtOnce = 256
const idBytes = 16
const pool = new Uint8Array(idsAtOnce * idBytes)
let used = pool.length

export function createCommandId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const random = pool.subarray(used, used + idBytes)
  used += idBytes
  return uuidv7({ random })
}
