// Removed nodes are told so, also when they come back after years, and hung up. Without that they would dial on for ever,
// and their operators would look for a fault of the network.
import type { Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Mesh } from '../mesh/mesh.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { ControllerLog } from './controller-log.ts'

const removedMethod = 'cluster.removed'
const tellTimeoutMs = 1000
/** Until then one that was told is not let in again. */
const tellAgainMs = 2000

export interface RemovedPeers {
  /** False for a removed node that was told so lately. */
  mayConnect(peerId: string): boolean
  /** Tells those removed nodes that are connected and do not know it yet. */
  tellConnected(): void
}

export function createRemovedPeers(init: {
  readonly mesh: Mesh
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  readonly controller: Pick<ControllerLog, 'state'>
  readonly clusterId: () => string | undefined
  /** A member of our cluster says that this node was removed. */
  readonly onToldSo: (from: string) => void
}): RemovedPeers {
  const { mesh, rpc, clock, log, controller } = init
  const toldAt = new Map<string, number>()
  const telling = new Set<string>()

  const isRemoved = (peerId: string): boolean => controller.state().nodes.get(peerId)?.state === 'removed'
  const wasTold = (peerId: string): boolean =>
    clock.now() - (toldAt.get(peerId) ?? Number.NEGATIVE_INFINITY) < tellAgainMs
  const mayConnect = (peerId: string): boolean => !isRemoved(peerId) || !wasTold(peerId)

  function tell(peerId: string): void {
    telling.add(peerId)
    const body = new TextEncoder().encode(JSON.stringify({ clusterId: init.clusterId() }))
    rpc
      .request(peerId, removedMethod, body, { timeoutMs: tellTimeoutMs })
      .catch((error: unknown) => {
        log.debug({ peer: peerId, error: String(error) }, 'cluster: a removed node did not take the news')
      })
      .finally(() => {
        telling.delete(peerId)
        toldAt.set(peerId, clock.now())
        // Hangs it up.
        mesh.setGate(mayConnect)
      })
  }

  rpc.serve(removedMethod, (from, body) => {
    const { clusterId } = JSON.parse(new TextDecoder().decode(body)) as { readonly clusterId?: string }
    if (clusterId !== undefined && clusterId === init.clusterId()) init.onToldSo(from)
    return new Uint8Array()
  })

  return {
    mayConnect,
    tellConnected() {
      for (const peerId of mesh.connectedPeers()) {
        if (isRemoved(peerId) && !telling.has(peerId) && !wasTold(peerId)) tell(peerId)
      }
    },
  }
}

export const removedError = (peerId: string, clusterId: string): GlynError =>
  new GlynError(
    'MEMBER_REMOVED',
    `node ${peerId} was removed from cluster ${clusterId} for ever; start it with an empty data directory`,
    { details: { clusterId } },
  )
