// What hosts of aggregates need to keep the data of subjects encrypted. Implemented by erasure/.
import { invariant } from '../core/assert.ts'
import type { AggregateKey } from '../core/command.ts'
import type { CommandRecord, StoredEvent } from '../core/record.ts'
import type { StatePlace } from './event-cipher.ts'

/** What `seal` made, and the ids of the keys that it used: one for each event, none where nothing was sealed. */
export interface SealedRecord {
  readonly record: CommandRecord
  readonly keys: readonly (string | undefined)[]
}

export interface SubjectCipher {
  /** As `openRow`. A key that is not here is fetched from other nodes meanwhile: try again, or wait for `fetch`. */
  open(row: StoredEvent): StoredEvent
  /** Resolves when the key is here. Throws KEY_UNAVAILABLE when nobody who can be asked in time has it. */
  fetch(key: string): Promise<void>
  /**
   * `subjects`: one for each event. Undefined when a key is not there yet, or it is not known to be durable where the events
   * will be: wait for `prepare`, and decide again. Throws SUBJECT_FORGOTTEN.
   */
  seal(
    partition: number,
    record: CommandRecord,
    subjects: readonly (string | undefined)[],
  ): SealedRecord | undefined
  /**
   * Resolves when there is a key for each of these subjects that is durable on a majority of the partition's voters.
   * Also when one is forgotten: `seal` says so. Throws UNAVAILABLE, and what the store of keys throws.
   */
  prepare(partition: number, aggregate: AggregateKey, subjects: readonly string[]): Promise<void>
  /** As `sealState` and `openState`. */
  sealState(state: string, place: StatePlace & { readonly keys: readonly string[] }): string | undefined
  openState(
    state: string,
    place: StatePlace,
  ): { readonly state: string; readonly keys: readonly string[] } | undefined
}

/** For hosts without subjects. */
export const noCipher: SubjectCipher = {
  open: row => row,
  fetch: () => Promise.resolve(),
  seal(_partition, record, subjects) {
    invariant(
      subjects.every(subject => subject === undefined),
      'data of a subject meet a host without keys',
    )
    return { record, keys: [] }
  },
  prepare: () => Promise.resolve(),
  sealState: state => state,
  openState: state => ({ state, keys: [] }),
}
