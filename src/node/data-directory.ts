// What a node keeps on disk, the database first, then the key — and checked to belong together.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { createEphemeralIdentity, type Identity, loadOrCreateIdentity } from '../mesh/libp2p/identity.ts'
import type { DirectoryLock } from '../store/directory-lock.ts'
import { makeDirectory } from '../store/make-directory.ts'
import { createMemoryStore } from '../store/memory/memory-store.ts'
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts'
import type { LocalStore } from '../store/store.ts'
import { refuseHalfRestored } from './restoring.ts'

export interface DataDirectory {
  /** Null in memory. */
  readonly path: string | null
  readonly databasePath: string | null
  readonly identity: Identity
  readonly store: LocalStore
  close(): Promise<void>
}

export const peerIdSetting = 'peer-id'

/** Throws ALREADY_RUNNING, IDENTITY_MISMATCH, and what the store throws. */
export async function openDataDirectory(
  path: string | null,
  log: Log,
  options: {
    /** Held by the caller, who releases it. */
    readonly lock?: DirectoryLock
    /** The caller is the restore itself. */
    readonly isRestoring?: boolean
  } = {},
): Promise<DataDirectory> {
  if (path === null) {
    const store = createMemoryStore()
    return {
      path,
      databasePath: null,
      identity: await createEphemeralIdentity(),
      store,
      close: () => store.close(),
    }
  }
  makeDirectory(path, { what: 'the data directory', mode: 0o700 })
  if (options.isRestoring !== true) refuseHalfRestored(path)
  const keyPath = join(path, 'identity.key')
  const databasePath = join(path, 'glyn.db')
  const hasKey = existsSync(keyPath)
  if (hasKey && !existsSync(databasePath)) throw lostDatabase(path)
  // Takes the lock of the directory.
  const store = await openSqliteStore({
    path: databasePath,
    log,
    ...(options.lock === undefined ? {} : { lock: options.lock }),
  })
  try {
    const identity = await identityOf(path, { keyPath, hasKey, store })
    return { path, databasePath, identity, store, close: () => store.close() }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** The key that belongs to the database. A new database is written first, so that a crash between the two is harmless. */
async function identityOf(
  path: string,
  found: { readonly keyPath: string; readonly hasKey: boolean; readonly store: LocalStore },
): Promise<Identity> {
  const owner = found.store.settings().get(peerIdSetting)
  if (owner !== undefined && !found.hasKey) {
    throw new GlynError(
      'IDENTITY_MISMATCH',
      `${path} has no identity.key, and its glyn.db belongs to ${owner}. Put the key back, or start with an empty directory`,
    )
  }
  const identity = await loadOrCreateIdentity(found.keyPath)
  if (owner === undefined) {
    await found.store.write({ partitions: [], snapshots: [], settings: { [peerIdSetting]: identity.peerId } })
  } else if (owner !== identity.peerId) {
    throw new GlynError(
      'IDENTITY_MISMATCH',
      `${path}: glyn.db was written by ${owner}, identity.key is that of ${identity.peerId}. Put back the files that belong together`,
    )
  }
  return identity
}

/** A node that forgot its votes must never come back under its old name (rule R9). */
const lostDatabase = (path: string): GlynError =>
  new GlynError(
    'IDENTITY_MISMATCH',
    `${path} has identity.key but no glyn.db: this node lost its history and its votes. Delete identity.key so that it ` +
      'comes back as a new node, and remove the old one with: glyn-node members remove <peer id>',
  )
