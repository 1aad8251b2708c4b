// What a node and the thread of a handler say to each other.
import type { PluginFile } from '../plugin/plugin-files.ts'
import type { HandlerFacts } from './handler-reaction.ts'
import type { HandlerCall } from './run-handler.ts'

export interface HandlerWorkerData {
  readonly plugin: PluginFile
  readonly importTimeoutMs: number
}

export interface ErrorText {
  readonly message: string
  readonly stack: string | null
}

export type ToHandler =
  | ({ readonly type: 'handle'; readonly id: number } & HandlerCall)
  /** Nobody waits for it any more. */
  | { readonly type: 'abort'; readonly id: number }

export type FromHandler =
  | { readonly type: 'loaded'; readonly facts: HandlerFacts }
  | { readonly type: 'load-failed'; readonly error: ErrorText }
  | { readonly type: 'done'; readonly id: number }
  | { readonly type: 'failed'; readonly id: number; readonly error: ErrorText }
