// The public library: everything that `import … from 'glyn-node'` offers. The only barrel.

export {
  type Aggregate,
  type AnyAggregate,
  type CheckedCommand,
  type CommandSchemas,
  type Decision,
  defineAggregate,
  type Rejection,
  reject,
  type SentCommand,
  type Upcast,
  type UpcastChain,
} from './core/aggregate.ts'
export type { CodeOf, CommandOf, EnvelopesOf, EventOf, OutcomeOf, StateOf } from './core/aggregate-types.ts'
export type { AggregateKey, Command, Metadata } from './core/command.ts'
export { type ErrorBody, type ErrorCode, GlynError, isGlynError } from './core/errors.ts'
export type { DomainEvent, EnvelopeOf, EventEnvelope } from './core/event.ts'
export type { EventFilter } from './core/event-filter.ts'
export type { Log, LogFields } from './core/log.ts'
export type { Accepted, Outcome, Rejected } from './core/outcome.ts'
export type { Position } from './core/position.ts'
export type { NewQueryMessage, QueryMessage } from './core/query-message.ts'
export type { RecordedEvent, StoredEvent } from './core/record.ts'
export { type Forgotten, forgottenEventType } from './core/system-types.ts'
export { tokenOf } from './core/token.ts'
export { type Client, type ConnectOptions, connect } from './http/connect.ts'
export { createNode } from './node/create-node.ts'
export { createPeerClient } from './node/create-peer-client.ts'
export type { Explanation, LeadershipChange, ReplicaExplanation } from './node/explanation.ts'
export type {
  DefinitionFilter,
  GlynNode,
  LoadEventsOptions,
  QueryOptions,
  SubscribeOptions,
  TypedCalls,
  TypedInspection,
} from './node/glyn-node.ts'
export { type GlynConfig, type GlynStore, glynStore } from './node/glyn-store.ts'
export { type InnerStore, type LocalStoreChoice, memoryStore, sqliteStore } from './node/inner-store.ts'
export type {
  AggregateSnapshot,
  AggregateStats,
  InspectionApi,
  InspectOptions,
  RebuildOptions,
  RebuiltSnapshot,
  SnapshotDifference,
  SnapshotRebuildProgress,
  SnapshotRebuildSummary,
  SystemStats,
} from './node/inspection.ts'
export type {
  ExecuteOptions,
  ForgetOptions,
  GivenAppend,
  GivenAppendResult,
  LeaveProgress,
  LoadedAggregate,
  LoadedDefinitions,
  MemberMemory,
  MemberStatus,
  NodeApi,
  NodeStatus,
  NodeSubscribers,
  PartitionStatus,
  PlacementStatus,
  PublishedMessage,
  ReadOptions,
  SubjectReport,
  Subscription,
} from './node/node-api.ts'
export type { NodeOptions } from './node/node-options.ts'
export type { ParkedApi, ParkedOptions } from './node/parked-api.ts'
export type { PeerClient, PeerClientOptions } from './node/peer-client.ts'
export type { QueriesApi } from './node/queries-api.ts'
export type { SqlApi, SqlOptions } from './node/sql-api.ts'
export type { QuarantinedAggregate, QuarantineStatus } from './partition/quarantine.ts'
export { type AnyQuery, type AnyQueryFunction, defineAnswer, defineQuery } from './query/define-query.ts'
export type { ParkedCounts } from './query/parked-entries.ts'
export type { ParkedList, ParkedOutcome, ParkedSelection, ParkedSummary } from './query/parked-operations.ts'
export type {
  Answer,
  AnswerWithSchema,
  AnyAnswers,
  BuildProgress,
  MessageCounts,
  QueryAnswers,
  QueryBuild,
  QueryDefinition,
  QueryFunction,
  QueryParameters,
  QueryState,
  QueryStatus,
} from './query/query.ts'
export type { AnswerOf, JsonOf, ParametersOf, QuestionOf } from './query/query-types.ts'
export type { SqlAnswer, SqlValue } from './query/sql-limits.ts'
export {
  type After,
  after,
  type CancelTimer,
  cancel,
  type End,
  end,
  type ProcessAction,
  type Send,
  send,
} from './reaction/actions.ts'
export {
  type AnyHandler,
  type AnyHandlerFunction,
  defineHandler,
  type HandlerContext,
  type HandlerDefinition,
  type HandlerFunction,
} from './reaction/define-handler.ts'
export {
  type AnyProcess,
  defineProcess,
  type ProcessDefinition,
  type ProcessReaction,
  type ProcessRejection,
} from './reaction/define-process.ts'
export type { LastError } from './reaction/reaction.ts'
export type { ReactionStatus } from './reaction/reactions.ts'
export { checkAppends } from './store/check-append.ts'
export type { PostgresOptions } from './store/postgres/postgres-options.ts'
export { postgresStore } from './store/postgres/postgres-store.ts'
export type {
  Append,
  AppendOptions,
  AppendResult,
  SharedSnapshot,
  SharedStatistics,
  SharedStore,
  StoreBinding,
} from './store/shared-store.ts'
export { sharedSqliteStore } from './store/sqlite/shared/shared-sqlite-store.ts'
