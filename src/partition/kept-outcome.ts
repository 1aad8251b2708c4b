// The outcome of a command that led to no events, kept: an entry of its own, beside the aggregate that was asked. It is
// proposed after everything that the decision was based on, so that it is committed only with all of that.
import { type AnyAggregate, type Rejection, reject } from '../core/aggregate.ts'
import { invariant } from '../core/assert.ts'
import type { AggregateKey, CommandEnvelope } from '../core/command.ts'
import type { Decided } from '../core/decide.ts'
import { hasCode } from '../core/errors.ts'
import type { Outcome } from '../core/outcome.ts'
import { systemPrefix } from '../core/system-types.ts'
import { acceptedWithoutEvents, rejectedWith } from './outcomes.ts'

export const keptOutcomeType = `${systemPrefix}outcome`

/** One for each command: it has one event, or none yet. Its id is the id of the command. */
export const keptOutcomeAggregate: AnyAggregate = {
  type: keptOutcomeType,
  emptyState: null,
  handle: () => [],
  apply: () => null,
}

export const keptOutcomeKey = (commandId: string): AggregateKey => ({ type: keptOutcomeType, id: commandId })

/** A command that is wrong whatever the state is: for whoever keeps outcomes that is a rejection too. */
export const refusalOf = (error: unknown): Rejection | undefined =>
  hasCode(error, 'UNKNOWN_COMMAND', 'INVALID_COMMAND', 'MESSAGE_TOO_LARGE', 'SUBJECT_FORGOTTEN')
    ? reject(error.code, error.message, error.details)
    : undefined

/** What is to be kept of a decision without events. */
export function toKeep(decided: Decided, sequence: number): Extract<Decided, { type: 'accepted' }> {
  const { type, data } =
    decided.type === 'rejected'
      ? { type: 'Rejected', data: decided.rejection }
      : { type: 'Nothing', data: { sequence } }
  return { type: 'accepted', events: [{ type, version: 1, data: JSON.stringify(data) }], state: null }
}

/**
 * On a shared store two that both believe to lead could keep a rejection and write events for one id. So the events of a
 * command that keeps its outcome are written together with this one: whoever comes second is refused by the store.
 */
export const takenKept = { type: 'Accepted', version: 1, data: '{}' } as const

/** The answer that was kept. */
export function fromKept(kept: Outcome, envelope: CommandEnvelope): Outcome {
  invariant(kept.type === 'accepted', 'what is kept of an outcome is never refused')
  const event = kept.events[0]
  invariant(event !== undefined, 'what is kept of an outcome is one event')
  if (event.type === 'Rejected') return rejectedWith(event.data as Rejection, envelope.commandId)
  const { sequence } = event.data as { readonly sequence: number }
  const { position, replicas, replayed } = kept
  return { ...acceptedWithoutEvents(envelope, { sequence, position, replicas }), replayed }
}
