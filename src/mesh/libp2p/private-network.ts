// The pre-shared-key stream, made to last: @libp2p/pnet 3.0.27 dies under load as it stands.
import type {
  ComponentLogger,
  ConnectionProtector,
  MessageStream,
  MultiaddrConnection,
} from '@libp2p/interface'
import { preSharedKey } from '@libp2p/pnet'

/** The parts of the protected stream that the cure touches. */
interface BoxStream extends MessageStream {
  maxMessageSize?: number
  inboundXor?: { finalize(): void }
  outboundXor?: { finalize(): void }
}

/** The memory of the cipher is shared by the process and grows by whole writes: keep writes small. */
const writeBytesMax = 65_536

/**
 * A protector for `connectionProtector`. It splits writes, so that the cipher's memory stays small, and frees the
 * cipher's slots when a connection closes (https://github.com/libp2p/js-libp2p/pull/3585).
 */
export function privateNetwork(
  psk: Uint8Array,
): (components: { readonly logger: ComponentLogger }) => ConnectionProtector {
  return () => {
    const protector = preSharedKey({ psk })()
    return {
      async protect(connection, options) {
        const stream = await protector.protect(connection, options)
        const box = stream as MultiaddrConnection & BoxStream
        box.maxMessageSize = writeBytesMax
        stream.addEventListener('close', () => {
          finalize(box.inboundXor)
          finalize(box.outboundXor)
        })
        return stream
      },
    }
  }
}

function finalize(cipher: { finalize(): void } | undefined): void {
  try {
    cipher?.finalize()
  } catch {
    // The slot was freed before: nothing is left to free.
  }
}
