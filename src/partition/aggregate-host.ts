// The aggregates of the partitions this node leads: decides commands, proposes entries, answers when they commit.
import { LRUCache } from 'lru-cache'
import { invariant } from '../core/assert.ts'
import type { Clock } from '../core/clock.ts'
import type { AggregateKey, CommandEnvelope } from '../core/command.ts'
import type { Decided } from '../core/decide.ts'
import { GlynError, hasCode, isGlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { checkAggregateKey, checkName } from '../core/names.ts'
import type { Accepted, Outcome } from '../core/outcome.ts'
import { type CommandRecord, type StoredEvent, toStoredEvents } from '../core/record.ts'
import { isSnapshotDue } from '../core/snapshot-policy.ts'
import { subjectsOf } from '../core/subjects-of.ts'
import { type Forgotten, forgetIdPrefix, forgottenEventType } from '../core/system-types.ts'
import type { ConfirmedRead, RoleChange } from '../raft/raft.ts'
import { encodeRecord } from '../store/record-codec.ts'
import type { Append, AppendResult } from '../store/shared-store.ts'
import type { LocalStore } from '../store/store.ts'
import { noCipher, type SealedRecord, type SubjectCipher } from '../store/subject-cipher.ts'
import { createActorLoader } from './actor-loader.ts'
import { type AggregateActor, actorBytes, rememberCommandId } from './aggregate-actor.ts'
import { snapshotOf } from './aggregate-snapshot.ts'
import {
  type AppendAnswer,
  byAggregate,
  duplicateOf,
  inOrder,
  opaqueAggregate,
  stateAfter,
} from './given-appends.ts'
import {
  type AggregateBinding,
  actorName,
  asRemote,
  decideOrFail,
  defaultActorsMax,
  defaultCacheBytesMax,
  defaultPendingBytesMax,
  defaultPendingMax,
  findBinding,
  refuseOverload as refusePast,
  underWayKey,
} from './host-parts.ts'
import { fromKept, keptOutcomeAggregate, keptOutcomeKey, refusalOf, toKeep } from './kept-outcome.ts'
import { notLeader, refusal, unknownOutcome } from './leader-errors.ts'
import { createLeadership, type Leadership, type PendingCommand } from './leadership.ts'
import { acceptedWith, acceptedWithoutEvents, rejectedWith, replicasAt } from './outcomes.ts'
import { createQuarantine, type Quarantine } from './quarantine.ts'
import type { RaftEngine } from './raft-engine.ts'
import { createReadBarrier } from './read-barrier.ts'
import { again, TryAgain } from './try-again.ts'

export type { AggregateBinding } from './host-parts.ts'

export interface AggregateHostInit {
  readonly engine: RaftEngine
  readonly store: LocalStore
  readonly clock: Clock
  readonly log: Log
  readonly aggregates: ReadonlyMap<string, AggregateBinding>
  /** For aggregates with a `subject`. */
  readonly cipher?: SubjectCipher
  /** Bounds of the actors that wait for their next command. */
  readonly cache?: { readonly actorsMax?: number; readonly bytesMax?: number }
  /** Commands of one node that wait for their commit or their read. */
  readonly pendingMax?: number
  /** Bytes of entries of all partitions that wait for their commit. Below what the store takes before it refuses. */
  readonly pendingBytesMax?: number
  /** One of its own when left out. */
  readonly quarantine?: Quarantine
}

export interface LoadedState {
  readonly state: unknown
  readonly sequence: number
  /** How far the partition was. */
  readonly index: number
}

export interface AggregateHost {
  /** Only on the leader: throws NOT_LEADER with `details: { leader, term }` elsewhere. */
  execute(partition: number, command: CommandEnvelope): Promise<Outcome>
  /**
   * Events that were decided elsewhere; types whose code is not loaded are welcome. One answer for each, in order. Only on
   * the leader. The caller has checked them: `node/check-append.ts`.
   */
  append(partition: number, appends: readonly Append[]): Promise<readonly AppendAnswer[]>
  /** Linearizable. Only on the leader. */
  load(partition: number, aggregate: AggregateKey): Promise<LoadedState>
  /** Linearizable. Only on the leader. */
  loadEvents(
    partition: number,
    aggregate: AggregateKey,
    range: { readonly fromSequence: number; readonly limit: number },
  ): Promise<readonly StoredEvent[]>
  /** The sequence of its last event, 0 for none; also of types whose code is not loaded. Linearizable. Only on the leader. */
  sequenceOf(partition: number, aggregate: AggregateKey): Promise<number>
  /** The events that a command id led to; none when it is unknown. Linearizable. Only on the leader. */
  readCommand(
    partition: number,
    command: { readonly aggregate: AggregateKey; readonly commandId: string },
  ): Promise<readonly StoredEvent[]>
  /** An index up to which everything is committed that was acknowledged before the call. Only on the leader. */
  head(partition: number): Promise<number>
  committed(partition: number, range: { readonly from: number; readonly to: number }): void
  roleChanged(partition: number, change: RoleChange): void
  /** Keys of these aggregates were destroyed: no state in memory may go on knowing what they opened. */
  forgetKeysOf(aggregates: readonly AggregateKey[]): void
  read(partition: number, read: ConfirmedRead): void
  /** Commands and reads under way. */
  pendingCount(): number
  /** What waits in one partition that this node leads, or of one of its aggregates. */
  pendingOf(partition: number, aggregate?: AggregateKey): PendingStatus
  /** Loads it anew for its next command, where it is kept in memory. False: it is at work just now. */
  forget?(aggregate: AggregateKey): boolean
  /** Nothing commits here any more: whoever still waits is told that the outcome is unknown. */
  stop(): void
}

export interface PendingStatus {
  /** Of commands that wait for their commit: how many, and the oldest of them. */
  readonly count: number
  readonly oldest: readonly {
    readonly aggregate: AggregateKey
    readonly commandId: string
    readonly index: number
  }[]
  readonly reads: number
}

/** Commands that a status names one by one. */
const pendingNamedMax = 10

export function createAggregateHost(init: AggregateHostInit): AggregateHost {
  const { engine, store, clock, log } = init
  const cipher = init.cipher ?? noCipher
  const pendingMax = init.pendingMax ?? defaultPendingMax
  const leaderships = new Map<number, Leadership>()
  /** What is committed and durable here, of every partition that this node holds. */
  const commitIndexes = new Map<number, number>()
  const pendingBytesMax = init.pendingBytesMax ?? defaultPendingBytesMax
  let pendingTotal = 0
  let pendingBytes = 0
  let loadsTotal = 0
  /** Grows with every call of `forgetKeysOf`. */
  let forgets = 0
  const isCurrent = (leadership: Leadership): boolean => leaderships.get(leadership.partition) === leadership
  const barrier = createReadBarrier({ engine, clock, isCurrent })
  const quarantine = init.quarantine ?? createQuarantine({ clock, log })
  const loader = quarantine.guard(createActorLoader({ store, clock }))
  const idle = new LRUCache<string, AggregateActor>({
    max: init.cache?.actorsMax ?? defaultActorsMax,
    maxSize: init.cache?.bytesMax ?? defaultCacheBytesMax,
    sizeCalculation: actorBytes,
  })

  function leadershipOf(partition: number): Leadership {
    const leadership = leaderships.get(partition)
    if (leadership?.serveFrom !== undefined && leadership.serveFrom <= leadership.commitIndex)
      return leadership
    throw notLeader(partition, engine.status(partition))
  }

  /** At once, or when its history is loaded. A promised actor is held for the caller: {@link letGo}. */
  function actorOf(
    leadership: Leadership,
    key: AggregateKey,
    binding: AggregateBinding,
  ): AggregateActor | Promise<AggregateActor> {
    const name = actorName(key)
    const active = leadership.actors.get(name)
    if (active?.isStale === true) throw tryWithoutIt(leadership, active)
    if (active !== undefined) return active
    const cached = idle.get(name)
    if (cached !== undefined && cached.term === leadership.term && cached.partition === leadership.partition)
      return cached
    const loading = leadership.loading.get(name)
    if (loading !== undefined) return held(leadership, loading)
    const { partition, term, commitIndex } = leadership
    const forgetsBefore = forgets
    const found = loader.load({ key, ...binding, partition, term, throughIndex: commitIndex, cipher }, () =>
      isCurrent(leadership),
    )
    if (!(found instanceof Promise)) {
      idle.set(name, found)
      return found
    }
    // Nothing of this aggregate is proposed meanwhile: whoever wants it waits for the same load.
    const loaded = found
      .then(actor => {
        if (actor === undefined || !isCurrent(leadership))
          throw notLeader(partition, engine.status(partition))
        if (forgets !== forgetsBefore) throw new TryAgain('something was forgotten meanwhile', async () => {})
        leadership.actors.set(name, actor)
        return actor
      })
      .finally(() => leadership.loading.delete(name))
    leadership.loading.set(name, loaded)
    return held(leadership, loaded)
  }

  async function held(leadership: Leadership, loading: Promise<AggregateActor>): Promise<AggregateActor> {
    loadsTotal += 1
    try {
      const actor = await loading
      if (!isCurrent(leadership)) throw notLeader(leadership.partition, engine.status(leadership.partition))
      actor.pending += 1
      return actor
    } finally {
      loadsTotal -= 1
    }
  }

  /** One less waits for this actor; with none left it goes to those that may be forgotten. */
  function letGo(leadership: Leadership, actor: AggregateActor): void {
    if (!isCurrent(leadership)) return
    actor.pending -= 1
    if (actor.pending > 0) return
    actor.proposedIndex = 0
    const name = actorName(actor.key)
    leadership.actors.delete(name)
    // The cache asks for the size of what it does not hold yet, and the actor has grown.
    idle.delete(name)
    if (!actor.isStale) idle.set(name, actor)
  }

  /** When all that is under way on it is settled, it is let go, and the next one is loaded without what is forgotten. */
  function tryWithoutIt(leadership: Leadership, actor: AggregateActor): TryAgain {
    return new TryAgain(`${actor.key.type} ${actor.key.id} is about to forget something`, async () => {
      const underWay = [...leadership.pending.values()].filter(pending => pending.actor === actor)
      await Promise.allSettled(underWay.map(({ promise }) => promise))
      await new Promise<void>(resolve => clock.soon(resolve))
    })
  }

  const bindingOf = (type: string): AggregateBinding => findBinding(init.aggregates, type)

  async function executeOnce(partition: number, envelope: CommandEnvelope): Promise<Outcome> {
    checkAggregateKey(envelope.aggregate)
    checkName('command id', envelope.commandId)
    const { type } = envelope.aggregate
    // A type whose file is gone forgets all the same: that asks nothing of its code.
    const binding = envelope.commandId.startsWith(forgetIdPrefix) ? bindingOrOpaque(type) : bindingOf(type)
    const leadership = leadershipOf(partition)
    refuseOverload()
    let loaded: AggregateActor
    try {
      const actor = actorOf(leadership, envelope.aggregate, binding)
      if (!(actor instanceof Promise)) return await executeOn(leadership, actor, envelope)
      loaded = await actor
    } catch (error) {
      // A command that was accepted keeps its outcome, also when its events cannot be read any more.
      if (!hasCode(error, 'AGGREGATE_QUARANTINED') || !isCurrent(leadership)) throw error
      const first = storedOutcome(leadership, envelope.aggregate, envelope.commandId)
      if (first === undefined) throw error
      return first
    }
    try {
      return await executeOn(leadership, loaded, envelope)
    } finally {
      letGo(leadership, loaded)
    }
  }

  async function executeOn(
    leadership: Leadership,
    actor: AggregateActor,
    envelope: CommandEnvelope,
  ): Promise<Outcome> {
    const { partition } = leadership
    const same = leadership.underWay.get(underWayKey(actor.key, envelope.commandId))
    if (same !== undefined) {
      const outcome = await same.promise
      return outcome.type === 'accepted' ? { ...outcome, replayed: true } : outcome
    }
    const first = firstOutcome(leadership, actor, envelope.commandId)
    if (first !== undefined) return first
    const keeper = envelope.keepsOutcome === true ? keeperOf(leadership, envelope) : undefined
    const kept = keeper === undefined ? undefined : keptBy(leadership, keeper, envelope.commandId)
    if (kept !== undefined) return fromKept(await kept, envelope)
    const decided = envelope.commandId.startsWith(forgetIdPrefix)
      ? tellForgotten(actor, envelope.command.data as Forgotten)
      : decideOrFail(actor.definition, actor.proposedState, envelope)
    if (decided.type === 'failed' || decided.type === 'rejected' || decided.events.length === 0) {
      if (keeper !== undefined && decided.type !== 'failed') {
        const keeping = toKeep(decided, actor.proposedSequence)
        return fromKept(await proposeDecided(leadership, keeper, envelope, keeping).promise, envelope)
      }
      // Nothing to store, but the answer speaks of a state: it must be the state of a leader, and a committed one.
      await barrier.pass(leadership, actor.proposedIndex)
      if (decided.type === 'failed') throw decided.error
      if (decided.type === 'rejected') return rejectedWith(decided.rejection, envelope.commandId)
      const { commitIndex } = leadership
      const replicas = replicasAt(engine.status(partition), commitIndex)
      return acceptedWithoutEvents(envelope, {
        sequence: actor.committedSequence,
        position: { partition, index: commitIndex },
        replicas,
      })
    }
    try {
      return await proposeDecided(leadership, actor, envelope, decided).promise
    } catch (error) {
      // Events that fit no entry together are refused like one that is too large by itself.
      const rejection = keeper === undefined ? undefined : refusalOf(error)
      if (keeper === undefined || rejection === undefined) throw error
      const keeping = toKeep({ type: 'rejected', rejection }, actor.proposedSequence)
      return fromKept(await proposeDecided(leadership, keeper, envelope, keeping).promise, envelope)
    }
  }

  async function append(partition: number, appends: readonly Append[]): Promise<readonly AppendAnswer[]> {
    const leadership = leadershipOf(partition)
    const answers: AppendAnswer[] = []
    await Promise.all(
      byAggregate(appends).map(async group => {
        const [first] = group
        invariant(first !== undefined, 'a group has members')
        try {
          refuseOverload()
          const { aggregate } = first.append
          await prepareKeys(
            leadership,
            group.map(one => one.append),
          )
          const found = actorOf(leadership, aggregate, bindingOrOpaque(aggregate.type))
          const actor = found instanceof Promise ? await found : found
          const answered = inOrder(group, one => appendOne(leadership, actor, one))
          if (found instanceof Promise) letGo(leadership, actor)
          for (const { place, answer } of await answered) answers[place] = answer
        } catch (thrown) {
          const error = thrown instanceof TryAgain ? new GlynError('UNAVAILABLE', thrown.message) : thrown
          if (!isGlynError(error)) throw error
          for (const { place } of group) answers[place] = { type: 'failed', error }
        }
      }),
    )
    return answers
  }

  /** Appends of one aggregate are proposed at once: what they need is there before. */
  async function prepareKeys({ partition }: Leadership, appends: readonly Append[]): Promise<void> {
    const [first] = appends
    const definition = first === undefined ? undefined : init.aggregates.get(first.aggregate.type)?.definition
    if (first === undefined || definition?.subject === undefined) return
    const { aggregate } = first
    const subjects = appends.flatMap(({ events }) => subjectsOf(definition, aggregate.id, events))
    const wanted = [...new Set(subjects)].filter(subject => subject !== undefined)
    if (wanted.length > 0) await cipher.prepare(partition, aggregate, wanted)
  }

  /** What is to be proposed is proposed at once, so that appends of one aggregate stay in their order. */
  function appendOne(leadership: Leadership, actor: AggregateActor, given: Append): Promise<AppendResult> {
    const { commandId, expectedSequence, events } = given
    const same = leadership.underWay.get(underWayKey(actor.key, commandId))
    if (same !== undefined) {
      return same.promise.then(outcome => {
        invariant(outcome.type === 'accepted', 'what was proposed is never refused')
        return duplicateOf(toStoredEvents(same.record, outcome.position))
      })
    }
    const first = firstRows(leadership, actor, commandId)
    if (first.length > 0) return Promise.resolve(duplicateOf(first))
    const sequence = actor.proposedSequence
    if (expectedSequence !== sequence) {
      // This speaks of a state, too: it must be the state of a leader, and a committed one.
      return barrier.pass(leadership, actor.proposedIndex).then(() => ({ type: 'conflict', sequence }))
    }
    refuseOverload()
    const state = stateAfter(actor.definition, actor.proposedState, events)
    const { promise } = propose(leadership, actor, {
      commandId,
      timeMs: given.timeMs,
      metadata: given.metadata,
      events,
      stateAfter: state,
      name: `the append ${commandId}`,
    })
    return promise.then(outcome => {
      invariant(outcome.type === 'accepted', 'what was proposed is never refused')
      return { type: 'appended', index: outcome.position.index }
    })
  }

  const bindingOrOpaque = (type: string): AggregateBinding =>
    init.aggregates.get(type) ?? { definition: opaqueAggregate, definitionId: '' }

  /** Where the outcome of this command is kept when it has no events. */
  function keeperOf(leadership: Leadership, { commandId }: CommandEnvelope): AggregateActor {
    const binding = { definition: keptOutcomeAggregate, definitionId: '' }
    const keeper = actorOf(leadership, keptOutcomeKey(commandId), binding)
    invariant(!(keeper instanceof Promise), 'one event is loaded at once')
    return keeper
  }

  function keptBy(
    leadership: Leadership,
    keeper: AggregateActor,
    commandId: string,
  ): Promise<Outcome> | undefined {
    const same = leadership.underWay.get(underWayKey(keeper.key, commandId))
    if (same !== undefined) return same.promise
    const first = firstOutcome(leadership, keeper, commandId)
    return first === undefined ? undefined : Promise.resolve(first)
  }

  const refuseOverload = (): void =>
    refusePast(
      { underWay: pendingTotal + barrier.count() + loadsTotal, bytes: pendingBytes },
      { underWay: pendingMax, bytes: pendingBytesMax },
    )

  function proposeDecided(
    leadership: Leadership,
    actor: AggregateActor,
    envelope: CommandEnvelope,
    decided: Extract<Decided, { type: 'accepted' }>,
  ): PendingCommand {
    return propose(leadership, actor, {
      commandId: envelope.commandId,
      timeMs: clock.wallTime(),
      metadata: JSON.stringify(envelope.metadata),
      events: decided.events,
      stateAfter: decided.state,
      name: envelope.command.type,
    })
  }

  function propose(
    leadership: Leadership,
    actor: AggregateActor,
    proposal: Pick<CommandRecord, 'commandId' | 'timeMs' | 'metadata' | 'events'> & {
      readonly stateAfter: unknown
      /** For people. */
      readonly name: string
    },
  ): PendingCommand {
    const { stateAfter, name, ...rest } = proposal
    const record: CommandRecord = {
      aggregate: actor.key,
      firstSequence: actor.proposedSequence + 1,
      ...rest,
    }
    const sealed = sealRecordOf(leadership, actor, record)
    const payload = encodeRecord(sealed.record)
    if (payload.length > limits.entryBytesMax) {
      const text = `${actor.key.type}: ${name} yields ${payload.length} bytes; allowed: ${limits.entryBytesMax}`
      throw new GlynError('MESSAGE_TOO_LARGE', text)
    }
    const raft = engine.group(leadership.partition)
    const result = raft?.propose(payload) ?? { type: 'refused', reason: 'not-leader' as const }
    if (result.type === 'refused') throw refusal(leadership.partition, result.reason)
    invariant(
      result.term === leadership.term,
      'a proposal was appended in another term than the leadership it came from',
    )
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
    const pending: PendingCommand = {
      actor,
      record,
      stateAfter,
      keys: sealed.keys,
      bytes: payload.length,
      promise,
      resolve,
      reject,
    }
    leadership.pending.set(result.index, pending)
    leadership.underWay.set(underWayKey(actor.key, record.commandId), pending)
    leadership.actors.set(actorName(actor.key), actor)
    actor.pending += 1
    actor.proposedState = stateAfter
    actor.proposedSequence += record.events.length
    actor.proposedIndex = result.index
    pendingTotal += 1
    pendingBytes += pending.bytes
    engine.touch(leadership.partition, { inFlight: pendingTotal })
    return pending
  }

  /** An aggregate without a `subject` pays nothing for those that have one. */
  function sealRecordOf(
    { partition }: Leadership,
    { definition, key }: AggregateActor,
    record: CommandRecord,
  ): SealedRecord {
    if (definition.subject === undefined) return { record, keys: [] }
    const subjects = subjectsOf(definition, key.id, record.events)
    const sealed = cipher.seal(partition, record, subjects)
    if (sealed !== undefined) return sealed
    const wanted = [...new Set(subjects)].filter(subject => subject !== undefined)
    throw new TryAgain(`${key.type} ${key.id}: its keys are not durable yet`, () =>
      cipher.prepare(partition, key, wanted),
    )
  }

  function committed(partition: number, range: { readonly from: number; readonly to: number }): void {
    commitIndexes.set(partition, range.to)
    const leadership = leaderships.get(partition)
    if (leadership === undefined) return
    leadership.commitIndex = range.to
    if (leadership.pending.size > 0) settle(leadership, range)
    barrier.committed(leadership)
  }

  function settle(leadership: Leadership, range: { readonly from: number; readonly to: number }): void {
    const status = engine.status(leadership.partition)
    const matches =
      status === undefined
        ? []
        : status.progress.filter(({ id }) => id !== engine.id).map(({ match }) => match)
    for (let index = range.from; index <= range.to; index += 1) {
      const pending = leadership.pending.get(index)
      if (pending === undefined) continue
      leadership.pending.delete(index)
      leadership.underWay.delete(underWayKey(pending.actor.key, pending.record.commandId))
      pendingTotal -= 1
      pendingBytes -= pending.bytes
      advance(leadership, pending, index)
      const replicas = 1 + matches.filter(match => match >= index).length
      const rows = withKeys(
        toStoredEvents(pending.record, { partition: leadership.partition, index }),
        pending.keys,
      )
      pending.resolve(acceptedWith(rows, { replicas, isReplayed: false }))
    }
  }

  function advance(leadership: Leadership, pending: PendingCommand, index: number): void {
    const { actor, record } = pending
    const from = actor.committedSequence
    actor.committedState = pending.stateAfter
    actor.committedSequence = record.firstSequence + record.events.length - 1
    actor.committedIndex = index
    rememberCommandId(actor, record.commandId)
    for (const key of pending.keys) if (key !== undefined) actor.keys.add(key)
    if (isSnapshotDue(actor.definition.snapshotEvery, { from, to: actor.committedSequence })) snapshot(actor)
    letGo(leadership, actor)
  }

  function snapshot(actor: AggregateActor): void {
    const definition = init.aggregates.get(actor.key.type)?.definitionId
    if (definition === undefined) return
    const made = snapshotOf(actor, { definition, timeMs: clock.wallTime() }, log, cipher)
    if (made === undefined) return
    actor.stateBytes = made.state.length
    engine.writeSnapshot(made)
  }

  /** The outcome of a command id that is in the log already. Committed, and so true whoever leads now. */
  function firstOutcome(
    leadership: Leadership,
    actor: AggregateActor,
    commandId: string,
  ): Accepted | undefined {
    return outcomeOf(leadership, firstRows(leadership, actor, commandId))
  }

  /** The same for an aggregate that has no actor, because its history does not fit its code. */
  function storedOutcome(leadership: Leadership, key: AggregateKey, commandId: string): Accepted | undefined {
    const { partition, commitIndex } = leadership
    const rows = store.readCommand(key, { partition, commandId, throughIndex: commitIndex })
    return outcomeOf(leadership, rows.map(cipher.open))
  }

  function outcomeOf(leadership: Leadership, rows: readonly StoredEvent[]): Accepted | undefined {
    const last = rows.at(-1)
    if (last === undefined) return undefined
    const replicas = replicasAt(engine.status(leadership.partition), last.index)
    return acceptedWith(rows, { replicas, isReplayed: true })
  }

  /** The events of a command id that are in the log already; none when it is unknown. */
  function firstRows(
    leadership: Leadership,
    actor: AggregateActor,
    commandId: string,
  ): readonly StoredEvent[] {
    if (!actor.commandIds.has(commandId) && actor.knowsAllCommandIds) return []
    const { partition, commitIndex } = leadership
    return store.readCommand(actor.key, { partition, commandId, throughIndex: commitIndex }).map(cipher.open)
  }

  function roleChanged(partition: number, change: RoleChange): void {
    const current = leaderships.get(partition)
    const isSameLeadership = current !== undefined && change.role === 'leader' && change.term === current.term
    if (current !== undefined && !isSameLeadership) loseLeadership(current)
    if (change.role !== 'leader') return
    const serveFrom = change.canServe ? engine.status(partition)?.commitIndex : undefined
    if (isSameLeadership) {
      current.serveFrom ??= serveFrom
      return
    }
    const commitIndex = commitIndexes.get(partition) ?? 0
    leaderships.set(partition, createLeadership({ partition, term: change.term, serveFrom, commitIndex }))
  }

  /** Everything uncommitted is forgotten together. What became of it, the log knows: callers retry by command id. */
  function loseLeadership(leadership: Leadership): void {
    leaderships.delete(leadership.partition)
    const error = unknownOutcome(leadership.partition)
    pendingTotal -= leadership.pending.size
    for (const pending of leadership.pending.values()) {
      pendingBytes -= pending.bytes
      pending.reject(error)
    }
    for (const read of leadership.reads.values()) read.reject(error)
    for (const read of leadership.readsWaiting) read.reject(error)
    for (const name of leadership.actors.keys()) idle.delete(name)
  }

  async function loadOnce(partition: number, aggregate: AggregateKey): Promise<LoadedState> {
    checkAggregateKey(aggregate)
    const binding = bindingOf(aggregate.type)
    const leadership = leadershipOf(partition)
    refuseOverload()
    await barrier.pass(leadership)
    const found = actorOf(leadership, aggregate, binding)
    const actor = found instanceof Promise ? await found : found
    if (found instanceof Promise) letGo(leadership, actor)
    const { committedState, committedSequence } = actor
    return {
      state: asRemote(aggregate.type, committedState),
      sequence: committedSequence,
      index: leadership.commitIndex,
    }
  }

  async function loadEventsOnce(
    partition: number,
    aggregate: AggregateKey,
    range: { readonly fromSequence: number; readonly limit: number },
  ): Promise<readonly StoredEvent[]> {
    checkAggregateKey(aggregate)
    const leadership = leadershipOf(partition)
    refuseOverload()
    await barrier.pass(leadership)
    const throughIndex = leadership.commitIndex
    const found = store.readAggregate(aggregate, { partition, ...range, throughIndex })
    // A history can be read without its code; a name that is nowhere is a slip of the pen.
    if (found.length === 0) bindingOf(aggregate.type)
    return found.map(cipher.open)
  }

  async function sequenceOnce(partition: number, aggregate: AggregateKey): Promise<number> {
    checkAggregateKey(aggregate)
    const leadership = leadershipOf(partition)
    refuseOverload()
    await barrier.pass(leadership)
    const found = actorOf(leadership, aggregate, bindingOrOpaque(aggregate.type))
    const actor = found instanceof Promise ? await found : found
    if (found instanceof Promise) letGo(leadership, actor)
    return actor.committedSequence
  }

  async function readCommandOnce(
    partition: number,
    { aggregate, commandId }: { readonly aggregate: AggregateKey; readonly commandId: string },
  ): Promise<readonly StoredEvent[]> {
    checkAggregateKey(aggregate)
    const leadership = leadershipOf(partition)
    refuseOverload()
    await barrier.pass(leadership)
    const throughIndex = leadership.commitIndex
    return store.readCommand(aggregate, { partition, commandId, throughIndex }).map(cipher.open)
  }

  function forgetKeysOf(aggregates: readonly AggregateKey[]): void {
    forgets += 1
    // What does not fit may be what is forgotten.
    for (const aggregate of aggregates) quarantine.release(aggregate)
    for (const name of aggregates.map(actorName)) {
      idle.delete(name)
      for (const { actors } of leaderships.values()) {
        const active = actors.get(name)
        if (active !== undefined) active.isStale = true
      }
    }
  }

  return {
    execute: (partition, envelope) => again({ cipher, clock }, () => executeOnce(partition, envelope)),
    load: (partition, aggregate) => again({ cipher, clock }, () => loadOnce(partition, aggregate)),
    loadEvents: (partition, aggregate, range) =>
      again({ cipher, clock }, () => loadEventsOnce(partition, aggregate, range)),
    append,
    async head(partition) {
      const leadership = leadershipOf(partition)
      await barrier.pass(leadership)
      return leadership.commitIndex
    },
    sequenceOf: (partition, aggregate) => again({ cipher, clock }, () => sequenceOnce(partition, aggregate)),
    readCommand: (partition, command) => again({ cipher, clock }, () => readCommandOnce(partition, command)),
    forgetKeysOf,
    committed,
    roleChanged,
    read(partition, read) {
      const leadership = leaderships.get(partition)
      if (leadership !== undefined) barrier.confirmed(leadership, read)
    },
    stop() {
      for (const leadership of [...leaderships.values()]) loseLeadership(leadership)
    },
    pendingOf(partition, aggregate) {
      const leadership = leaderships.get(partition)
      if (leadership === undefined) return { count: 0, oldest: [], reads: 0 }
      const { reads, readsWaiting } = leadership
      // In the order in which they were proposed.
      const pending = [...leadership.pending].filter(
        ([, { actor }]) => aggregate === undefined || actorName(actor.key) === actorName(aggregate),
      )
      const oldest = pending.slice(0, pendingNamedMax).map(([index, { record }]) => ({
        aggregate: record.aggregate,
        commandId: record.commandId,
        index,
      }))
      return { count: pending.length, oldest, reads: reads.size + readsWaiting.length }
    },
    forget(aggregate) {
      const name = actorName(aggregate)
      for (const { actors, loading } of leaderships.values())
        if (actors.has(name) || loading.has(name)) return false
      idle.delete(name)
      return true
    },
    pendingCount: () => pendingTotal + barrier.count() + loadsTotal,
  }
}

/** As a later reader gets them. */
const withKeys = (
  rows: readonly StoredEvent[],
  keys: readonly (string | undefined)[],
): readonly StoredEvent[] =>
  keys.length === 0
    ? rows
    : rows.map((row, place) => {
        const key = keys[place]
        return key === undefined ? row : { ...row, key }
      })

/** Of an aggregate that has no events there is nothing to tell. */
const tellForgotten = (actor: AggregateActor, forgotten: Forgotten): Decided => ({
  type: 'accepted',
  events:
    actor.proposedSequence === 0
      ? []
      : [{ type: forgottenEventType, version: 1, data: JSON.stringify(forgotten) }],
  state: actor.proposedState,
})
