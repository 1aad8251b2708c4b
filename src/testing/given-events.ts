// Given events, an answer: a query is tested on a real read model in memory, with the code that a node runs.
import { AssertionError, deepStrictEqual } from 'node:assert'
import type { AnyAggregate } from '../core/aggregate.ts'
import type { EventOf } from '../core/aggregate-types.ts'
import type { AggregateKey, Metadata } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import type { EventEnvelope } from '../core/event.ts'
import { answerQuestion } from '../query/answer-question.ts'
import { applyBatch } from '../query/apply-batch.ts'
import { type AnyQuery, type NormalQuery, normalizeQuery } from '../query/define-query.ts'
import { entriesOf, groupByAggregate } from '../query/event-groups.ts'
import type { AnswerOf, ParametersOf, QuestionOf } from '../query/query-types.ts'
import { openReadModel, type ReadModel } from '../query/read-model.ts'

/** An event as a query meets it; what is left out is filled in. */
export interface QueryEvent {
  readonly aggregate: AggregateKey
  readonly type: string
  readonly data: unknown
  /** 1 when left out. */
  readonly version?: number
  readonly metadata?: Metadata
  /** ISO 8601. The beginning of 2026, a second later for each event, when left out. */
  readonly time?: string
  /** Events of one command rest in one entry: neighbours of one aggregate with the same id do. One of its own when left out. */
  readonly commandId?: string
}

/** A query that has seen events. */
export interface GivenEvents<Definition extends AnyQuery> {
  /** Asks a question as a node does: parameters checked, nothing written, the answer through JSON. Throws what a node throws. */
  answer<Question extends QuestionOf<Definition>>(
    question: Question,
    parameters: ParametersOf<Definition, Question>,
  ): Promise<AnswerOf<Definition, Question>>
  /** The answer is this. Rejects with AssertionError that shows the difference. */
  thenAnswer<Question extends QuestionOf<Definition>>(
    question: Question,
    parameters: ParametersOf<Definition, Question>,
    expected: AnswerOf<Definition, Question>,
  ): Promise<void>
  /**
   * The read model comes out the same however the events arrive: all at once, one command at a time, each one again after
   * it was handled and rolled back (as after a crash), and in a rebuild. What a query keeps outside of its `db` fails here.
   * Rejects with AssertionError that shows how the tables differ.
   */
  thenRedeliveryChangesNothing(): Promise<void>
}

/** Events of one aggregate, for {@link givenEvents}. */
export function eventsOf<Definition extends AnyAggregate>(
  aggregate: Definition,
  id: string,
  events: readonly EventOf<Definition>[],
): readonly QueryEvent[] {
  return events.map(event => ({ ...event, aggregate: { type: aggregate.type, id } }))
}

/**
 * A query that has seen these events, in a read model in memory. Throws INVALID_ARGUMENT for what is no query of the full
 * form. When `handle` throws, the calls reject with QUERY_FAILED that names the event and has the error as its cause.
 */
export function givenEvents<Definition extends AnyQuery>(
  query: Definition,
  events: readonly QueryEvent[],
): GivenEvents<Definition> {
  if (typeof query === 'function') {
    throw new GlynError(
      'INVALID_ARGUMENT',
      'givenEvents: the query is a function, which has no read model; call it with the events',
    )
  }
  const normal = normalizeQuery(query)
  const envelopes = toEnvelopes(events)
  const ask = async (question: string, parameters: unknown): Promise<unknown> => {
    if (!normal.questions.includes(question)) {
      throw new GlynError(
        'UNKNOWN_QUESTION',
        `query ${normal.name} has no question ${JSON.stringify(question)}; allowed: ${normal.questions.join(', ')}`,
      )
    }
    return await withModel(normal, async model => {
      await handleAll(normal, model, [envelopes])
      const given = throughJson(parameters ?? {})
      return JSON.parse(
        await answerQuestion({ query: normal, model: () => model }, { question, parameters: given }),
      ) as unknown
    })
  }
  const self: GivenEvents<Definition> = {
    answer: async (question, parameters) =>
      (await ask(question, parameters)) as AnswerOf<Definition, typeof question>,
    async thenAnswer(question, parameters, expected) {
      const found = await ask(question, parameters)
      compare(found, throughJson(expected ?? null), `what ${normal.name} answers to ${question}`)
    },
    async thenRedeliveryChangesNothing() {
      const entries = groupByAggregate(envelopes)
        .flatMap(entriesOf)
        .map(({ events: own }) => own)
      const first = await tablesAfter(normal, model => handleAll(normal, model, [envelopes]))
      const ways: Readonly<Record<string, (model: ReadModel) => Promise<void>>> = {
        'built again from the first event': model => handleAll(normal, model, [envelopes]),
        'told one command at a time': model => handleAll(normal, model, entries),
        'told each command again after a crash': model => handleTwice(normal, model, entries),
      }
      for (const [way, handle] of Object.entries(ways)) {
        compare(await tablesAfter(normal, handle), first, `the read model of ${normal.name}, ${way},`)
      }
    },
  }
  return self
}

