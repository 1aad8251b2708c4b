// What the main thread and the writer thread say to each other.
import type { Snapshot } from '../store.ts'
import type { ErrorMessage } from './sqlite-errors.ts'

export interface WriterInit {
  readonly path: string
}

/** Some batches, in order. */
export interface WriteMessage {
  readonly type: 'write'
  /** The number of the last batch in it: 1, 2, 3 … */
  readonly through: number
  /** Of `WritePacker`. */
  readonly block: ArrayBuffer
  readonly snapshots: readonly Snapshot[]
  readonly settings: readonly (readonly [name: string, value: string | null])[]
}

export type ToWriter = WriteMessage | { readonly type: 'close' }

export type FromWriter =
  /** The database has an older format: rewriting all of it may take minutes. */
  | { readonly type: 'migrating'; readonly from: number; readonly to: number }
  | { readonly type: 'open'; readonly storageId: string }
  /** Every batch up to this number is durable. */
  | { readonly type: 'durable'; readonly through: number; readonly commits: number }
  /** The last message: nothing is written after it. */
  | { readonly type: 'failed'; readonly error: ErrorMessage }
  | { readonly type: 'closed' }
