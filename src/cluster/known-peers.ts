// Whom this node takes for a member: those in the controller's log, and those that one of them, or the operator, vouches
// for. A node that was away for long may know the log only up to a time when its present leaders had not joined yet.
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Mesh, PeerAddress } from '../mesh/mesh.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { ClusterNode } from './cluster-state.ts'
import type { ControllerLog } from './controller-log.ts'

export const describeMethod = 'cluster.describe'
const vouchTimeoutMs = 1000
/** A stranger that goes on speaking is asked about this often. */
const askAgainMs = 1000
/** Strangers remembered at once; past it they wait until others are forgotten. */
const strangersMax = 1000

export interface KnownPeers {
  /** What a peer says of itself; newer than the log's addresses. Strangers are not listened to. */
  hear(node: ClusterNode): void
  /** Nodes as a member told them, before our own copy of the log has come. */
  learn(nodes: readonly ClusterNode[]): void
  /** The operator named this peer. */
  trust(peerId: string): void
  /** A member, or one of whom a member or the operator says that it is. Asks about a stranger, for the next time. */
  maySpeak(peerId: string): boolean
  /** All but this node and those that were removed, with every address that is known. */
  addresses(): readonly PeerAddress[]
}

export function createKnownPeers(init: {
  readonly mesh: Mesh
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  readonly controller: Pick<ControllerLog, 'state'>
  readonly onChange: () => void
}): KnownPeers {
  const { mesh, rpc, clock, log, controller } = init
  const heard = new Map<string, ClusterNode>()
  const trusted = new Set<string>()
  /** When they were last asked about. */
  const strangers = new Map<string, number>()

  const isKnown = (peerId: string): boolean => {
    const node = controller.state().nodes.get(peerId)
    return node === undefined ? heard.has(peerId) || trusted.has(peerId) : node.state !== 'removed'
  }

  function maybeAskAbout(peerId: string): void {
    const now = clock.now()
    if (now - (strangers.get(peerId) ?? Number.NEGATIVE_INFINITY) < askAgainMs) return
    if (strangers.size >= strangersMax) strangers.clear()
    strangers.set(peerId, now)
    const others = mesh.connectedPeers().filter(other => other !== peerId && isKnown(other))
    for (const other of others) {
      rpc.request(other, describeMethod, new Uint8Array(), { timeoutMs: vouchTimeoutMs }).then(
        answer => {
          const { nodes } = JSON.parse(new TextDecoder().decode(answer)) as {
            readonly nodes: readonly ClusterNode[]
          }
          const node = nodes.find(one => one.peerId === peerId && one.state !== 'removed')
          if (node === undefined) return
          log.info({ peer: peerId, vouchedBy: other }, 'cluster: a member that is new to us')
          heard.set(peerId, node)
          strangers.delete(peerId)
          init.onChange()
        },
        (error: unknown) => {
          log.debug(
            { peer: peerId, asked: other, error: String(error) },
            'cluster: nobody vouches for a peer',
          )
        },
      )
    }
  }

  return {
    hear(node) {
      if (!isKnown(node.peerId)) return
      heard.set(node.peerId, node)
      init.onChange()
    },
    learn(nodes) {
      for (const node of nodes) if (node.state !== 'removed') heard.set(node.peerId, node)
      init.onChange()
    },
    trust: peerId => trusted.add(peerId),
    maySpeak(peerId) {
      // While this node joins, it knows nobody.
      if (isKnown(peerId) || controller.state().nodes.size === 0) return true
      if (!controller.state().nodes.has(peerId)) maybeAskAbout(peerId)
      return false
    },
    addresses() {
      const nodes = new Map<string, ClusterNode>(heard)
      for (const [peerId, node] of controller.state().nodes) {
        const addresses = [...new Set([...(heard.get(peerId)?.addresses ?? []), ...node.addresses])]
        nodes.set(peerId, { ...node, addresses })
      }
      return [...nodes.values()]
        .filter(({ peerId, state }) => peerId !== mesh.peerId && state !== 'removed')
        .map(({ peerId, addresses }) => ({ peerId, addresses }))
    },
  }
}
