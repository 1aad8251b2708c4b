// TCP with whole writes: what libp2p sends at once goes to the socket at once.
import type { Socket } from 'node:net'
import type { MultiaddrConnection, Upgrader } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'

/** What a TCP connection has that its interface does not show. */
interface ConnectionInside {
  readonly socket: Socket
  sendData(data: { readonly byteLength: number; subarray(): Uint8Array }): {
    readonly sentBytes: number
    readonly canSendMore: boolean
  }
}

/**
 * `@libp2p/tcp` 11.0.28 writes every piece of a list by itself, and an encrypted frame has three or four pieces: as many
 * system calls, packets, and reads on the other side, for one frame.
 */
export function tcpInWholeWrites(): ReturnType<typeof tcp> {
  const create = tcp()
  return components => {
    const transport = create(components)
    const dial = transport.dial.bind(transport)
    const createListener = transport.createListener.bind(transport)
    transport.dial = (address, options) =>
      dial(address, { ...options, upgrader: withWholeWrites(options.upgrader) })
    transport.createListener = options =>
      createListener({ ...options, upgrader: withWholeWrites(options.upgrader) })
    return transport
  }
}

/** The transport hands every connection to the upgrader before anything is written to it. */
const withWholeWrites = (upgrader: Upgrader): Upgrader => ({
  createInboundAbortSignal: signal => upgrader.createInboundAbortSignal(signal),
  upgradeInbound: (connection, options) => upgrader.upgradeInbound(inWholeWrites(connection), options),
  upgradeOutbound: (connection, options) => upgrader.upgradeOutbound(inWholeWrites(connection), options),
  getConnectionEncrypters: () => upgrader.getConnectionEncrypters(),
  getStreamMuxers: () => upgrader.getStreamMuxers(),
})

function inWholeWrites(connection: MultiaddrConnection): MultiaddrConnection {
  const inside = connection as unknown as ConnectionInside
  inside.sendData = data => ({
    sentBytes: data.byteLength,
    canSendMore: inside.socket.write(data.subarray()),
  })
  return connection
}
