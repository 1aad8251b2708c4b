// What the nodes hold when a run is over: the material of the checker, beside the history of the clients.

/** One event of a bank account. */
export interface DumpedEvent {
  readonly partition: number
  readonly index: number
  readonly aggregate: string
  readonly sequence: number
  readonly type: string
  /** What it moved, 0 for an opening. */
  readonly amount: number
  /** What it says the balance was afterwards. */
  readonly balance: number
  readonly commandId: string
}

/** One place of a partition's order, as a feed or a query saw it. */
export type SeenEvent = Pick<DumpedEvent, 'partition' | 'index' | 'aggregate' | 'sequence'>

export interface DumpedPartition {
  readonly partition: number
  /** As the node's database knows it, which may lag behind what is committed. */
  readonly commitIndex: number
  /** Of the entries 1, 2, 3 …, in hex. Each covers all before it. */
  readonly hashes: readonly string[]
}

export interface NodeDump {
  readonly node: string
  /** False for a node that was removed from the cluster: its disk ends somewhere. */
  readonly isMember: boolean
  readonly partitions: readonly DumpedPartition[]
  /** All events on its disk by (partition, index), also those above the commit index. */
  readonly events: readonly DumpedEvent[]
  /** Where the hash chain is broken, a line each. */
  readonly damage: readonly string[]
  /** What it streamed from the start, in that order. Null where it was not asked. */
  readonly feed: readonly SeenEvent[] | null
  /** What its query `tally` wrote down, in that order. */
  readonly tally: readonly SeenEvent[] | null
  /** What its query `balance` has in its database, and what it answered. */
  readonly balances: { readonly [account: string]: number } | null
  readonly answers: { readonly [account: string]: number | null } | null
}

export interface ClusterDump {
  readonly nodes: readonly NodeDump[]
  /** The names of the nodes with a vote, by partition. */
  readonly voters: ReadonlyMap<number, readonly string[]>
  /** How far each partition was committed after everything had settled. */
  readonly committed: ReadonlyMap<number, number>
}
