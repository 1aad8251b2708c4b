// One place in a partition's log.

/** `noop`: a new leader's first entry. `config`: a membership. `command`: the events of one command. */
export type EntryKind = 'noop' | 'config' | 'command'

export interface Entry {
  /** 1, 2, 3 … without gaps. */
  readonly index: number
  readonly term: number
  readonly kind: EntryKind
  /** Opaque to consensus, except for `config`. Never changed after the entry was made. */
  readonly payload: Uint8Array
  /** 32 bytes over this entry and the hash before it: the log is a chain. The hash before index 1 is 32 zeros. */
  readonly hash: Uint8Array
}

/** Computes the hash of an entry from the one before. Passed in, because pure folders have no crypto. */
export type HashEntry = (previousHash: Uint8Array, entry: Omit<Entry, 'hash'>) => Uint8Array

export const genesisHash: Uint8Array = new Uint8Array(32)
