// A handler as a reaction: its events in order, at least once, each with its key.
import { isSystemType } from '../core/system-types.ts'
import { toEventEnvelope } from '../store/event-envelope.ts'
import type { NormalHandler } from './define-handler.ts'
import { passes } from './filter.ts'
import type { Reaction } from './reaction.ts'
import type { HandlerCall } from './run-handler.ts'

/** What a handler says of itself, wherever its code runs. */
export type HandlerFacts = Omit<NormalHandler, 'handle'>

/** Attempts of an event that `onError: 'skip'` gives up then. */
const attemptsBeforeSkip = 5

export const handlerKey = (name: string): string => `handler/${name}`

/** `facts`: those that count now. Only the name never changes. */
export function handlerReaction(
  facts: () => HandlerFacts,
  call: (call: HandlerCall, signal: AbortSignal) => Promise<void>,
): Reaction {
  const { name, startFrom } = facts()
  return {
    key: handlerKey(name),
    startFrom,
    lanesMax: 1,
    laneOf: row => (isSystemType(row.aggregateType) || !passes(facts().filter, row) ? null : ''),
    perform(row, { signal, attempt }) {
      const event = toEventEnvelope(row)
      return call({ event, attempt, idempotencyKey: `${name}:${event.id}` }, signal)
    },
    afterFailure(_error, attempt) {
      const { onError } = facts()
      if (onError === 'skip') return attempt < attemptsBeforeSkip ? 'retry' : 'skip'
      return onError
    },
  }
}
