// What there is to know of one aggregate beside its state, and of the node as a whole: shapes for the library, HTTP and the
// command line.
import type { AggregateKey } from '../core/command.ts'
import type { Position } from '../core/position.ts'
import type { QuarantinedAggregate } from '../partition/quarantine.ts'

/** The state of an aggregate as it was written down at a sequence. A cache: the events are the truth. */
export interface AggregateSnapshot<State = unknown> {
  readonly aggregate: AggregateKey
  /** The state holds the events 1 to this one. */
  readonly sequence: number
  readonly position: Position
  readonly state: State
  /** ISO 8601. */
  readonly time: string
  /** Names the code that made it. */
  readonly definition: string
  /** False: other code made it than the one that is loaded, so it is ignored. */
  readonly isCurrent: boolean
  /** Of the state as JSON. */
  readonly bytes: number
}

export interface AggregateStats {
  readonly aggregate: AggregateKey
  /** Its partition, and how far that was. */
  readonly position: Position
  /** The node that led it, and counted. */
  readonly leader: { readonly peerId: string; readonly name: string }
  /** Of its last event; 0 for an aggregate without events. */
  readonly sequence: number
  readonly events: number
  /** Of data and metadata as JSON; null for more than 100 000 events, which are not counted. */
  readonly bytes: number | null
  /** ISO 8601, of the first and the last event; null without events. */
  readonly firstTime: string | null
  readonly lastTime: string | null
  readonly snapshot: Omit<AggregateSnapshot, 'aggregate' | 'state'> | null
  /** Commands that wait for their commit. */
  readonly pending: number
  /** Why it takes no commands; null when all is well, or nobody has asked since its node runs. */
  readonly quarantined: QuarantinedAggregate | null
}

/** What a node has counted: on its own disk, and since it runs. */
export interface SystemStats {
  readonly node: {
    readonly peerId: string
    readonly name: string
    readonly version: string
    readonly uptimeSeconds: number
    readonly memoryBytes: number
  }
  /** On the disk of this node: what the partitions hold that have a replica here. */
  readonly store: {
    readonly location: string
    readonly partitions: number
    readonly events: number
    readonly entries: number
    readonly bytes: number
    /** Durable transactions since it runs. */
    readonly commits: number
    /** By aggregate type. */
    readonly aggregates: readonly {
      readonly type: string
      readonly aggregates: number
      readonly events: number
      /** By event type and version. */
      readonly kinds: readonly { readonly type: string; readonly version: number; readonly events: number }[]
    }[]
  }
  /** Asked of this node since it runs, by how they ended. `replayed`: retries of what was accepted before. */
  readonly commands: {
    readonly accepted: number
    readonly replayed: number
    readonly rejected: number
    readonly failed: number
    /** Under way here now. */
    readonly pending: number
  }
  readonly queries: {
    readonly total: number
    readonly running: number
    /** Entries that the one furthest behind has not seen. */
    readonly lagMax: number
    /** Questions since it runs, by how they ended. */
    readonly answered: number
    readonly failed: number
  }
  readonly mesh: {
    readonly members: number
    /** Without this node. */
    readonly connected: number
    /** Partitions that this node leads. */
    readonly leads: number
  }
  readonly quarantined: number
}

/** A state that is not what the events say. */
export interface SnapshotDifference {
  readonly aggregate: AggregateKey
  /** In the snapshot, or in the memory of the leader. */
  readonly where: 'snapshot' | 'memory'
  readonly sequence: number
  /** JSON, cut at 2000 characters. */
  readonly found: string
  readonly replayed: string
}

/** What became of the snapshot of one aggregate. */
export interface RebuiltSnapshot {
  readonly aggregate: AggregateKey
  /** `failed`: its history cannot be replayed, or its state is not JSON. `busy`: it changed all the time; ask again. */
  readonly result: 'rebuilt' | 'failed' | 'busy'
  /** Of the new snapshot. */
  readonly sequence: number
  readonly differences: readonly SnapshotDifference[]
  readonly error: string | null
}

export interface SnapshotRebuildProgress {
  /** Aggregates that are done. */
  readonly done: number
  /** As far as the leaders know of; more may come while it runs. */
  readonly total: number
  /** The one that is at work, and how far its replay is. */
  readonly current: { readonly aggregate: AggregateKey; readonly sequence: number } | null
}

export interface SnapshotRebuildSummary {
  readonly rebuilt: number
  readonly failed: number
  readonly busy: number
  /** The first 100 of each. */
  readonly failures: readonly { readonly aggregate: AggregateKey; readonly error: string }[]
  readonly differences: readonly SnapshotDifference[]
  readonly differencesTotal: number
}

export interface InspectOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface RebuildOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: SnapshotRebuildProgress) => void
}

export interface InspectionApi {
  /** The snapshot that the leader of the aggregate has; null for none. */
  latestSnapshot(type: string, id: string, options?: InspectOptions): Promise<AggregateSnapshot | null>
  /** Linearizable. `sequence` is 0 for an aggregate without events. */
  aggregateStats(type: string, id: string, options?: InspectOptions): Promise<AggregateStats>
  /**
   * Makes the snapshots of a type, or of one aggregate, again from the first event, one after the other, on their leaders,
   * and reports states that were not what the events say. Resolves when all are done, also when some failed. Throws
   * INVALID_ARGUMENT for a type without snapshotEvery.
   */
  rebuildSnapshots(
    type: string,
    options?: RebuildOptions & { readonly id?: string },
  ): Promise<SnapshotRebuildSummary>
}
