// Handlers: side effects of events, once per cluster. What a handler file may export, checked; and both forms as one.
import type { DomainEvent, EnvelopeOf } from '../core/event.ts'
import { checkFilter, checkReactionName, checkStartFrom, type EventFilter, invalidField } from './filter.ts'

/** What a handler knows of a call beside the event. */
export interface HandlerContext {
  /**
   * `<handler>:<event id>`: the same for every attempt, after every restart and on every node. Hand it to the outside
   * (`Idempotency-Key` of an API, a unique column) and repeats do no harm.
   */
  readonly idempotencyKey: string
  /** Aborted when the time is up, the node stops, or another node leads the partition now. */
  readonly signal: AbortSignal
  /** 1 for the first attempt of this node. */
  readonly attempt: number
}

/** The short form of a handler; also what `handle` of the full form is. */
export type HandlerFunction<Event extends DomainEvent = DomainEvent> = {
  // A method: one that is for certain events can be given where one for any events is asked for.
  /** Awaited; what it throws is a failure. */
  call(event: EnvelopeOf<Event>, context: HandlerContext): void | Promise<void>
}['call']

/** A side effect of events, once per cluster. */
export interface HandlerDefinition<Event extends DomainEvent = DomainEvent> {
  /** Names the handler's place in the log: another name is another handler, which starts anew. */
  readonly name: string
  readonly filter?: EventFilter
  /**
   * Called for each event, in the order of its partition, one at a time per partition; events of different partitions at
   * the same time. At least once: again after a crash or a change of leadership between the call and the checkpoint.
   */
  readonly handle: HandlerFunction<Event>
  /**
   * When `handle` throws: `retry` (default) with backoff, for ever, while the partition's later events wait; `skip` after
   * five attempts, with an error in the log; `stop` at once on this partition, until its leader starts again or another
   * node leads.
   */
  readonly onError?: 'retry' | 'skip' | 'stop'
  /** For a handler that has never run on a partition: `now` (default) passes over what has happened before. */
  readonly startFrom?: 'now' | 'beginning'
  /** Of one call; a call that takes longer has failed. Default 30 000. */
  readonly timeoutMs?: number
}

/** Any handler of the full form: every definition can be given where this is asked for. */
export type AnyHandler = HandlerDefinition
/** Any handler of the function form. */
export type AnyHandlerFunction = HandlerFunction

/** A handler of either form, with everything decided. */
export type NormalHandler = Required<Omit<AnyHandler, 'filter'>> & { readonly filter: EventFilter }

/** Checks the definition and returns it, typed. Throws INVALID_ARGUMENT that names the field. */
export function defineHandler<Event extends DomainEvent = DomainEvent>(
  definition: HandlerDefinition<Event>,
): HandlerDefinition<Event> {
  checkHandler(definition)
  return definition
}

/** Throws INVALID_ARGUMENT for what is no handler. `name` is for the function form, whose own name counts without it. */
export function normalizeHandler(value: unknown, name?: string): NormalHandler {
  if (typeof value === 'function') {
    const own = name ?? value.name
    checkReactionName('handler', own)
    return normal({ name: own, handle: value as AnyHandlerFunction })
  }
  checkHandler(value)
  return normal(value)
}

const normal = ({
  name,
  handle,
  filter = {},
  onError = 'retry',
  startFrom = 'now',
  timeoutMs = timeoutMsDefault,
}: AnyHandler): NormalHandler => ({ name, handle, filter, onError, startFrom, timeoutMs })

const timeoutMsDefault = 30_000

function checkHandler(value: unknown): asserts value is AnyHandler {
  if (typeof value !== 'object' || value === null) {
    const allowed = 'an object { name, handle, … } or a function (event, { idempotencyKey }) => …'
    throw invalidField('handler', 'the definition', value, allowed)
  }
  const { name, filter, handle, onError, startFrom, timeoutMs } = value as Record<string, unknown>
  checkReactionName('handler', name)
  checkFilter('handler', filter)
  checkStartFrom('handler', startFrom)
  if (typeof handle !== 'function')
    throw invalidField('handler', 'handle', handle, 'a function (event, context)')
  if (onError !== undefined && onError !== 'retry' && onError !== 'skip' && onError !== 'stop')
    throw invalidField('handler', 'onError', onError, 'retry, skip, stop')
  if (timeoutMs !== undefined && !(Number.isSafeInteger(timeoutMs) && (timeoutMs as number) > 0))
    throw invalidField('handler', 'timeoutMs', timeoutMs, 'a positive whole number')
}
