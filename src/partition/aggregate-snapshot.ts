// A snapshot of an aggregate: only a cache, the events are the truth.
import { isDeepStrictEqual } from 'node:util'
import type { Log } from '../core/log.ts'
import type { Snapshot } from '../store/store.ts'
import type { AggregateActor } from './aggregate-actor.ts'

type Snapped = Pick<
  AggregateActor,
  'key' | 'committedSequence' | 'committedIndex' | 'committedState' | 'partition'
>

/** Of the committed state. Undefined, and a line in the log, for a state that is not JSON. */
export function snapshotOf(
  actor: Snapped,
  facts: Pick<Snapshot, 'definition' | 'timeMs'>,
  log: Log,
): Snapshot | undefined {
  const { key, committedSequence, committedIndex, partition } = actor
  const state = textOf(actor, log)
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
