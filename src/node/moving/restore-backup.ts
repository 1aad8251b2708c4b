// Makes a data directory from a backup: the same history at the same positions, for a new node of a new cluster.
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { v7 as uuidv7 } from 'uuid'
import { GlynError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import { controllerPartition } from '../../core/partition-of.ts'
import { replicaId } from '../../core/replica-id.ts'
import { bootstrapEntry } from '../../raft/bootstrap-entry.ts'
import { encodeConfiguration } from '../../raft/configuration.ts'
import type { Entry } from '../../raft/entry.ts'
import { entryBytes } from '../../raft/entry-bytes.ts'
import { type DirectoryLock, lockDirectory } from '../../store/directory-lock.ts'
import { hashEntry } from '../../store/hash-entry.ts'
import type { LocalStore, PartitionWrite } from '../../store/store.ts'
import { openDataDirectory } from '../data-directory.ts'
import { clusterSettingsRow } from '../node-settings.ts'
import { restoringName } from '../restoring.ts'
import type { BackupHeader, BackupSummary } from './backup-contents.ts'
import { readBackup } from './read-backup.ts'
import { syncDirectory } from './sync-directory.ts'

/** Bytes of entries in one transaction. */
const writeBytes = 4 * 1024 * 1024

export interface RestoreOptions {
  readonly log: Log
  readonly signal: AbortSignal
  readonly onProgress?: (header: BackupHeader, entries: number) => void
}

export interface RestoreSummary extends BackupSummary {
  /** Of the new cluster, which has one node so far. */
  readonly clusterId: string
  readonly peerId: string
}

/**
 * All or nothing: until everything is durable the directory says that it is half a backup, and no node starts on it. An
 * interrupted restore begins anew in the same directory. The node is nobody that was there before: its identity, its storage
 * and its cluster are new, so that it can vote in nobody's name (rule R9) and meets the old cluster as a stranger. Throws
 * INVALID_ARGUMENT for a directory that is not empty, ALREADY_RUNNING, FILE_DAMAGED, STORE_FULL and those of the store;
 * what was made is taken away again then.
 */
export async function restoreBackup(
  source: AsyncIterable<Uint8Array>,
  name: string,
  directory: string,
  options: RestoreOptions,
): Promise<RestoreSummary> {
  const lock = lockDirectory(directory)
  try {
    await begin(directory, name)
    try {
      const summary = await fill(source, name, directory, { ...options, lock })
      await finish(directory)
      return summary
    } catch (error) {
      await clear(directory)
      await finish(directory)
      throw error
    }
  } finally {
    lock.release()
  }
}

/** Files of the lock. */
const isOfLock = (file: string): boolean => /^lock(-journal|-wal|-shm)?$/.test(file)
/** Files that a restore makes. */
const isOurs = (file: string): boolean =>
  /^(glyn\.db(-wal|-shm|-journal)?|identity\.key(\..*\.tmp)?)$/.test(file)

async function begin(directory: string, name: string): Promise<void> {
  const found = (await readdir(directory)).filter(file => !isOfLock(file))
  if (found.includes(restoringName)) await clear(directory)
  else if (found.length > 0) {
    const text = `${directory} is not empty: it holds ${found.slice(0, 3).join(', ')}; a restore makes a new data directory`
    throw new GlynError('INVALID_ARGUMENT', text)
  }
  const mark = await open(join(directory, restoringName), 'w', 0o600)
  try {
    await mark.writeFile(`${JSON.stringify({ restoring: name, begun: new Date().toISOString() })}\n`)
    await mark.sync()
  } finally {
    await mark.close()
  }
  await syncDirectory(directory)
}

async function clear(directory: string): Promise<void> {
  for (const file of await readdir(directory)) if (isOurs(file)) await rm(join(directory, file))
}

/** From now on what lies there is what it is. */
async function finish(directory: string): Promise<void> {
  await syncDirectory(directory)
  await rm(join(directory, restoringName))
  await syncDirectory(directory)
}

async function fill(
  source: AsyncIterable<Uint8Array>,
  name: string,
  directory: string,
  options: RestoreOptions & { readonly lock: DirectoryLock },
): Promise<RestoreSummary> {
  const { lock, signal, log, onProgress } = options
  const opened = await openDataDirectory(directory, log, { lock, isRestoring: true })
  try {
    const { store, identity } = opened
    const ends = new Map<number, Entry>()
    const writer = createWriter(store)
    let header: BackupHeader | null = null
    let count = 0
    for await (const part of readBackup(source, name)) {
      signal.throwIfAborted()
      if (part.type === 'header') header = part.header
      else if (part.type === 'entries') {
        const last = part.entries.at(-1)
        if (last !== undefined) ends.set(part.partition, last)
        await writer.add(part.partition, part.entries)
        count += part.entries.length
        if (header !== null) onProgress?.(header, count)
      } else {
        await writer.flush()
        const clusterId = uuidv7()
        const { peerId } = identity
        const voter = replicaId({ peerId, storageId: store.storageId })
        const { partitions } = part.summary.cluster
        await store.write({
          partitions: Array.from({ length: partitions + 1 }, (_, partition) =>
            firstOwnEntry(partition, { last: ends.get(partition), voter }),
          ),
          snapshots: [],
          settings: clusterSettingsRow({ ...part.summary.cluster, clusterId }),
        })
        return { ...part.summary, clusterId, peerId }
      }
    }
    throw new GlynError('FILE_DAMAGED', `${name}: it has no end`)
  } finally {
    await opened.close()
  }
}

/**
 * After the history, in a term that nobody of the old cluster has led it in: the node is its only voter. The controller begins
 * anew, because its history is that of the old cluster's nodes.
 */
function firstOwnEntry(
  partition: number,
  { last, voter }: { readonly last: Entry | undefined; readonly voter: string },
): PartitionWrite {
  const configuration = { voters: [voter], learners: [] }
  if (partition === controllerPartition || last === undefined) {
    const entry = bootstrapEntry({ configuration, hashEntry })
    return { partition, hardState: { term: 1, vote: null, commit: 1 }, truncateFrom: null, entries: [entry] }
  }
  const index = last.index + 1
  const term = last.term + 1
  const draft = { index, term, kind: 'config' as const, payload: encodeConfiguration(configuration) }
  const entry = { ...draft, hash: hashEntry(last.hash, draft) }
  return { partition, hardState: { term, vote: null, commit: index }, truncateFrom: null, entries: [entry] }
}

/** Few large transactions: each of them is synced. */
function createWriter(store: LocalStore): {
  add(partition: number, entries: readonly Entry[]): Promise<void>
  flush(): Promise<void>
} {
  let gathered: Entry[] = []
  let bytes = 0
  let of = 0

  async function flush(): Promise<void> {
    const last = gathered.at(-1)
    if (last === undefined) return
    const hardState = { term: last.term, vote: null, commit: last.index }
    const entries = gathered
    gathered = []
    bytes = 0
    await store.write({
      partitions: [{ partition: of, hardState, truncateFrom: null, entries }],
      snapshots: [],
      settings: {},
    })
  }

  return {
    flush,
    async add(partition, entries) {
      if (partition !== of) await flush()
      of = partition
      gathered.push(...entries)
      for (const entry of entries) bytes += entryBytes(entry)
      if (bytes >= writeBytes) await flush()
    },
  }
}
