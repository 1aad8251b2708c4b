// What a node on a shared store does beside the others when it starts: it waits for the store, and is bound to it.
import type { ClusterSettings } from '../cluster/cluster-state.ts'
import type { Clock } from '../core/clock.ts'
import { GlynError, hasCode } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { AggregateBinding } from '../partition/aggregate-host.ts'
import type { SharedFeed } from '../pubsub/shared-feed.ts'
import type { SharedStore } from '../store/shared-store.ts'
import type { LocalStore } from '../store/store.ts'
import type { CompleteNodeOptions } from './node-options.ts'
import { newClusterId } from './node-parts.ts'
import { readForming, rememberForming } from './node-settings.ts'
import { checkBelongs, checkUnclaimed } from './shared-claim.ts'
import { createStoreGate, type StoreGate } from './store-gate.ts'

export interface SharedStart {
  /** Undefined: events rest on the nodes. */
  readonly gate: StoreGate | undefined
  /** Part of the settings of the cluster. */
  readonly mode: 'shared' | undefined
  /**
   * Waits until the store can be used. Without a cluster id this node is about to form one. Throws UNAVAILABLE after a minute,
   * and CLUSTER_MISMATCH for the store of others.
   */
  connect(
    settings: Pick<ClusterSettings, 'scope' | 'partitions'> & Partial<Pick<ClusterSettings, 'clusterId'>>,
  ): Promise<void>
  /**
   * The id for a new cluster, which the store belongs to from now on. Throws CLUSTER_MISMATCH when another one was faster,
   * UNAVAILABLE after a minute.
   */
  claim(): Promise<string>
  /**
   * Waits until this node knows how far the store is: before that, `now` would be the beginning. Throws UNAVAILABLE after
   * a minute. At once where events rest on the nodes.
   */
  knowHeads(feed: Pick<SharedFeed, 'refresh'> | undefined): Promise<void>
}

const headsMsMax = 60_000
const askAgainMs = 200

export function startShared(init: {
  readonly shared: SharedStore | undefined
  /** What this node remembers. */
  readonly store: LocalStore
  readonly clock: Clock
  readonly log: Log
  readonly onProgress: ((text: string) => void) | undefined
  readonly signal: AbortSignal
}): SharedStart {
  const { shared, store, clock, log, onProgress, signal } = init
  if (shared === undefined) {
    const nothing = (): Promise<void> => Promise.resolve()
    return {
      gate: undefined,
      mode: undefined,
      connect: nothing,
      claim: async () => newClusterId(),
      knowHeads: nothing,
    }
  }
  const gate = createStoreGate({ store: shared, clock })
  /** The store belongs to it already, when this node connects: it formed that cluster, or was cut off while it did. */
  let resumed: string | undefined
  const tell = (text: string): void => {
    if (onProgress === undefined) log.warn({}, `node: ${text}`)
    else onProgress(text)
  }
  return {
    gate,
    mode: 'shared',
    connect({ scope, partitions, clusterId }) {
      const check =
        clusterId === undefined ? checkUnclaimed(shared, readForming(store)) : checkBelongs(shared, clusterId)
      return gate.connect(
        { scope, partitions },
        {
          signal,
          onProgress: tell,
          check(found) {
            check(found)
            resumed = found ?? undefined
          },
        },
      )
    },
    async claim() {
      // Only the store on which an earlier start was cut off may have its id: two stores of one id could not be told apart.
      const clusterId = resumed ?? newClusterId()
      if (resumed === undefined) await rememberForming(store, clusterId)
      await gate.claim(clusterId, { signal, onProgress: tell, check: checkUnclaimed(shared, clusterId) })
      return clusterId
    },
    async knowHeads(feed) {
      const deadline = clock.now() + headsMsMax
      for (let attempt = 1; feed !== undefined; attempt += 1) {
        signal.throwIfAborted()
        try {
          await feed.refresh()
          return
        } catch (error) {
          if (!hasCode(error, 'UNAVAILABLE') || clock.now() >= deadline) throw error
          if (attempt === 1) tell(`waiting for the store: ${error.message}`)
        }
        await new Promise<void>(resolve => clock.after(askAgainMs, resolve))
      }
    },
  }
}

/** A cluster has its events in one place: its nodes, or a shared store. Throws CLUSTER_MISMATCH. */
export function checkStoreMode(
  options: Pick<CompleteNodeOptions, 'dataDirectory'>,
  settings: ClusterSettings | undefined,
  shared: SharedStore | undefined,
): void {
  const mode = shared === undefined ? undefined : 'shared'
  if (settings === undefined || settings.store === mode) return
  const where = options.dataDirectory ?? 'this node'
  throw new GlynError(
    'CLUSTER_MISMATCH',
    shared === undefined
      ? `${where} belongs to cluster ${settings.clusterId}, whose events rest in a shared store; start it with the --store of its other nodes, or use another data directory`
      : `${where} belongs to cluster ${settings.clusterId}, whose events rest on its nodes, and not in ${shared.location}; start it without --store, or use another data directory and move the events with export and import`,
  )
}

/**
 * The keys of subjects are kept by the replicas of a partition; what a shared store holds has none. Rather no node than one
 * that stores in plain text what was to rest encrypted. Throws INVALID_CONFIGURATION.
 */
export function refuseSubjects(
  bindings: ReadonlyMap<string, AggregateBinding>,
  shared: SharedStore | undefined,
): void {
  if (shared === undefined) return
  const types = [...bindings]
    .filter(([, { definition }]) => definition.subject !== undefined)
    .map(([type]) => type)
  if (types.length === 0) return
  throw new GlynError(
    'INVALID_CONFIGURATION',
    `aggregate ${types.join(', ')} has a subject, whose data cannot be kept encrypted in a shared store (${shared.location}); run it on nodes with stores of their own (without --store), or leave out its subject`,
    { details: { types } },
  )
}
