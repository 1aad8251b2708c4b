// Who may connect: asked where libp2p first knows the peer id, in both directions.
import type { ConnectionGater, PeerId } from '@libp2p/interface'

export interface Gate {
  isAllowed(peerId: string): boolean
  set(isAllowed: (peerId: string) => boolean): void
  readonly gater: ConnectionGater
}

export function createGate(): Gate {
  let isAllowed: (peerId: string) => boolean = () => true
  const denies = (peerId: PeerId): boolean => !isAllowed(peerId.toString())
  return {
    isAllowed: peerId => isAllowed(peerId),
    set: next => {
      isAllowed = next
    },
    gater: {
      denyDialPeer: denies,
      denyOutboundEncryptedConnection: denies,
      denyInboundEncryptedConnection: denies,
    },
  }
}
