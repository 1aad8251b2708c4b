// Any store, distributed: `glynStore(config, innerStore, queries)` gives a store that a node runs on, and that is an event
// store itself. What is appended to it goes to the leader, is published, and is seen by queries.
import { GlynError } from '../core/errors.ts'
import { checkName } from '../core/names.ts'
import type { AnyQuery, AnyQueryFunction } from '../query/define-query.ts'
import type { SharedStore } from '../store/shared-store.ts'
import type { InnerStore } from './inner-store.ts'

/** Where what is appended is published, and among whom. */
export interface GlynConfig {
  /** The gossipsub topic that events are published on. */
  readonly topic: string
  /** The namespace of the registry: nodes of two scopes never see each other. */
  readonly scope: string
}

type GivenQuery = AnyQuery | AnyQueryFunction

/**
 * An event store. While a node runs on it (`createNode({ store })`) its methods go through that node; before and after, they
 * throw NODE_NOT_RUNNING. `open` checks what it is given against the cluster of the node; `close` closes nothing, the node does.
 */
export interface GlynStore extends SharedStore {
  readonly kind: 'glyn'
  readonly topic: string
  readonly scope: string
  readonly inner: InnerStore
  readonly queries: readonly GivenQuery[]
}

/** What a running node offers to the store that it runs on. */
export type StoreOfNode = Omit<SharedStore, 'location' | 'close'>

const nodes = new WeakMap<GlynStore, StoreOfNode>()

/** Wraps any store. One node runs on it at a time. Throws INVALID_ARGUMENT for a topic or a scope that cannot be. */
export function glynStore(
  config: GlynConfig,
  inner: InnerStore,
  queries: readonly GivenQuery[] = [],
): GlynStore {
  checkName('topic', config.topic)
  checkName('scope', config.scope)
  if (isGlynStore(inner))
    throw new GlynError('INVALID_ARGUMENT', 'inner store is a glynStore; allowed: what it wraps')
  const node = (): StoreOfNode => {
    const found = nodes.get(store)
    if (found !== undefined) return found
    throw new GlynError(
      'NODE_NOT_RUNNING',
      `no node runs on this store of scope ${config.scope}; start one with createNode({ store, … })`,
    )
  }
  const store: GlynStore = {
    kind: 'glyn',
    topic: config.topic,
    scope: config.scope,
    inner,
    queries,
    location: `glyn over ${'location' in inner ? inner.location : (inner.path ?? 'memory')}`,
    open: async binding => await node().open(binding),
    cluster: async claim => await node().cluster(claim),
    append: async (appends, options) => await node().append(appends, options),
    readStream: async (aggregate, range) => await node().readStream(aggregate, range),
    sequences: async aggregates => await node().sequences(aggregates),
    readCommand: async (aggregate, commandId) => await node().readCommand(aggregate, commandId),
    readLog: async (partition, range) => await node().readLog(partition, range),
    heads: async () => await node().heads(),
    latestSnapshot: async aggregate => await node().latestSnapshot(aggregate),
    writeSnapshots: async snapshots => await node().writeSnapshots(snapshots),
    aggregates: async filter => await node().aggregates(filter),
    statistics: async () => await node().statistics(),
    close: async () => {},
  }
  return store
}

export const isGlynStore = (value: unknown): value is GlynStore =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'glyn'

/** Throws ALREADY_RUNNING when another node runs on it. Returns how the node lets go of it. */
export function attachNode(store: GlynStore, node: StoreOfNode): () => void {
  if (nodes.has(store)) {
    throw new GlynError('ALREADY_RUNNING', 'another node runs on this glynStore; make one for each node')
  }
  nodes.set(store, node)
  return () => {
    if (nodes.get(store) === node) nodes.delete(store)
  }
}
