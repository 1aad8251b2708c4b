// What nobody caught. A mistake ends the node with a message; a stream that broke at the wrong moment does not.
import type { Log } from '../core/log.ts'

/**
 * libp2p may write to a stream in the moment its connection breaks, and throw where no caller can catch it. The
 * connection is gone either way, and the dialer makes another.
 */
const isBrokenStream = (error: unknown): boolean =>
  error instanceof Error && ['StreamStateError', 'StreamResetError', 'StreamClosedError'].includes(error.name)

/** From now on; returns how to stop. */
export function guardProcess(log: Log, fail: (error: unknown) => void): () => void {
  const guard = (error: unknown): void => {
    const fields = { error: String(error), stack: error instanceof Error ? error.stack : undefined }
    if (isBrokenStream(error)) {
      log.warn(fields, 'mesh: a stream broke while it was written to; its connection is made anew')
      return
    }
    log.error(fields, 'node: an error that nobody caught; stopping')
    fail(error)
  }
  process.on('uncaughtException', guard)
  return () => process.off('uncaughtException', guard)
}
