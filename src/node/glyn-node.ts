// A node as the library hands it out: everything that it does by name, it does by definition too, and then with exact types.

import type { AnyAggregate } from '../core/aggregate.ts'
import type { CommandOf, EnvelopesOf, EventOf, OutcomeOf, StateOf } from '../core/aggregate-types.ts'
import type { Command } from '../core/command.ts'
import type { EventEnvelope } from '../core/event.ts'
import type { EventFilter } from '../core/event-filter.ts'
import type { Outcome } from '../core/outcome.ts'
import type { AnyQuery } from '../query/define-query.ts'
import type { AnswerOf, ParametersOf, QuestionOf } from '../query/query-types.ts'
import type { AggregateSnapshot, AggregateStats } from './inspection.ts'
import type { ExecuteOptions, LoadedAggregate, NodeApi, ReadOptions, Subscription } from './node-api.ts'

/** Which events of an aggregate, or of none, and how many. */
export interface LoadEventsOptions extends ReadOptions {
  /** The first sequence; 1 when left out. */
  readonly fromSequence?: number
  /** At most so many; 1000 when left out. */
  readonly limit?: number
}

/** How a query is asked. */
export interface QueryOptions extends ReadOptions {
  /** A token of a command: the answer includes what that command did. */
  readonly after?: string
}

/** Where a subscription begins and ends. */
export interface SubscribeOptions {
  /** `start`, `now` (the moment of the call), or a token. */
  readonly from: 'start' | 'now' | (string & {})
  /**
   * `now`: ends after what was committed at the call, as far as the node knew. A token: when that is reached. Left out: it goes
   * on until `signal`, `break`, or the node closes.
   */
  readonly until?: 'now' | (string & {})
  readonly signal?: AbortSignal
}

/** Events of these aggregates; of these types only, when they are given. */
export interface DefinitionFilter<
  Definition extends AnyAggregate,
  Type extends EventOf<Definition>['type'] = EventOf<Definition>['type'],
> {
  /** Definitions; their `type` counts. One at least. */
  readonly aggregates: readonly Definition[]
  readonly eventTypes?: readonly Type[]
}

/** What a node and a client both do, by definition or by name. */
export interface TypedCalls {
  /**
   * Sends a command and waits until its outcome is durable. Throws GlynError; a rejection by the domain is an outcome. The
   * definition tells the types of the command, of the events and of the codes of rejections.
   */
  execute<Definition extends AnyAggregate>(
    aggregate: Definition,
    id: string,
    command: CommandOf<Definition>,
    options?: ExecuteOptions,
  ): Promise<OutcomeOf<Definition>>
  /** The same, by the name of the aggregate type. */
  execute(type: string, id: string, command: Command, options?: ExecuteOptions): Promise<Outcome>

  /** The state of an aggregate, with every command in it that was acknowledged before the call. */
  loadAggregate<Definition extends AnyAggregate>(
    aggregate: Definition,
    id: string,
    options?: ReadOptions,
  ): Promise<LoadedAggregate<StateOf<Definition>>>
  /** The same, by the name of the aggregate type. */
  loadAggregate(type: string, id: string, options?: ReadOptions): Promise<LoadedAggregate>

  /** Events of an aggregate by sequence, with every command in them that was acknowledged before the call. */
  loadEvents<Definition extends AnyAggregate>(
    aggregate: Definition,
    id: string,
    options?: LoadEventsOptions,
  ): Promise<readonly EnvelopesOf<Definition>[]>
  /** The same, by the name of the aggregate type. */
  loadEvents(type: string, id: string, options?: LoadEventsOptions): Promise<readonly EventEnvelope[]>

  /**
   * Asks a query of this node. With `after` the answer includes what the command did whose token it is. Throws
   * QUERY_LAGGING when the time is up before, UNKNOWN_QUERY, UNKNOWN_QUESTION, INVALID_ARGUMENT for parameters that do not
   * fit, and QUERY_FAILED.
   */
  query<Definition extends AnyQuery, Question extends QuestionOf<Definition>>(
    query: Definition,
    question: Question,
    parameters: ParametersOf<Definition, Question>,
    options?: QueryOptions,
  ): Promise<AnswerOf<Definition, Question>>
  /** The same, by the name of the query. */
  query(
    name: string,
    question: string,
    parameters: Readonly<Record<string, unknown>>,
    options?: QueryOptions,
  ): Promise<unknown>

