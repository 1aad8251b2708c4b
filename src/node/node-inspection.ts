// Puts the parts together that look into aggregates: what answers on the leader, and what asks for it.
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Mesh } from '../mesh/mesh.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { AggregateBinding } from '../partition/aggregate-host.ts'
import type { LocalStore } from '../store/store.ts'
import { createAggregateInspector } from './aggregate-inspector.ts'
import type { InspectionApi } from './inspection.ts'
import { createInspectionApi } from './inspection-api.ts'
import type { NodeParts } from './node-parts.ts'
import { createSnapshotRebuilder } from './snapshot-rebuilder.ts'

export function createNodeInspection(init: {
  readonly mesh: Mesh
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  readonly store: LocalStore
  readonly parts: NodeParts
  readonly aggregates: ReadonlyMap<string, AggregateBinding>
  readonly name: string
  readonly partitions: number
}): InspectionApi {
  const { mesh, rpc, clock, log, store, parts, aggregates, name, partitions } = init
  const { host, engine, quarantine, router, leaderWait } = parts
  return createInspectionApi({
    self: mesh.peerId,
    rpc,
    clock,
    router,
    leaderWait,
    inspector: createAggregateInspector({
      host,
      engine,
      store,
      clock,
      quarantine,
      aggregates,
      cipher: parts.erasure.cipher,
      partitions: () => partitions,
      self: mesh.peerId,
      name,
    }),
    rebuilder: createSnapshotRebuilder({
      host,
      engine,
      store,
      clock,
      log,
      aggregates,
      cipher: parts.erasure.cipher,
    }),
    state: parts.state,
    isConnected: peerId => mesh.isConnected(peerId),
    partitions,
  })
}
