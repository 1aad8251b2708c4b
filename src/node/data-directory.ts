// What a node keeps on disk, the database first, then the key — and checked to belong together.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { createEphemeralIdentity, type Identity, loadOrCreateIdentity } from '../mesh/libp2p/identity.ts'
import type { DirectoryLock } from '../store/directory-lock.ts'
import type { KeyStore } from '../store/key-store.ts'
import { makeDirectory } from '../store/make-directory.ts'
import { createMemoryKeyStore } from '../store/memory/memory-key-store.ts'
import { createMemoryStore } from '../store/memory/memory-store.ts'
import { hasKeyFiles } from '../store/sqlite/key-files.ts'
import { openSqliteKeyStore } from '../store/sqlite/sqlite-key-store.ts'
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts'
import type { LocalStore } from '../store/store.ts'
import { refuseHalfRestored } from './restoring.ts'

export interface DataDirectory {
  /** Null in memory. */
  readonly path: string | null
  readonly databasePath: string | null
  readonly identity: Identity
  readonly store: LocalStore
  readonly keys: KeyStore
  close(): Promise<void>
}

export const peerIdSetting = 'peer-id'
const keysSetting = 'subject-keys'

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
    const keys = createMemoryKeyStore()
    return {
      path,
      databasePath: null,
      identity: await createEphemeralIdentity(),
      store,
      keys,
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
    const keys = await openKeys(path, store)
    const close = async (): Promise<void> => {
      await keys.close()
      await store.close()
    }
    return { path, databasePath, identity, store, keys, close }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Events whose keys are lost are lost: a node that had keys does not start without them. */
async function openKeys(path: string, store: LocalStore): Promise<KeyStore> {
  if (store.settings().get(keysSetting) === store.storageId && !hasKeyFiles(path)) {
    throw new GlynError(
      'STORE_CORRUPT',
      `${path} has no keys.db, but its glyn.db was written with it: the data of subjects cannot be read without their keys. ` +
        'Put keys.db and keys.bin back, or let this node join again with an empty directory: other nodes have all keys',
    )
  }
  return await openSqliteKeyStore({
    directory: path,
    onCreate: () =>
      store.write({ partitions: [], snapshots: [], settings: { [keysSetting]: store.storageId } }),
  })
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
