// What a node may run on, as its user says it.
import { GlynError } from '../core/errors.ts'
import type { SharedStore } from '../store/shared-store.ts'

/** Events on the disk, or in the memory, of each node, and replicated by Raft. Made by {@link sqliteStore} and {@link memoryStore}. */
export interface LocalStoreChoice {
  readonly kind: 'local'
  /** The data directory; null: in memory. */
  readonly path: string | null
}

/** `path`: the data directory, which holds `glyn.db`, the identity and the read models. */
export const sqliteStore = ({ path }: { readonly path: string }): LocalStoreChoice => {
  if (typeof path === 'string' && path !== '') return { kind: 'local', path }
  const shown = JSON.stringify(path) ?? String(path)
  throw new GlynError('INVALID_ARGUMENT', `sqliteStore: path is ${shown}; allowed: a folder`)
}

/** Gone when the node closes. */
export const memoryStore = (): LocalStoreChoice => ({ kind: 'local', path: null })

/** What `createNode` takes as a store, and `glynStore` wraps. */
export type InnerStore = LocalStoreChoice | SharedStore
