// One decision: a command meets a state. And its counterpart: a recorded event meets a state.
import type { AnyAggregate, Rejection } from './aggregate.ts'
import type { Command } from './command.ts'
import { GlynError } from './errors.ts'
import type { DomainEvent } from './event.ts'
import { limits } from './limits.ts'
import type { RecordedEvent } from './record.ts'
import { schemaIssues } from './schema-issues.ts'
import { isLikeSealed, sealedField } from './sealed-data.ts'
import { type Forgotten, forgottenEventType } from './system-types.ts'
import { currentVersion, liftEvent, type Misfit, messageOf, misfitOf } from './upcast.ts'

export type Decided =
  | { readonly type: 'rejected'; readonly rejection: Rejection }
  | {
      readonly type: 'accepted'
      readonly events: readonly RecordedEvent[]
      readonly state: unknown
    }

/**
 * Checks the command, asks `handle`, and applies what it yields. Throws UNKNOWN_COMMAND, INVALID_COMMAND,
 * MESSAGE_TOO_LARGE, and AGGREGATE_FAILED when the aggregate's own code throws or yields what is not an event.
 */
export function decide(aggregate: AnyAggregate, state: unknown, command: Command): Decided {
  const decision = callHandle(aggregate, state, checkCommand(aggregate, command))
  if (isRejection(decision)) return { type: 'rejected', rejection: decision }
  const domainEvents = (Array.isArray(decision) ? decision : [decision]) as readonly unknown[]
  if (domainEvents.length > limits.eventsPerCommandMax) {
    throw new GlynError(
      'MESSAGE_TOO_LARGE',
      `${aggregate.type}: ${command.type} yields ${domainEvents.length} events; allowed: ${limits.eventsPerCommandMax}`,
    )
  }
  const events = domainEvents.map(event => record(aggregate, command, event))
  let next = state
  // What a later reader will see is applied: the data as they come back from the JSON that is stored.
  for (const { type, version, data } of events) {
    next = applyEvent(aggregate, next, { type, version, data: JSON.parse(data) as unknown })
  }
  return { type: 'accepted', events, state: next }
}

/** `apply`, after the event was lifted to its newest version. Throws AGGREGATE_FAILED with `details: { misfit }`. */
export function applyEvent(aggregate: AnyAggregate, state: unknown, event: Required<DomainEvent>): unknown {
  if (event.type === forgottenEventType) return applyForgotten(aggregate, state, event.data as Forgotten)
  const lifted = liftEvent(aggregate, event)
  try {
    return aggregate.apply(state, lifted) as unknown
  } catch (cause) {
    const text = `${aggregate.type}: apply(${event.type} v${event.version}) threw: ${messageOf(cause)}`
    const details = { misfit: 'apply-failed' satisfies Misfit }
    throw new GlynError('AGGREGATE_FAILED', text, { cause, details })
  }
}

/** What is gone is passed over, unless the aggregate says what is left of it. */
function applyForgotten(aggregate: AnyAggregate, state: unknown, { type }: Forgotten): unknown {
  if (type === null || aggregate.forgotten === undefined) return state
  try {
    return aggregate.forgotten(state, type) as unknown
  } catch (cause) {
    const text = `${aggregate.type}: forgotten(${type}) threw: ${messageOf(cause)}`
    const details = { misfit: 'apply-failed' satisfies Misfit }
    throw new GlynError('AGGREGATE_FAILED', text, { cause, details })
  }
}

/** The command with the data that its schema returned. */
function checkCommand(aggregate: AnyAggregate, command: Command): Command {
  const schemas = aggregate.commands as AnyAggregate['commands'] & Record<string, unknown>
  if (schemas === undefined) return command
  if (!Object.hasOwn(schemas, command.type)) {
    const allowed = Object.keys(schemas)
    throw new GlynError(
      'UNKNOWN_COMMAND',
      `${aggregate.type} has no command ${JSON.stringify(command.type)}; allowed: ${allowed.join(', ')}`,
      { details: { allowed } },
    )
  }
  const schema = schemas[command.type]
  if (schema === undefined) return command
  const result = schema['~standard'].validate(command.data)
  if ('then' in result) {
    throw new GlynError(
      'AGGREGATE_FAILED',
      `${aggregate.type}: the schema of ${command.type} is asynchronous`,
    )
  }
  if (result.issues === undefined) return { type: command.type, data: result.value }
  const { issues, text } = schemaIssues(result.issues)
  throw new GlynError('INVALID_COMMAND', `${aggregate.type}: ${command.type} has invalid data: ${text}`, {
    details: { issues },
  })
}

function callHandle(aggregate: AnyAggregate, state: unknown, command: Command): unknown {
  try {
    return aggregate.handle(state, command) as unknown
  } catch (cause) {
    const text = `${aggregate.type}: handle(${command.type}) threw: ${messageOf(cause)}`
    throw new GlynError('AGGREGATE_FAILED', text, { cause })
  }
}

function record(aggregate: AnyAggregate, command: Command, event: unknown): RecordedEvent {
  const complain = (what: string): never => {
    throw new GlynError('AGGREGATE_FAILED', `${aggregate.type}: handle(${command.type}) yielded ${what}`)
  }
  if (typeof event !== 'object' || event === null)
    return complain(`${String(event)}; allowed: { type, data }`)
  const { type, data } = event as Partial<DomainEvent>
  if (typeof (event as { then?: unknown }).then === 'function') {
    return complain('a promise; allowed: events, because handle is synchronous')
  }
  if (typeof type !== 'string' || type === '') return complain('an event without a type')
  // No character takes more than three bytes, so most texts need no counting.
  if (type.length * 3 > limits.nameBytesMax && bytesOf(type) > limits.nameBytesMax) {
    return complain(`an event type of ${bytesOf(type)} bytes; allowed: ${limits.nameBytesMax}`)
  }
  if (type === forgottenEventType) return complain(`${type}, which only glyn-node itself writes`)
  const newest = currentVersion(aggregate, type)
  const { version = newest } = event as Partial<DomainEvent>
  if (!Number.isSafeInteger(version) || version < 1)
    return complain(`${type} with version ${String(version)}`)
  const misfit = misfitOf(aggregate, { type, version })
  if (misfit === 'unknown-type')
    return complain(`${type}; its events allow: ${(aggregate.events ?? []).join(', ')}`)
  if (misfit === 'unknown-version') {
    const allowed =
      newest === 1 ? '1, because it has no upcast chain' : `1 to ${newest}, as its upcast chain says`
    return complain(`${type} with version ${version}; allowed: ${allowed}`)
  }
  let text: string
  try {
    text =
      data === undefined ? '{}' : (JSON.stringify(data) ?? complain(`${type} with data that is not JSON`))
  } catch (cause) {
    return complain(`${type} with data that is not JSON: ${messageOf(cause)}`)
  }
  if (isLikeSealed(text))
    return complain(`${type} with the data ${sealedField}, a name that is kept for glyn-node`)
  if (text.length * 3 > limits.dataBytesMax && bytesOf(text) > limits.dataBytesMax) {
    throw new GlynError(
      'MESSAGE_TOO_LARGE',
      `${aggregate.type}: ${type} has ${bytesOf(text)} bytes of data; allowed: ${limits.dataBytesMax}`,
    )
  }
  return { type, version, data: text }
}

const isRejection = (decision: unknown): decision is Rejection =>
  typeof decision === 'object' && decision !== null && 'rejected' in decision && decision.rejected === true

const bytesOf = (text: string): number => new TextEncoder().encode(text).length
