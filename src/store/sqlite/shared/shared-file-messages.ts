// What a shared SQLite store and its thread say to each other.
import type { ErrorMessage } from '../sqlite-errors.ts'
import type { AppendCall, SharedFile } from './shared-file.ts'

export interface SharedFileInit {
  readonly path: string
}

/** A function of the file that reads, or writes something by itself. */
export type PlainMethod = Exclude<keyof SharedFile, 'append' | 'close'>

export type ToSharedFile =
  | { readonly type: 'append'; readonly number: number; readonly call: AppendCall }
  | {
      readonly type: 'call'
      readonly number: number
      readonly method: PlainMethod
      readonly arguments: readonly unknown[]
    }
  | { readonly type: 'close' }

export type FromSharedFile =
  | { readonly type: 'done'; readonly number: number; readonly value: unknown }
  | { readonly type: 'failed'; readonly number: number; readonly error: ErrorMessage }
  | { readonly type: 'closed' }
