// What a query file may export, checked; and both forms as one.
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { GlynError } from '../core/errors.ts'
import type { DomainEvent } from '../core/event.ts'
import type { AnswerWithSchema, AnyAnswers, QueryAnswers, QueryDefinition, QueryFunction } from './query.ts'

/** Any query of the full form: every definition can be given where this is asked for. */
export type AnyQuery = QueryDefinition
/** Any query of the function form. */
export type AnyQueryFunction = QueryFunction

/**
 * Gives an answer the types of its schema: `top: defineAnswer({ parameters: z.object({ … }), answer: (db, { limit }) => … })`.
 * Changes nothing.
 */
export const defineAnswer = <Schema extends StandardSchemaV1, Result>(
  answer: AnswerWithSchema<Schema, Result>,
): AnswerWithSchema<Schema, Result> => answer

/**
 * Checks the definition and returns it, typed: events from the second parameter of `handle` (`events: readonly
 * EnvelopesOf<typeof bankAccount>[]`), questions, their parameters and their answers from `answer`. With the one type
 * argument `<Event>` the events are typed, and the questions are not. Throws INVALID_ARGUMENT that names the field.
 */
export function defineQuery<Event extends DomainEvent, Answers extends QueryAnswers>(
  definition: QueryDefinition<Event, Answers>,
): QueryDefinition<Event, KnownAnswers<Answers>>
export function defineQuery<Event extends DomainEvent, Answers extends AnyAnswers>(
  definition: QueryDefinition<Event, Answers>,
): QueryDefinition<Event, KnownAnswers<Answers>>
export function defineQuery<Event extends DomainEvent = DomainEvent>(
  definition: QueryDefinition<Event, QueryAnswers>,
): QueryDefinition<Event>
export function defineQuery<Event extends DomainEvent = DomainEvent>(
  definition: QueryDefinition<Event>,
): QueryDefinition<Event>
export function defineQuery(definition: AnyQuery): AnyQuery {
  checkQuery(definition)
  return definition
}

/** Where nothing was inferred there are no questions. */
export type KnownAnswers<Answers extends AnyAnswers> = string extends keyof Answers ? NoAnswers : Answers

/** Of a query that answers nothing. */
export type NoAnswers = Readonly<Record<never, never>>

/** Throws INVALID_ARGUMENT unless `value` has the full form of a query. */
export function checkQuery(value: unknown): asserts value is AnyQuery {
  if (typeof value !== 'object' || value === null) {
    throw invalid(
      'the definition',
      value,
      'an object { name, handle, … } or a function (aggregateId, events) => …',
    )
  }
  const { name, version, filter, init, handle, onMessage, answer } = value as Record<string, unknown>
  checkQueryName(name)
  if (version !== undefined && !(Number.isSafeInteger(version) && (version as number) > 0)) {
    throw invalid('version', version, 'a positive integer')
  }
  if (typeof handle !== 'function')
    throw invalid('handle', handle, 'a function (aggregateId, events, { db })')
  if (isAsync(handle)) {
    throw invalid(
      'handle',
      'an async function',
      'a synchronous one, because a transaction is open; the function form may be async',
    )
  }
  if (init !== undefined && typeof init !== 'function')
    throw invalid('init', init, 'a synchronous function (db)')
  if (init !== undefined && isAsync(init as () => void)) {
    throw invalid('init', 'an async function', 'a synchronous function (db)')
  }
  if (onMessage !== undefined && (typeof onMessage !== 'function' || isAsync(onMessage))) {
    const found = typeof onMessage === 'function' ? 'an async function' : onMessage
    throw invalid('onMessage', found, 'a synchronous function (message, { db })')
  }
  checkFilter(filter)
  checkAnswers(answer)
  checkFailing(value)
}

const attemptsDefault = 5
/** Beyond it, nobody would hear of a failure for hours. */
const attemptsMax = 100

/** A query of either form. The function form bears the name of its file, or its own. */
export interface NormalQuery {
  readonly name: string
  readonly version: number
  readonly form: 'definition' | 'function'
  readonly definition: AnyQuery | null
  readonly call: AnyQueryFunction | null
  readonly questions: readonly string[]
  readonly onError: 'retry' | 'park' | 'stop'
  /** Before an entry is parked. */
  readonly attempts: number
  readonly afterParked: 'hold' | 'handle'
}

