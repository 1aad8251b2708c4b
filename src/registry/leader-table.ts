// Who leads what, as far as this node knows: its own groups first, then what others said. A hint with a term.

export interface KnownLeader {
  /** Peer id; null when nobody is known to lead. */
  readonly leader: string | null
  readonly term: number
}

export interface LeaderTableInit {
  /** What consensus says here; undefined when this node has no replica of the partition. */
  readonly fromConsensus: (partition: number) => KnownLeader | undefined
}

export interface LeaderTable {
  leaderOf(partition: number): KnownLeader
  /** Takes what a peer or a record says; older terms change nothing. */
  learn(partition: number, known: KnownLeader): void
  /** This peer did not answer as the leader. */
  forget(partition: number, leader: string): void
  /** Consensus here has news. */
  changed(partition: number): void
  onChange(listener: (partition: number) => void): void
}

export function createLeaderTable(init: LeaderTableInit): LeaderTable {
  const learned = new Map<number, KnownLeader>()
  const listeners: ((partition: number) => void)[] = []
  const tell = (partition: number): void => {
    for (const listener of listeners) listener(partition)
  }

  return {
    leaderOf(partition) {
      const here = init.fromConsensus(partition)
      const there = learned.get(partition)
      if (here === undefined) return there ?? { leader: null, term: 0 }
      if (there !== undefined && there.leader !== null && (here.leader === null || there.term > here.term))
        return there
      return here
    },
    learn(partition, known) {
      const before = learned.get(partition)
      if (before !== undefined && before.term > known.term) return
      if (before?.term === known.term && (known.leader === null || before.leader === known.leader)) return
      learned.set(partition, known)
      tell(partition)
    },
    forget(partition, leader) {
      const known = learned.get(partition)
      if (known?.leader === leader) learned.set(partition, { leader: null, term: known.term })
    },
    changed: tell,
    onChange: listener => listeners.push(listener),
  }
}
