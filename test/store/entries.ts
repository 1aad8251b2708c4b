// Builds chained entries for the tests of the stores.
import type { CommandRecord } from '../../src/core/record.ts'
import { encodeConfiguration } from '../../src/raft/configuration.ts'
import { type Entry, type EntryKind, genesisHash } from '../../src/raft/entry.ts'
import { hashEntry } from '../../src/store/hash-entry.ts'
import { decodeRecord, encodeRecord } from '../../src/store/record-codec.ts'
import type { PartitionWrite, StoreBatch } from '../../src/store/store.ts'

/** A log under construction: knows the last index and hash, and the next sequence of each aggregate. */
export interface Chain {
  readonly entries: Entry[]
  append(kind: EntryKind, payload: Uint8Array): Entry
  noop(): Entry
  config(voters: readonly string[]): Entry
  /** One command on `account` that yields `events` events. */
  command(id: string, options?: CommandOptions): Entry
  /** Forgets the entries from `index` on, as a truncation does. */
  cut(index: number): void
  term: number
}

export interface CommandOptions {
  readonly events?: number
  readonly commandId?: string
  /** Of the events: `CustomerDepositedCash` when left out. */
  readonly type?: string
  readonly version?: number
  readonly data?: string
  readonly metadata?: string
}

/** `from`: the entries of a log to go on with. */
export function createChain(
  options: { readonly partition?: number; readonly from?: readonly Entry[] } = {},
): Chain {
  const { partition = 1, from = [] } = options
  const records = new Map<number, CommandRecord>()
  for (const entry of from) {
    if (entry.kind === 'command') records.set(entry.index, decodeRecord(entry.payload))
  }
  const chain: Chain = {
    entries: [...from],
    term: 1,
    append(kind, payload) {
      const last = chain.entries.at(-1)
      const draft = { index: (last?.index ?? 0) + 1, term: chain.term, kind, payload }
      const entry = { ...draft, hash: hashEntry(last?.hash ?? genesisHash, draft) }
      chain.entries.push(entry)
      return entry
    },
    noop: () => chain.append('noop', new Uint8Array(0)),
    config: voters => chain.append('config', encodeConfiguration({ voters, learners: [] })),
    command(id, options = {}) {
      const { events = 1, commandId, data = '{"amount":100}', metadata = '{}' } = options
      const { type = 'CustomerDepositedCash', version = 1 } = options
      let firstSequence = 1
      for (const record of records.values()) {
        if (record.aggregate.id === id) firstSequence += record.events.length
      }
      const index = (chain.entries.at(-1)?.index ?? 0) + 1
      const record: CommandRecord = {
        aggregate: { type: 'bank_account', id },
        commandId: commandId ?? `command-${partition}-${chain.term}-${index}`,
        firstSequence,
        timeMs: 1_700_000_000_000 + index,
        metadata,
        events: Array.from({ length: events }, () => ({ type, version, data })),
      }
      records.set(index, record)
      return chain.append('command', encodeRecord(record))
    },
    cut(index) {
      chain.entries.length = index - 1
      for (const key of [...records.keys()]) if (key >= index) records.delete(key)
    },
  }
  return chain
}

/** A batch with only what is given. */
export function batchOf(
  parts: Partial<Omit<StoreBatch, 'partitions'>> & {
    readonly partitions?: readonly (Partial<PartitionWrite> & { readonly partition: number })[]
  },
): StoreBatch {
  return {
    partitions: (parts.partitions ?? []).map(part => ({
      hardState: null,
      truncateFrom: null,
      entries: [],
      ...part,
    })),
    snapshots: parts.snapshots ?? [],
    settings: parts.settings ?? {},
  }
}