  /**
   * Committed events of these aggregates, of each partition in order, once through: `for await (const event of …)`. See
   * {@link SubscribeOptions}. Throws INVALID_ARGUMENT for a token of another cluster and for a filter that is none.
   */
  subscribe<
    Definition extends AnyAggregate,
    Type extends EventOf<Definition>['type'] = EventOf<Definition>['type'],
  >(
    options: SubscribeOptions & { readonly filter: DefinitionFilter<Definition, Type> },
  ): Subscription<Extract<EnvelopesOf<Definition>, { readonly type: Type }>>
  /** The same, by the names of aggregate types; of all events without a filter. */
  subscribe(options: SubscribeOptions & { readonly filter?: EventFilter }): Subscription
}

/** What a node tells of one aggregate beside its state, by definition or by name. */
export interface TypedInspection {
  /** The newest snapshot of an aggregate, with its state; null when there is none. */
  latestSnapshot<Definition extends AnyAggregate>(
    aggregate: Definition,
    id: string,
    options?: ReadOptions,
  ): Promise<AggregateSnapshot<StateOf<Definition>> | null>
  /** The same, by the name of the aggregate type. */
  latestSnapshot(type: string, id: string, options?: ReadOptions): Promise<AggregateSnapshot | null>
  /** Counts of one aggregate. */
  aggregateStats(aggregate: AnyAggregate | string, id: string, options?: ReadOptions): Promise<AggregateStats>
}

/** What `createNode` resolves with. */
export interface GlynNode
  extends Omit<NodeApi, keyof TypedCalls | keyof TypedInspection>,
    TypedCalls,
    TypedInspection {}

/** A node by names, with what takes definitions. */
export function toGlynNode(node: NodeApi): GlynNode {
  const inspection = {
    latestSnapshot: (aggregate: Named, id: string, options?: ReadOptions) =>
      node.latestSnapshot(typeOf(aggregate), id, options),
    aggregateStats: (aggregate: Named, id: string, options?: ReadOptions) =>
      node.aggregateStats(typeOf(aggregate), id, options),
  }
  return { ...withDefinitions(node), ...(inspection as TypedInspection) }
}

/** The calls of {@link TypedCalls} by name only. */
export type NamedCalls = Pick<NodeApi, keyof TypedCalls>

/** The same object, and each call takes a definition where it takes a name. */
export function withDefinitions<Calls extends NamedCalls>(
  calls: Calls,
): Omit<Calls, keyof TypedCalls> & TypedCalls {
  const typed = {
    execute: (aggregate: Named, id: string, command: Command, options?: ExecuteOptions) =>
      calls.execute(typeOf(aggregate), id, command, options),
    loadAggregate: (aggregate: Named, id: string, options?: ReadOptions) =>
      calls.loadAggregate(typeOf(aggregate), id, options),
    loadEvents: (aggregate: Named, id: string, options?: LoadEventsOptions) =>
      calls.loadEvents(typeOf(aggregate), id, options),
    query: (
      query: string | AnyQuery,
      question: string,
      parameters: Readonly<Record<string, unknown>>,
      options?: QueryOptions,
    ) => calls.query(nameOf(query), question, parameters, options),
    subscribe: (options: SubscribeOptions & { readonly filter?: AnyFilter }) =>
      calls.subscribe(named(options)),
  }
  // The compiler knows what a definition decides, data decides what runs: nothing at run time tells one from the other.
  return { ...calls, ...(typed as unknown as TypedCalls) }
}

type Named = string | AnyAggregate
type AnyFilter = EventFilter | DefinitionFilter<AnyAggregate>

/** What is neither is left to the checks of the call, which name it. */
const typeOf = (aggregate: Named): string =>
  typeof aggregate === 'object' && aggregate !== null ? aggregate.type : aggregate

const nameOf = (query: string | AnyQuery): string =>
  typeof query === 'object' && query !== null ? query.name : query

function named({
  filter,
  ...options
}: SubscribeOptions & { readonly filter?: AnyFilter }): Parameters<NodeApi['subscribe']>[0] {
  if (filter === undefined) return options
  if (!('aggregates' in filter)) return { ...options, filter }
  const { aggregates, ...others } = filter
  return { ...options, filter: { ...others, aggregateTypes: aggregates.map(typeOf) } }
}
