// What the host and the runner of one query say to each other, across threads or within one.
import type { ErrorBody } from '../core/errors.ts'
import type { StoredEvent } from '../core/record.ts'
import { plainStack } from '../plugin/plugin-files.ts'
import type { KeptCode } from '../plugin/resolve-hook.ts'
import type { ParkedCounts, ParkedFailure } from './parked-entries.ts'

/** How far a partition is: `index` is committed; through `readable` the runner may read the log by itself. */
export interface Head {
  readonly partition: number
  readonly index: number
  readonly readable: number
}

export interface ErrorText {
  readonly message: string
  readonly stack: string | null
}

/** What an ask is for: a question of the plugin, a look at its position, or something about what is parked. */
export type AskKind = 'question' | 'seen' | 'parked' | 'retry' | 'drop'

export type ToRunner =
  | {
      readonly type: 'open'
      /** A path, or `:memory:`. */
      readonly path: string
      /** Where another version is built beside this read model; null when this one is built beside another, or in memory. */
      readonly nextPath: string | null
      readonly contentHash: string
      readonly history: string
      readonly localLog: { readonly path: string; readonly readerModule: string } | null
      readonly batchEventsMax: number
      /** Partitions that failed before: they rest until `retry`, and begin with batches of one entry. */
      readonly resting: readonly number[]
      /** Up to these indexes entries are handled one by one: one of them ended the thread before. */
      readonly suspects: readonly (readonly [partition: number, throughIndex: number])[]
      readonly batchMs: number
      readonly parkedMax: number
    }
  /** Only what changed. Sent when the runner is idle. */
  | { readonly type: 'heads'; readonly heads: readonly Head[] }
  | {
      readonly type: 'events'
      readonly id: number
      readonly events: readonly StoredEvent[]
      readonly throughIndex: number
    }
  | { readonly type: 'read-failed'; readonly id: number; readonly error: ErrorText }
  /** Tries a partition again that was reported as failed. */
  | { readonly type: 'retry'; readonly partition: number }
  /** Puts the entry after this index, at which the handler was reported to fail, aside, as a dead letter. */
  | {
      readonly type: 'park'
      readonly partition: number
      readonly afterIndex: number
      readonly failure: ParkedFailure
    }
  | {
      readonly type: 'ask'
      readonly id: number
      readonly kind: AskKind
      readonly question: string
      /** JSON text of an object. */
      readonly parameters: string
    }
  /** For `onMessage`. */
  | {
      readonly type: 'message'
      readonly id: number
      /** JSON text of a QueryMessage. */
      readonly message: string
    }
  /** Finishes the batch under way, says `held`, and begins no other until `release`. Answers go on. */
  | { readonly type: 'hold' }
  | { readonly type: 'release' }
  /** The read model takes this place, whatever is there. Says `opened` again. */
  | { readonly type: 'adopt'; readonly path: string }
  /** Finishes the batch under way, unless it is urgent. */
  | { readonly type: 'close'; readonly isUrgent: boolean }

export interface BatchUnderWay {
  readonly partition: number
  readonly throughIndex: number
  /** One entry, and nothing else. */
  readonly isAlone: boolean
}

export type FromRunner =
  | {
      readonly type: 'loaded'
      readonly name: string
      readonly version: number
      readonly questions: readonly string[]
      readonly onError: 'retry' | 'park' | 'stop'
      readonly takesMessages: boolean
      /** Before an entry is parked. */
      readonly attempts: number
      /** Null for a definition given in code. */
      readonly code: KeptCode | null
    }
  /** `code`: what was loaded until then; empty where that is not known. */
  | { readonly type: 'load-failed'; readonly error: ErrorText; readonly code?: KeptCode }
  /** Again whenever the read model was opened anew. `note` says why it starts from nothing. */
  | {
      readonly type: 'opened'
      readonly positions: readonly (readonly [partition: number, index: number])[]
      readonly note: string | null
      /** The same version was being built beside this one when the node ended: go on with that. */
      readonly hasNext: boolean
      readonly parked: ParkedCounts
    }
  /** The plugin's code gets the thread: from here on the host counts. */
  | {
      readonly type: 'begin'
      readonly work: number
      /** A batch, or null for … */
      readonly batch: BatchUnderWay | null
      /** … the answer to this question. */
      readonly ask: number | null
      /** A message. */
      readonly isMessage?: boolean
    }
  | { readonly type: 'end'; readonly work: number }
  | {
      readonly type: 'read'
      readonly id: number
      readonly partition: number
      readonly afterIndex: number
      readonly limit: number
    }
  | {
      readonly type: 'progress'
      readonly partition: number
      readonly index: number
      /** How many were handled, and the wall time of the last one; null when there was none. */
      readonly events: number
      readonly timeMs: number | null
    }
  /** No batch is under way, and none begins until `release`. */
  | { readonly type: 'held' }
  /** More or fewer are parked than before. `note` says what was parked, for the log. */
  | { readonly type: 'parked'; readonly counts: ParkedCounts; readonly note: string | null }
  /** The partition rests until `retry` or `park`; the others go on. */
  | {
      readonly type: 'failed'
      readonly partition: number
      /** `handler`: at one entry. `read-model`: a disk that is full, or no place for dead letters. */
      readonly by: 'handler' | 'source' | 'read-model'
      readonly error: ErrorText
    }
  /** Nothing more to do with the heads that are known: send others. */
  | { readonly type: 'idle' }
  | {
      readonly type: 'message-done'
      readonly id: number
      /** It was given before a restart. */
      readonly isRepeated: boolean
      readonly error: ErrorText | null
    }
  | { readonly type: 'answer'; readonly id: number; readonly json: string }
  | { readonly type: 'answer-failed'; readonly id: number; readonly error: ErrorBody }

/** The runner's end of the line. */
export interface RunnerPort {
  post(message: FromRunner): void
  /** Once, before anything is received. */
  onMessage(listener: (message: ToRunner) => void): void
  /** Called by the runner when it has closed. */
  close(): void
}

/** The host's end of the line. */
export interface RunnerHandle {
  post(message: ToRunner): void
  /** Ends the runner in whatever it is doing; resolves when it is gone and its files are closed. Idempotent. */
  terminate(): Promise<void>
}

export interface RunnerEvents {
  onMessage(message: FromRunner): void
  /** Once. `error` is what crashed it, null for an end that was asked for or gave no reason. */
  onExit(error: ErrorText | null): void
}

export const toErrorText = (error: unknown): ErrorText =>
  error instanceof Error
    ? { message: error.message === '' ? error.name : error.message, stack: plainStack(error) }
    : { message: typeof error === 'string' ? error : (JSON.stringify(error) ?? String(error)), stack: null }
