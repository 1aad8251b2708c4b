// Aggregates: a type, an empty state, `handle` that decides and `apply` that remembers.
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { checkChains } from './check-chains.ts'
import type { Command } from './command.ts'
import { GlynError } from './errors.ts'
import type { DomainEvent } from './event.ts'
import { isSystemType, systemPrefix } from './system-types.ts'

/** The domain says no. A value, made with {@link reject}, never thrown. */
export interface Rejection<Code extends string = string> {
  readonly rejected: true
  readonly code: Code
  readonly message: string
  readonly details?: unknown
}

/**
 * Says no to a command: `return reject('insufficient_funds', 'balance is 3, asked for 5', { balance: 3 })`. The code is for
 * programs and part of the aggregate's type; the message is for people; `details` are JSON.
 */
export function reject<const Code extends string>(
  code: Code,
  message: string,
  details?: unknown,
): Rejection<Code> {
  return details === undefined
    ? { rejected: true, code, message }
    : { rejected: true, code, message, details }
}

/** What `handle` returns: one event, several, none (`[]`), or a no. */
export type Decision<Event, Code extends string = string> = Event | readonly Event[] | Rejection<Code>

/** Lifts the data of an event from one version to the next. Pure. */
export type Upcast = (data: unknown) => unknown

/** `[v1ToV2, v2ToV3]`, or the same by the version that each lifts: `{ 1: v1ToV2, 2: v2ToV3 }`. */
export type UpcastChain = readonly Upcast[] | { readonly [fromVersion: number]: Upcast }

/**
 * A type of aggregate. `Cmd` is what `handle` is given and `Sent` what a caller sends: they differ where a schema changes
 * what it checks (a default, a trimmed text). `Code` are the codes of its rejections.
 */
export interface Aggregate<
  State,
  Cmd extends Command = Command,
  Event extends DomainEvent = DomainEvent,
  Code extends string = string,
  Sent extends Command = Cmd,
> {
  /** Letters, digits, `_`, `.` and `-`, beginning with a letter; 128 at most. */
  readonly type: string
  /** The state before any event. JSON. */
  readonly emptyState: State
  /** Decides. Pure: same state and command, same answer. */
  handle(state: State, command: Cmd): Decision<Event, Code>
  /** Remembers. Pure: returns the next state and leaves the given one as it is. */
  apply(state: State, event: Event): State
  /** A snapshot after every so many events; none when left out. A positive integer. */
  readonly snapshotEvery?: number
  /** Schemas by command type. When given, other command types are refused before they reach `handle`. */
  readonly commands?: { readonly [Type in Cmd['type']]?: StandardSchemaV1 }
  /**
   * The chain of each type of event whose schema has changed, without a gap. New events are written with the version that
   * the chain ends at, 1 without a chain.
   */
  readonly upcast?: { readonly [Type in Event['type']]?: UpcastChain }
  /** All types of events there are. When given, an event of another type is a mistake: in `handle`, and in the history. */
  readonly events?: readonly Event['type'][]
  /** For the compiler only; never there at run time. */
  readonly '~types'?: { readonly sent: Sent } | undefined
  /**
   * Whom the data of an event are about: they are stored encrypted with a key of this subject, and can be forgotten with it.
   * Undefined: they rest as they are. Pure. A name of 1 to 256 bytes, best one that says nothing: `customer-4711`.
   */
  subject?(event: Event, aggregateId: string): string | undefined
  /** In place of `apply`, for an event of this type whose data are forgotten. When left out, it is passed over. Pure. */
  forgotten?(state: State, eventType: Event['type']): State
}

/** Any aggregate: every definition can be given where this is asked for. */
export type AnyAggregate = Aggregate<unknown>

/** Schemas by command type, as `commands` of an aggregate has them. */
export interface CommandSchemas {
  readonly [type: string]: StandardSchemaV1
}

/** The commands that schemas let through, as `handle` gets them. */
export type CheckedCommand<Schemas extends CommandSchemas> = {
  readonly [Type in keyof Schemas & string]: {
    readonly type: Type
    readonly data: StandardSchemaV1.InferOutput<Schemas[Type]>
  }
}[keyof Schemas & string]

/** The commands that schemas accept, as callers send them. */
export type SentCommand<Schemas extends CommandSchemas> = {
  readonly [Type in keyof Schemas & string]: {
    readonly type: Type
    readonly data: StandardSchemaV1.InferInput<Schemas[Type]>
  }
}[keyof Schemas & string]

/**
 * What is inferred from: `One` event alone, `Many` in a list, and those that `apply` says it knows, which may be more: events
 * of former days.
 */
interface Inferred<
  State,
  Cmd extends Command,
  One,
  Many extends DomainEvent,
  Known extends DomainEvent,
  Code extends string,
> extends Pick<
    Aggregate<State, Cmd, Known, Code>,
    'type' | 'snapshotEvery' | 'upcast' | 'events' | 'subject' | 'forgotten'
  > {
  readonly emptyState: State
  handle(state: State, command: Cmd): One | readonly Many[] | Rejection<Code>
  apply(state: State, event: Known): State
}

