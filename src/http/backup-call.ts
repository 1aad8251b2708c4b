// The caller's end of GET /v1/backup.
import type { HttpCalls } from './http-calls.ts'

/** A node gives a partition that it cannot read up after half a minute, and says so. */
const silenceMsMax = 60_000

/** The bytes as they come. Throws what the node said when it refused, UNAVAILABLE for a lost connection, and the signal's reason. */
export async function* readBackupBytes(calls: HttpCalls, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const call = { method: 'GET', path: '/v1/backup', headers: {}, silenceMsMax, signal } as const
  try {
    yield* await calls.stream(call)
  } catch (error) {
    signal.throwIfAborted()
    throw calls.explain(error)
  }
}
