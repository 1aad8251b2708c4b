// Process managers: state per correlation, events in, commands out. The public form, checked.
import type { AggregateKey, Command } from '../core/command.ts'
import type { DomainEvent, EnvelopeOf } from '../core/event.ts'
import type { ProcessAction } from './actions.ts'
import { checkFilter, checkReactionName, checkStartFrom, type EventFilter, invalidField } from './filter.ts'

/** A command of the process that its aggregate refused. */
export interface ProcessRejection {
  readonly aggregate: AggregateKey
  readonly command: Command
  readonly code: string
  readonly message: string
  readonly details?: unknown
}

/** The next state and what to do; a list alone leaves the state as it is, nothing at all changes nothing. */
export type ProcessReaction<State> =
  | { readonly state?: State; readonly do?: readonly ProcessAction[] }
  | readonly ProcessAction[]
  | undefined
  // biome-ignore lint/suspicious/noConfusingVoidType: a case of `react` may end without a return.
  | void

/** A process: a state per correlation, events in, commands out. */
export interface ProcessDefinition<State, Event extends DomainEvent = DomainEvent> {
  /** Names the process in what is stored and in the ids of its commands: another name is another process. */
  readonly name: string
  readonly filter?: EventFilter
  /** The instance that an event belongs to; null for none. Pure. Every event that has one is an entry in the log. */
  correlate(event: EnvelopeOf<Event>): string | null
  /** JSON. */
  readonly emptyState: State
  /** Decides. Pure: the same state and event, the same reaction. Each event is given to its instance once. */
  react(state: State, event: EnvelopeOf<Event>): ProcessReaction<State>
  /** An aggregate said no to a command of this instance. Pure. Without it, the log of the node warns. */
  rejected?(state: State, rejection: ProcessRejection): ProcessReaction<State>
  /** For a process that has never run on a partition: `now` (default) passes over what has happened before. */
  readonly startFrom?: 'now' | 'beginning'
}

/** Any process: every definition can be given where this is asked for. */
export type AnyProcess = ProcessDefinition<unknown>

/** Checks the definition and returns it, typed. Throws INVALID_ARGUMENT that names the field. */
export function defineProcess<State, Event extends DomainEvent = DomainEvent>(
  definition: ProcessDefinition<State, Event>,
): ProcessDefinition<State, Event> {
  checkProcess(definition)
  return definition
}

/** Throws INVALID_ARGUMENT unless `value` has the form of a process. */
export function checkProcess(value: unknown): asserts value is AnyProcess {
  const complain = (field: string, found: unknown, allowed: string): never => {
    throw invalidField('process', field, found, allowed)
  }
  if (typeof value !== 'object' || value === null)
    return complain('the definition', value, 'an object { name, correlate, emptyState, react, … }')
  const { name, filter, correlate, react, rejected, startFrom } = value as Record<string, unknown>
  checkReactionName('process', name)
  checkFilter('process', filter)
  checkStartFrom('process', startFrom)
  if (typeof correlate !== 'function')
    complain('correlate', correlate, 'a function (event) => string or null')
  if (!('emptyState' in value)) complain('emptyState', undefined, 'the state before any event')
  if (typeof react !== 'function') complain('react', react, 'a function (state, event) => { state?, do? }')
  if (rejected !== undefined && typeof rejected !== 'function')
    complain('rejected', rejected, 'a function (state, rejection) => { state?, do? }')
}