/** Throws INVALID_ARGUMENT for what is no query. `name` is for the function form. */
export function normalizeQuery(value: unknown, name?: string): NormalQuery {
  if (typeof value === 'function') {
    const own = name ?? value.name
    checkQueryName(own)
    const call = value as AnyQueryFunction
    return {
      name: own,
      version: 1,
      form: 'function',
      definition: null,
      call,
      questions: [],
      onError: 'retry',
      attempts: attemptsDefault,
      afterParked: 'hold',
    }
  }
  checkQuery(value)
  return {
    name: value.name,
    version: value.version ?? 1,
    form: 'definition',
    definition: value,
    call: null,
    questions: Object.keys(value.answer ?? {}),
    onError: value.onError ?? 'retry',
    attempts: value.attempts ?? attemptsDefault,
    afterParked: value.afterParked ?? 'hold',
  }
}

/** What may name a query: it is also the name of a file. */
export const queryNamePattern = /^[a-z0-9][a-z0-9_-]{0,63}$/

function checkQueryName(name: unknown): asserts name is string {
  if (typeof name === 'string' && queryNamePattern.test(name)) return
  const allowed = 'lower-case letters, digits, - and _, starting with a letter or digit, at most 64'
  throw invalid('name', name, allowed)
}

function checkFilter(filter: unknown): void {
  if (filter === undefined) return
  if (typeof filter !== 'object' || filter === null) {
    throw invalid('filter', filter, '{ aggregateTypes?, eventTypes? }')
  }
  for (const [field, names] of Object.entries(filter)) {
    if (field !== 'aggregateTypes' && field !== 'eventTypes') {
      throw invalid(`filter.${field}`, names, 'aggregateTypes, eventTypes')
    }
    if (names !== undefined && !(Array.isArray(names) && names.every(name => typeof name === 'string'))) {
      throw invalid(`filter.${field}`, names, 'a list of names')
    }
  }
}

function checkAnswers(answer: unknown): void {
  if (answer === undefined) return
  if (typeof answer !== 'object' || answer === null) throw invalid('answer', answer, 'functions by question')
  for (const [question, reply] of Object.entries(answer)) {
    if (reservedQuestions.includes(question)) {
      throw invalid(
        'answer',
        question,
        `any name but ${reservedQuestions.join(', ')}, which mean something else`,
      )
    }
    if (typeof reply === 'function') continue
    if (typeof reply !== 'object' || reply === null) {
      throw invalid(
        `answer.${question}`,
        reply,
        'a function (db, parameters), or { parameters: schema, answer }',
      )
    }
    const { parameters, answer: own } = reply as Record<string, unknown>
    if (!isStandardSchema(parameters)) {
      throw invalid(
        `answer.${question}.parameters`,
        parameters,
        'a Standard Schema (zod, valibot, arktype …)',
      )
    }
    if (typeof own !== 'function')
      throw invalid(`answer.${question}.answer`, own, 'a function (db, parameters)')
  }
}

/** Over HTTP they would be taken for what is done with a query. */
const reservedQuestions: readonly string[] = ['parked', 'sql', 'rebuild', 'pause', 'resume']

const isStandardSchema = (value: unknown): boolean =>
  (typeof value === 'object' || typeof value === 'function') &&
  value !== null &&
  typeof (value as { readonly '~standard'?: { readonly validate?: unknown } })['~standard']?.validate ===
    'function'

function checkFailing(definition: object): void {
  const { onError, attempts, afterParked } = definition as Record<string, unknown>
  const isOneOf = (value: unknown, allowed: readonly string[]): boolean =>
    value === undefined || allowed.includes(value as string)
  if (!isOneOf(onError, ['retry', 'park', 'stop'])) throw invalid('onError', onError, 'retry, park, stop')
  const isCount = Number.isSafeInteger(attempts) && (attempts as number) > 0
  if (attempts !== undefined && !(isCount && (attempts as number) <= attemptsMax)) {
    throw invalid('attempts', attempts, `an integer from 1 to ${attemptsMax}`)
  }
  if (!isOneOf(afterParked, ['hold', 'handle'])) throw invalid('afterParked', afterParked, 'hold, handle')
  for (const [field, value] of Object.entries({ attempts, afterParked })) {
    if (value !== undefined && onError !== 'park') throw invalid(field, value, `only with onError: 'park'`)
  }
}

const isAsync = (action: { readonly constructor: { readonly name: string } }): boolean =>
  action.constructor.name === 'AsyncFunction'

function invalid(field: string, found: unknown, allowed: string): GlynError {
  const shown =
    found === undefined
      ? 'missing'
      : typeof found === 'function'
        ? 'a function'
        : (JSON.stringify(found) ?? String(found))
  return new GlynError('INVALID_ARGUMENT', `query: ${field} is ${shown}; allowed: ${allowed}`)
}
