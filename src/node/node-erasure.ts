// Introduces the keys of subjects to the other parts of a node, and opens for readers what rests encrypted.
import type { ClusterState } from '../cluster/cluster-state.ts'
import type { Clock } from '../core/clock.ts'
import { GlynError, hasCode } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { partitionOf } from '../core/partition-of.ts'
import type { StoredEvent } from '../core/record.ts'
import { peerIdOf } from '../core/replica-id.ts'
import { createErasure, type Erasure } from '../erasure/erasure.ts'
import type { Mesh } from '../mesh/mesh.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { AggregateBinding, AggregateHost } from '../partition/aggregate-host.ts'
import type { RaftEngine } from '../partition/raft-engine.ts'
import type { Feed } from '../pubsub/feed.ts'
import type { KeyStore } from '../store/key-store.ts'
import type { SubjectCipher } from '../store/subject-cipher.ts'

export function assembleErasure(init: {
  readonly mesh: Mesh
  readonly rpc: Rpc
  readonly keys: KeyStore
  readonly clock: Clock
  readonly log: Log
  readonly scope: string
  readonly aggregates: ReadonlyMap<string, AggregateBinding>
  readonly engine: RaftEngine
  readonly state: () => ClusterState
  readonly partitions: () => number
  readonly host: () => AggregateHost
}): Erasure {
  const { mesh, rpc, clock, log, scope, engine, state } = init
  return createErasure({
    self: mesh.peerId,
    scope,
    store: init.keys,
    rpc,
    clock,
    log,
    members: () =>
      [...state().nodes.values()]
        .filter(node => node.state !== 'removed')
        .map(({ peerId, name }) => ({ peerId, name })),
    isConnected: peerId => mesh.isConnected(peerId),
    votersOf: partition => engine.status(partition)?.configuration.voters.map(peerIdOf) ?? [],
    partitionOf: aggregate => partitionOf(aggregate, init.partitions()),
    leads(partition) {
      const status = engine.status(partition)
      return status?.role === 'leader' && status.canServe
    },
    execute: (partition, command) => init.host().execute(partition, command),
    onForgotten: aggregates => init.host().forgetKeysOf(aggregates),
    hasSubjects: [...init.aggregates.values()].some(({ definition }) => definition.subject !== undefined),
  })
}

/** A feed whose events are opened. A key that is not here yet is waited for. */
export function openingFeed(feed: Feed, cipher: SubjectCipher): Feed {
  const openAll = async (events: readonly StoredEvent[]): Promise<readonly StoredEvent[]> => {
    try {
      return events.map(cipher.open)
    } catch (error) {
      if (!hasCode(error, 'KEY_UNAVAILABLE')) throw error
      await cipher.fetch((error.details as { readonly key: string }).key)
      return await openAll(events)
    }
  }
  return {
    ...feed,
    async read(partition, range, options) {
      const { events, throughIndex } = await feed.read(partition, range, options)
      if (options.signal.aborted)
        throw new GlynError('TIMEOUT', `partition ${partition}: nobody waits any more`)
      return { events: await openAll(events), throughIndex }
    },
  }
}
