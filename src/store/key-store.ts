// The port of a node's keys: what the data of subjects are encrypted with. They rest beside the log and never in it, nor in
// what is made of it. Adapters: memory/, sqlite/.
import type { AggregateKey } from '../core/command.ts'

/** A key of one subject for one aggregate. There may be several, where two nodes made one at the same time. */
export interface SubjectKey {
  /** 22 characters of base64url: 16 random bytes. */
  readonly id: string
  /** Stands for the subject, see `referenceOf`. */
  readonly subject: string
  readonly aggregate: AggregateKey
  /** 32 bytes; null when it was destroyed. */
  readonly key: Uint8Array | null
}

/** What a node knows, or part of it. Two of them are joined: what is forgotten wins, for ever. */
export interface KnownKeys {
  readonly keys: readonly SubjectKey[]
  /** References of subjects that are forgotten, also those without a key. */
  readonly forgotten: readonly string[]
}

/** Ids and references are random: those that begin with the same character are one bucket. */
export const keyBuckets = 64

/** Reads are synchronous and see everything whose promise has resolved. Failures are GlynErrors, as those of `LocalStore`. */
export interface KeyReader {
  find(id: string): SubjectKey | undefined
}

export interface KeyStore extends KeyReader {
  /** Nothing was ever joined. */
  isEmpty(): boolean
  /** The keys of a subject for an aggregate that are not destroyed, the first by id first. */
  keysFor(subject: string, aggregate: AggregateKey): readonly SubjectKey[]
  keysOf(subject: string): readonly SubjectKey[]
  isForgotten(subject: string): boolean
  /**
   * Resolves when everything is durable, and what had to be destroyed is overwritten. A key of a subject that is forgotten
   * here is kept without its bytes. Answers with the keys that were here until now and are destroyed.
   */
  join(known: KnownKeys): Promise<readonly SubjectKey[]>
  /** One number for the content of each bucket: equal contents have equal ones. */
  fingerprints(): readonly number[]
  /** In order, after `after`: at most `limit` keys by id and `limit` forgotten subjects. */
  bucket(bucket: number, range: { readonly after: string; readonly limit: number }): KnownKeys
  /** Destroyed keys of which it is not known that the log of their aggregate says so. */
  untold(): readonly SubjectKey[]
  markTold(ids: readonly string[]): Promise<void>
  /** Waits for what is under way. Idempotent. */
  close(): Promise<void>
}

/** Who has a destroyed key says that its subject is forgotten. */
export const subjectsToForget = ({ keys, forgotten }: KnownKeys): readonly string[] => [
  ...new Set([...forgotten, ...keys.filter(({ key }) => key === null).map(({ subject }) => subject)]),
]
