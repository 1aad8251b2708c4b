// Given events, when a command, then events or a rejection: an aggregate is tested by what it says, without a node.
import { AssertionError, deepStrictEqual } from 'node:assert'
import { type AnyAggregate, checkAggregate, type Rejection } from '../core/aggregate.ts'
import type { CodeOf, CommandOf, EventOf, StateOf } from '../core/aggregate-types.ts'
import type { Command } from '../core/command.ts'
import { applyEvent, type Decided, decide } from '../core/decide.ts'
import { type ErrorCode, type GlynError, isGlynError } from '../core/errors.ts'
import type { DomainEvent } from '../core/event.ts'
import { currentVersion } from '../core/upcast.ts'
import { deepFreeze } from './deep-freeze.ts'

/** An event as a former version of the aggregate wrote it; it is upcast before it is applied. */
export interface FormerEvent<Type extends string = string> {
  readonly type: Type
  readonly version: number
  readonly data: unknown
}

/** What has happened, as it is stored: without `version` it is of the newest one. */
export type GivenEvent<Definition extends AnyAggregate> =
  | EventOf<Definition>
  | FormerEvent<EventOf<Definition>['type']>

/** An aggregate with its past. */
export interface Given<Definition extends AnyAggregate> {
  /** Decides the command as a node does: its schema first, then `handle`, then `apply` of what it yields. */
  when(command: CommandOf<Definition>): When<Definition>
  /** The state is this, as JSON. Throws AssertionError with the difference. */
  thenState(expected: StateOf<Definition>): this
}

/** What came of a command. Each check throws AssertionError with the difference, and returns the aggregate as it is now. */
export interface When<Definition extends AnyAggregate> {
  /** These events, one or a list (`[]`: none), in order; or this rejection, made with `reject`. */
  then(expected: Expected<Definition>): Given<Definition>
  /** A rejection with this code, whatever its message says. */
  thenRejected(code: CodeOf<Definition>): Given<Definition>
  /** The command failed as a mistake of the caller or of the aggregate's code: `INVALID_COMMAND`, `UNKNOWN_COMMAND`, … */
  thenFails(code: ErrorCode): Given<Definition>
  /** The state after the command is this, as JSON; after a rejection that is the state before. */
  thenState(expected: StateOf<Definition>): Given<Definition>
}

/** What may follow from a command. */
export type Expected<Definition extends AnyAggregate> =
  | EventOf<Definition>
  | readonly EventOf<Definition>[]
  | Rejection<CodeOf<Definition>>

/**
 * An aggregate that has seen these events. Data go through JSON, former versions are upcast, and states are frozen, all as
 * in a node: code that changes a state in place, or that decides one way and then another, fails here. Throws
 * INVALID_ARGUMENT for what is no aggregate, AGGREGATE_FAILED when `apply` or an upcast throws.
 */
export function given<Definition extends AnyAggregate>(
  aggregate: Definition,
  events: readonly GivenEvent<Definition>[] = [],
): Given<Definition> {
  checkAggregate(aggregate)
  let state = deepFreeze(aggregate.emptyState)
  for (const event of events as readonly DomainEvent[]) {
    const { type, version = currentVersion(aggregate, type), data } = event
    state = deepFreeze(applyEvent(aggregate, state, { type, version, data: throughJson(data ?? {}) }))
  }
  return createGiven(aggregate, state)
}

type Happened = Decided | { readonly type: 'failed'; readonly error: GlynError }

function createGiven<Definition extends AnyAggregate>(
  aggregate: Definition,
  state: unknown,
): Given<Definition> {
  const self: Given<Definition> = {
    when(command) {
      const happened = happen(aggregate, state, command as Command)
      return createWhen(aggregate, { before: state, command: command as Command, happened })
    },
    thenState(expected) {
      compare(state, expected, { what: 'the state', from: self.thenState })
      return self
    },
  }
  return self
}

function createWhen<Definition extends AnyAggregate>(
  aggregate: Definition,
  turn: { readonly before: unknown; readonly command: Command; readonly happened: Happened },
): When<Definition> {
  const { before, command, happened } = turn
  const after = happened.type === 'accepted' ? deepFreeze(happened.state) : before
  const on = createGiven(aggregate, after)
  const when: When<Definition> = {
    // biome-ignore lint/suspicious/noThenProperty: given, when, then; who awaits it is told that it is no promise.
    then(expected) {
      if (typeof expected === 'function') {
        throw new TypeError(
          'given(…).when(…) is no promise and is not awaited; say what follows: .then(events)',
        )
      }
      const options = { what: `what follows from ${command.type}`, from: when.then }
      if (isRejection(expected)) compare(shown(happened), rejectionOf(expected), options)
      else
        compare(
          shown(happened),
          [expected].flat().map(event => eventOf(aggregate, event)),
          options,
        )
      return on
    },
    thenRejected(code) {
      const found = happened.type === 'rejected' ? happened.rejection.code : shown(happened)
      compare(found, code, { what: `the rejection of ${command.type}`, from: when.thenRejected })
      return on
    },
    thenFails(code) {
      const found = happened.type === 'failed' ? happened.error.code : shown(happened)
      compare(found, code, { what: `the failure of ${command.type}`, from: when.thenFails })
      return on
    },
    thenState(expected) {
      if (happened.type === 'failed') fail(happened.error, when.thenState)
      compare(after, expected, { what: `the state after ${command.type}`, from: when.thenState })
      return on
    },
  }
  return when
}

function happen(aggregate: AnyAggregate, state: unknown, command: Command): Happened {
  const once = (): Happened => {
    try {
      return decide(aggregate, state, command)
    } catch (error) {
      if (isGlynError(error)) return { type: 'failed', error }
      throw error
    }
  }
  const first = once()
  const second = once()
  compare(shown(second), shown(first), {
    what: `handle is not pure: the same state and the same ${command.type}, asked again,`,
    from: happen,
  })
  return first
}

/** The parts of what happened that a test is about. */
function shown(happened: Happened): unknown {
  switch (happened.type) {
    case 'accepted':
      return happened.events.map(({ type, version, data }) => ({ type, version, data: JSON.parse(data) }))
    case 'rejected':
      return rejectionOf(happened.rejection)
    case 'failed':
      return { failed: happened.error.code, message: happened.error.message }
  }
}

const rejectionOf = ({ code, message, details }: Rejection): unknown => ({
  rejected: code,
  message,
  ...(details === undefined ? {} : { details: throughJson(details) }),
})

const eventOf = (
  aggregate: AnyAggregate,
  { type, version = currentVersion(aggregate, type), data }: DomainEvent,
): unknown => ({ type, version, data: throughJson(data ?? {}) })

const isRejection = (expected: object): expected is Rejection =>
  'rejected' in expected && expected.rejected === true

const throughJson = (value: unknown): unknown =>
  value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown)

// biome-ignore lint/complexity/noBannedTypes: what AssertionError takes.
type From = Function

function compare(found: unknown, expected: unknown, { what, from }: { what: string; from: From }): void {
  try {
    deepStrictEqual(throughJson(found), throughJson(expected))
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error
    const { actual, expected: wanted } = error
    throw new AssertionError({
      message: `${what} is not what was expected:\n${error.message.split('\n').slice(1).join('\n')}`,
      actual,
      expected: wanted,
      operator: 'deepStrictEqual',
      stackStartFn: from,
    })
  }
}

function fail(error: GlynError, from: From): never {
  throw new AssertionError({
    message: `it failed: ${error.code}: ${error.message}`,
    actual: error.code,
    operator: 'fail',
    stackStartFn: from,
  })
}
