// The disk of one replica in tests: what is durable, written in transactions, and the state machine opened on it.
import { createHash } from 'node:crypto'
import type { Random } from '../../src/core/clock.ts'
import type { ReplicaId } from '../../src/core/replica-id.ts'
import {
  type Configuration,
  type ConfigurationEntry,
  decodeConfiguration,
} from '../../src/raft/configuration.ts'
import { bootstrapEntry, createRaft } from '../../src/raft/create-raft.ts'
import type { Entry, HashEntry } from '../../src/raft/entry.ts'
import type { HardState, LogReader, Persist, Raft, RaftOptions } from '../../src/raft/raft.ts'
import type { RaftRules } from '../../src/raft/rules.ts'

export interface ReplicaDisk {
  hardState: HardState
  /** Index 1 stands first. */
  readonly entries: Entry[]
}

export const hashEntry: HashEntry = (previousHash, entry) =>
  createHash('sha256')
    .update(previousHash)
    .update(`${entry.index} ${entry.term} ${entry.kind} `)
    .update(entry.payload)
    .digest()

/** The disk of a replica that the partition starts with, or, without a configuration, of one that was just invited. */
export function createDisk(configuration?: Configuration): ReplicaDisk {
  if (configuration === undefined) return { hardState: { term: 0, vote: null, commit: 0 }, entries: [] }
  return {
    hardState: { term: 1, vote: null, commit: 1 },
    entries: [bootstrapEntry({ configuration, hashEntry })],
  }
}

/** One transaction: all of it or, when the process dies before, nothing. */
export function writeToDisk(disk: ReplicaDisk, { hardState, truncateFrom, entries }: Persist): void {
  if (truncateFrom !== null) {
    if (truncateFrom <= disk.hardState.commit) {
      throw new Error(`asked to truncate from ${truncateFrom}, but ${disk.hardState.commit} is committed`)
    }
    disk.entries.length = Math.min(disk.entries.length, truncateFrom - 1)
  }
  for (const entry of entries) {
    if (entry.index !== disk.entries.length + 1) {
      throw new Error(`asked to write entry ${entry.index} behind ${disk.entries.length}`)
    }
    disk.entries.push(entry)
  }
  if (hardState !== null) {
    if (hardState.term < disk.hardState.term) {
      throw new Error(`asked to go back from term ${disk.hardState.term} to ${hardState.term}`)
    }
    disk.hardState = hardState
  }
}

export function openRaft(init: {
  readonly id: ReplicaId
  readonly disk: ReplicaDisk
  readonly random: Random
  readonly options: RaftOptions
  readonly rules?: RaftRules
}): Raft {
  const { id, disk, random, options, rules } = init
  let durableIndex = (): number => disk.entries.length
  const raftInit = {
    id,
    hardState: disk.hardState,
    lastIndex: disk.entries.length,
    configurations: configurationsOf(disk),
    log: readerOf(disk, () => durableIndex()),
    hashEntry,
    random,
    options,
  }
  const raft = rules === undefined ? createRaft(raftInit) : createRaft(raftInit, rules)
  durableIndex = () => raft.status().durableIndex
  return raft
}

export function configurationsOf(disk: ReplicaDisk): readonly ConfigurationEntry[] {
  return disk.entries
    .filter(entry => entry.kind === 'config')
    .map(({ index, payload }) => ({ index, configuration: decodeConfiguration(payload) }))
}

/** Fails when it is asked for what is not durable, or not any more. */
function readerOf({ entries }: ReplicaDisk, durableIndex: () => number): LogReader {
  const at = (index: number): Entry => {
    const entry = entries[index - 1]
    const durable = durableIndex()
    if (entry === undefined || index > durable)
      throw new Error(`entry ${index} was read, but ${durable} is durable`)
    return entry
  }
  return {
    entries(from, to, bytesMax) {
      const found: Entry[] = []
      let bytes = 0
      for (let index = from; index <= to; index += 1) {
        const entry = at(index)
        bytes += entry.payload.length
        if (bytes > bytesMax && found.length > 0) break
        found.push(entry)
      }
      return found
    },
    term: index => at(index).term,
    hash: index => at(index).hash,
  }
}