const partition = 1
/** Nothing stops a batch here but its end. */
const budget = { now: () => 0, batchMs: 1 }
/** No query parks here: what fails is told. */
const parkedMax = 0

async function withModel<Result>(
  query: NormalQuery,
  use: (model: ReadModel) => Promise<Result>,
): Promise<Result> {
  const identity = { name: query.name, version: query.version, contentHash: 'given', history: 'given' }
  const { model } = openReadModel(':memory:', identity)
  try {
    query.definition?.init?.(model.db)
    return await use(model)
  } finally {
    model.close()
  }
}

async function handleAll(
  query: NormalQuery,
  model: ReadModel,
  batches: readonly (readonly EventEnvelope[])[],
): Promise<void> {
  for (const events of batches) {
    const throughIndex = events.at(-1)?.position.index
    if (throughIndex === undefined) continue
    const run = { query, model, budget, parkedMax, time: () => new Date(0).toISOString() }
    const { index, failure } = await applyBatch(run, { partition, events, throughIndex })
    if (failure === null) continue
    const event = events.find(({ position }) => position.index > index)
    const why = failure.error instanceof Error ? failure.error.message : String(failure.error)
    throw new GlynError('QUERY_FAILED', `query ${query.name}: handle failed at ${event?.id}: ${why}`, {
      cause: failure.error,
    })
  }
}

/** As a crash between `handle` and the commit leaves it: what was written is gone, and the events come again. */
async function handleTwice(
  query: NormalQuery,
  model: ReadModel,
  entries: readonly (readonly EventEnvelope[])[],
): Promise<void> {
  for (const events of entries) {
    const positions = new Map(model.positions)
    // A savepoint around it would be seen by the query; a failing commit is what a crash looks like from inside.
    const dying: ReadModel = {
      ...model,
      transaction: {
        ...model.transaction,
        commit() {
          throw new Error('the machine is gone')
        },
      },
    }
    const throughIndex = events.at(-1)?.position.index ?? 0
    const run = { query, model: dying, budget, parkedMax, time: () => new Date(0).toISOString() }
    await applyBatch(run, { partition, events, throughIndex })
    model.positions.clear()
    for (const [id, index] of positions) model.positions.set(id, index)
    await handleAll(query, model, [events])
  }
}

/** All rows of the query's own tables, in an order of their own. */
function tablesAfter(
  query: NormalQuery,
  handle: (model: ReadModel) => Promise<void>,
): Promise<Readonly<Record<string, readonly string[]>>> {
  return withModel(query, async model => {
    await handle(model)
    const names = model.db
      .prepare<[], string>(
        `select name from sqlite_master
         where type = 'table' and name not like 'glyn\\_%' escape '\\' and name not like 'sqlite\\_%' escape '\\'
         order by name`,
      )
      .pluck()
      .all()
    return Object.fromEntries(
      names.map(name => [
        name,
        model.db
          .prepare(`select * from "${name.replaceAll('"', '""')}"`)
          .all()
          .map(row =>
            JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)),
          )
          .sort(),
      ]),
    )
  })
}

function toEnvelopes(events: readonly QueryEvent[]): readonly EventEnvelope[] {
  const sequences = new Map<string, number>()
  let index = 0
  let before: QueryEvent | undefined
  return events.map((event, place) => {
    const { aggregate, type, data, version = 1, metadata = {} } = event
    const key = `${aggregate.type}/${aggregate.id}`
    const sequence = (sequences.get(key) ?? 0) + 1
    sequences.set(key, sequence)
    const isSameCommand =
      event.commandId !== undefined &&
      event.commandId === before?.commandId &&
      aggregate.type === before.aggregate.type &&
      aggregate.id === before.aggregate.id
    if (!isSameCommand) index += 1
    before = event
    return {
      id: `${key}/${sequence}`,
      aggregate: { type: aggregate.type, id: aggregate.id },
      sequence,
      position: { partition, index },
      type,
      version,
      data: throughJson(data ?? {}),
      metadata,
      commandId: event.commandId ?? `command-${index}`,
      time: event.time ?? new Date(Date.UTC(2026, 0, 1, 0, 0, place)).toISOString(),
    }
  })
}

const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown

function compare(found: unknown, expected: unknown, what: string): void {
  try {
    deepStrictEqual(found, expected)
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error
    throw new AssertionError({
      message: `${what} is not what was expected:\n${error.message.split('\n').slice(1).join('\n')}`,
      actual: error.actual,
      expected: error.expected,
      operator: 'deepStrictEqual',
      stackStartFn: compare,
    })
  }
}
