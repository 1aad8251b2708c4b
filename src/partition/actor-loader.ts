// Loads aggregates with a long history page by page, in turns with each other and with everything else: a load that
// held the thread for longer than an election timeout would cost this node every leadership it has.
import type { Clock } from '../core/clock.ts'
import type { LocalStore } from '../store/store.ts'
import { type ActorInit, type AggregateActor, loadActor } from './aggregate-actor.ts'

export interface ActorLoader {
  /** At once what has one page of history at most, else a promise. `isWanted` false ends it: undefined. */
  load(init: ActorInit, isWanted: () => boolean): AggregateActor | Promise<AggregateActor | undefined>
}

interface Load {
  readonly steps: Generator<void, AggregateActor, void>
  readonly isWanted: () => boolean
  readonly resolve: (actor: AggregateActor | undefined) => void
  readonly reject: (error: unknown) => void
}

/** There are no more loads at a time than callers that wait for one, and those the host bounds. */
export function createActorLoader(init: { readonly store: LocalStore; readonly clock: Clock }): ActorLoader {
  const { store, clock } = init
  /** The next one to go on stands first. */
  const loads: Load[] = []

  function goOn(): void {
    const load = loads.shift()
    if (load !== undefined && !isDone(load)) loads.push(load)
    if (loads.length > 0) clock.soon(goOn)
  }

  function isDone({ steps, isWanted, resolve, reject }: Load): boolean {
    try {
      const step = isWanted() ? steps.next() : { done: true as const, value: undefined }
      if (step.done === true) resolve(step.value)
      return step.done === true
    } catch (error) {
      reject(error)
      return true
    }
  }

  return {
    load(actorInit, isWanted) {
      const steps = loadActor(store, actorInit)
      const first = steps.next()
      if (first.done === true) return first.value
      return new Promise((resolve, reject) => {
        loads.push({ steps, isWanted, resolve, reject })
        if (loads.length === 1) clock.soon(goOn)
      })
    },
  }
}
