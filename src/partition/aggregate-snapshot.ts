// A snapshot of an aggregate: only a cache, the events are the truth.
import { isDeepStrictEqual } from 'node:util'
import type { Log } from '../core/log.ts'
import type { Snapshot } from '../store/store.ts'
import type { SubjectCipher } from '../store/subject-cipher.ts'
import type { AggregateActor } from './aggregate-actor.ts'

type Snapped = Pick<
  AggregateActor,
  'key' | 'committedSequence' | 'committedIndex' | 'committedState' | 'partition' | 'keys' | 'isStale'
>

/**
 * Of the committed state, sealed when it was made of data of subjects. Undefined when some of those are forgotten, and, with a
 * line in the log, for a state that is not JSON.
 */
export function snapshotOf(
  actor: Snapped,
  facts: Pick<Snapshot, 'definition' | 'timeMs'>,
  log: Log,
  cipher: Pick<SubjectCipher, 'sealState'>,
): Snapshot | undefined {
  const { key, committedSequence, committedIndex, partition } = actor
  const text = actor.isStale ? undefined : textOf(actor, log)
  if (text === undefined) return undefined
  const place = { aggregate: key, sequence: committedSequence, definition: facts.definition }
  const state = actor.keys.size === 0 ? text : cipher.sealState(text, { ...place, keys: [...actor.keys] })
  if (state === undefined) return undefined
  return {
    aggregate: key,
    sequence: committedSequence,
    index: committedIndex,
    partition,
    state,
    ...facts,
  }
}

/**
 * Undefined for a state that JSON cannot say, or says otherwise (a Map, a Date, an instance of a class): it would come
 * back as another one.
 */
function textOf({ key, committedState }: Snapped, log: Log): string | undefined {
  try {
    const text = JSON.stringify(committedState)
    if (isDeepStrictEqual(JSON.parse(text), committedState)) return text
    throw new TypeError('read back from JSON it is another state')
  } catch (error) {
    log.warn(
      { aggregate: `${key.type}/${key.id}`, error: String(error) },
      'aggregate: no snapshot, because the state is not JSON',
    )
    return undefined
  }
}
