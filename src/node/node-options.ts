// What it takes to start a node. `createNode(options)` reads nothing else: no environment, no files but these folders.
import type { AnyAggregate } from '../core/aggregate.ts'
import { type Log, silentLog } from '../core/log.ts'
import type { AnyQuery, AnyQueryFunction } from '../query/define-query.ts'
import type { AnyHandler, AnyHandlerFunction } from '../reaction/define-handler.ts'
import type { AnyProcess } from '../reaction/define-process.ts'
import type { GlynStore } from './glyn-store.ts'
import type { InnerStore } from './inner-store.ts'

/** What `createNode` takes. `topic` and `dataDirectory` have to be given. */
export interface NodeOptions {
  /** The gossipsub topic that committed events are published on. May be left out where a `glynStore` says it. */
  readonly topic?: string
  /** The namespace of the registry: nodes of two scopes never see each other. */
  readonly scope?: string
  /**
   * Where identity, history and read models rest; null keeps everything in memory. May be left out where `sqliteStore` or
   * `memoryStore` says it. With a shared store it holds the node's identity, votes and read models, and no events.
   */
  readonly dataDirectory?: string | null
  /**
   * Where events rest: `sqliteStore({ path })` or `memoryStore()`, replicated by the nodes themselves; a shared store
   * (`postgresStore`, or your own), which all nodes of the cluster reach and which the node opens and closes; or one of
   * these in a `glynStore`. When left out: SQLite in the data directory.
   */
  readonly store?: InnerStore | GlynStore
  /** The folder with `aggregates/`, `queries/`, `handlers/` and `processes/`; null loads no files. */
  readonly configDirectory?: string | null
  /** Multiaddrs. Beyond loopback only with `secret`: throws INSECURE_LISTEN. */
  readonly listen?: readonly string[]
  /** Multiaddrs to tell others instead of those listened on. */
  readonly announce?: readonly string[]
  /** Multiaddrs with `/p2p/…` of members to join through. Empty forms a cluster, or comes back to the own one. */
  readonly bootstrap?: readonly string[]
  /** Data partitions, 1 to `limits.partitionsMax`. Fixed when the cluster forms. */
  readonly partitions?: number
  /** Voters per partition at most, odd, 1 to `limits.replicasMax`. */
  readonly replicas?: number
  /** `query` holds no replicas and answers queries only. */
  readonly role?: 'full' | 'query'
  /** For people; the end of the peer id when left out. */
  readonly name?: string
  /** The bytes of the swarm key file: only nodes with the same secret can connect. */
  readonly secret?: Uint8Array
  /** Finds nodes on the local network by multicast DNS. */
  readonly mdns?: boolean
  readonly log?: Log
  /** Beside those of the config directory. */
  readonly aggregates?: readonly AnyAggregate[]
  /** Beside those of the config directory. */
  readonly queries?: readonly (AnyQuery | AnyQueryFunction)[]
  /** Beside those of the config directory. They run on the main thread: one that loops holds up the node. */
  readonly handlers?: readonly (AnyHandler | AnyHandlerFunction)[]
  /** Beside those of the config directory. */
  readonly processes?: readonly AnyProcess[]
  /** Raft's pace. `electionTicks` is the lower bound of the election timeout. */
  readonly timing?: {
    readonly tickMs: number
    readonly electionTicks: number
    readonly heartbeatTicks: number
  }
  /** Told while the node is not ready yet: `joining via /ip4/…`. One line for people. */
  readonly onProgress?: (text: string) => void
  /** The store failed, an invariant broke, or the node was removed (MEMBER_REMOVED): the node has closed itself and acknowledges nothing more. */
  readonly onFatal?: (error: Error) => void
  /** This node has left the cluster, as `leave` asked for, maybe before a restart, and has closed itself. */
  readonly onLeft?: () => void
  /** Gives up starting; the promise rejects with the signal's reason and everything opened is closed. */
  readonly signal?: AbortSignal
}

/** The options with everything decided that may be left out. */
export type CompleteNodeOptions = NodeOptions &
  Required<Pick<NodeOptions, keyof typeof nodeDefaults | 'topic' | 'dataDirectory'>>

/** What is taken when an option is left out: one node on loopback, with the usual number of partitions. */
export const nodeDefaults = {
  scope: 'default',
  configDirectory: null,
  listen: ['/ip4/127.0.0.1/tcp/0'],
  bootstrap: [],
  partitions: 32,
  replicas: 3,
  role: 'full',
  mdns: false,
  log: silentLog,
} as const satisfies Partial<NodeOptions>