/** Where `handle` yields lists only, the compiler takes the list for the one event too. */
type Alone<One> = Exclude<One, readonly unknown[]>

/** `apply` has to know every event that `handle` yields. */
type Applies<State, Yielded, Known> = [Yielded] extends [Known]
  ? unknown
  : { readonly apply: (state: State, event: Yielded) => State }

/**
 * Checks the definition and returns it, typed. Commands come from the schemas in `commands`, or else from the second
 * parameter of `handle`; events from what `handle` returns, or from the second parameter of `apply`; the state from
 * `emptyState`, `handle` and `apply`; the codes of rejections from `reject(…)` in `handle`. Type arguments
 * `<State, Command, Event, Code>` say the same by hand. Throws INVALID_ARGUMENT that names the field, and
 * NON_POSITIVE_ARGUMENT for `snapshotEvery`.
 */
export function defineAggregate<
  const Schemas extends CommandSchemas,
  State,
  Type extends string,
  Kind extends string,
  One extends DomainEvent<Type> | readonly unknown[] = never,
  Many extends DomainEvent<Kind> = never,
  Known extends DomainEvent = Alone<One> | Many,
  Code extends string = never,
>(
  definition: Inferred<State, CheckedCommand<Schemas>, One, Many, Known, Code> & {
    readonly commands: Schemas
  } & Applies<State, Alone<One> | Many, Known>,
): Aggregate<State, CheckedCommand<Schemas>, Known, Code, SentCommand<Schemas>>
export function defineAggregate<
  State,
  Cmd extends Command,
  Type extends string,
  Kind extends string,
  One extends DomainEvent<Type> | readonly unknown[] = never,
  Many extends DomainEvent<Kind> = never,
  Known extends DomainEvent = Alone<One> | Many,
  Code extends string = never,
>(
  definition: Inferred<State, Cmd, One, Many, Known, Code> &
    Pick<Aggregate<State, Cmd>, 'commands'> &
    Applies<State, Alone<One> | Many, Known>,
): Aggregate<State, Cmd, Known, Code>
export function defineAggregate<
  State,
  Cmd extends Command = Command,
  Event extends DomainEvent = DomainEvent,
  Code extends string = string,
>(definition: Aggregate<State, Cmd, Event, Code>): Aggregate<State, Cmd, Event, Code>
export function defineAggregate(definition: AnyAggregate): AnyAggregate {
  checkAggregate(definition)
  return definition
}

/** Throws INVALID_ARGUMENT unless `value` has the form of an aggregate. */
export function checkAggregate(value: unknown): asserts value is AnyAggregate {
  const complain = (field: string, found: unknown, allowed: string): never => {
    throw new GlynError('INVALID_ARGUMENT', `aggregate: ${field} is ${describe(found)}; allowed: ${allowed}`)
  }
  if (typeof value !== 'object' || value === null) return complain('the definition', value, 'an object')
  const { type, handle, apply, snapshotEvery, commands, subject, forgotten } = value as Record<
    string,
    unknown
  >
  if (typeof type !== 'string' || !namePattern.test(type)) {
    complain('type', type, 'letters, digits, _ . -, starting with a letter, at most 128')
  } else if (isSystemType(type)) {
    complain(
      'type',
      type,
      `a name that does not begin with ${systemPrefix}, which is kept for glyn-node itself`,
    )
  }
  if (!('emptyState' in value)) complain('emptyState', undefined, 'the state before any event')
  if (typeof handle !== 'function') complain('handle', handle, 'a function (state, command) => events')
  if (typeof apply !== 'function') complain('apply', apply, 'a function (state, event) => state')
  if (subject !== undefined && typeof subject !== 'function')
    complain('subject', subject, 'a function (event, aggregateId) => subject or undefined')
  if (forgotten !== undefined && typeof forgotten !== 'function')
    complain('forgotten', forgotten, 'a function (state, eventType) => state')
  if (snapshotEvery !== undefined && !(Number.isInteger(snapshotEvery) && (snapshotEvery as number) > 0)) {
    throw new GlynError(
      'NON_POSITIVE_ARGUMENT',
      `aggregate ${String(type)}: snapshotEvery is ${describe(snapshotEvery)}; allowed: a positive integer`,
    )
  }
  if (commands !== undefined && (typeof commands !== 'object' || commands === null))
    complain('commands', commands, 'an object by type')
  checkChains(value as { events?: unknown; upcast?: unknown }, (field, found, allowed) =>
    complain(`${String(type)}: ${field}`, found, allowed),
  )
}

export const namePattern = /^[A-Za-z][A-Za-z0-9_.-]{0,127}$/

const describe = (value: unknown): string =>
  value === undefined
    ? 'missing'
    : typeof value === 'function'
      ? 'a function'
      : (JSON.stringify(value) ?? String(value))
