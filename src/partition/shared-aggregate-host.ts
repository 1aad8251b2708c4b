// The aggregates of the partitions this node leads, where events rest in a shared store. Raft says who leads, and the store
// decides: every append carries the sequence that it was decided on, so a leader that is none any more writes nothing.
import { invariant } from '../core/assert.ts'
import type { Clock } from '../core/clock.ts'
import type { AggregateKey, CommandEnvelope } from '../core/command.ts'
import type { Decided } from '../core/decide.ts'
import { GlynError, hasCode, isGlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { checkAggregateKey, checkName } from '../core/names.ts'
import type { Outcome } from '../core/outcome.ts'
import { type CommandRecord, toStoredEvents } from '../core/record.ts'
import { isSnapshotDue } from '../core/snapshot-policy.ts'
import type { RaftStatus, RoleChange } from '../raft/raft.ts'
import type { Append, AppendResult, SharedStore } from '../store/shared-store.ts'
import { noCipher } from '../store/subject-cipher.ts'
import { rememberCommandId } from './aggregate-actor.ts'
import type { AggregateHost, LoadedState } from './aggregate-host.ts'
import { snapshotOf } from './aggregate-snapshot.ts'
import { type AppendAnswer, byAggregate, inOrder, opaqueAggregate, stateAfter } from './given-appends.ts'
import {
  type AggregateBinding,
  actorName,
  asRemote,
  decideOrFail,
  defaultPendingBytesMax,
  defaultPendingMax,
  findBinding,
  refuseOverload as refusePast,
  underWayKey,
} from './host-parts.ts'
import { fromKept, keptOutcomeKey, refusalOf, takenKept, toKeep } from './kept-outcome.ts'
import { notLeader, unknownOutcome } from './leader-errors.ts'
import { acceptedWith, acceptedWithoutEvents, rejectedWith } from './outcomes.ts'
import { createQuarantine, type Quarantine } from './quarantine.ts'
import { createSequenceCheck } from './sequence-check.ts'
import type { Proposal, ProposalAnswer, SharedActor } from './shared-actor.ts'
import { createSharedActors, createSharedLeadership, type SharedLeadership } from './shared-actors.ts'
import { type AppendUnit, createSharedAppends, type UnitAnswer } from './shared-appends.ts'
import { createSharedSnapshots } from './shared-snapshots.ts'

export interface SharedAggregateHostInit {
  readonly store: SharedStore
  readonly clock: Clock
  readonly log: Log
  readonly aggregates: ReadonlyMap<string, AggregateBinding>
  /** What Raft says of a partition: for redirects. */
  readonly statusOf: (partition: number) => RaftStatus | undefined
  /** How far a partition is, as far as this node knows. */
  readonly headOf: (partition: number) => number
  /** Something was appended at this index of the partition, and can be read. */
  readonly onAppended: (partition: number, index: number) => void
  readonly cache?: { readonly actorsMax?: number; readonly bytesMax?: number }
  /** One of its own when left out. */
  readonly quarantine?: Quarantine
  readonly pendingMax?: number
  readonly pendingBytesMax?: number
}

/** The database replicates; how often, it does not say. What is counted is the one copy that was confirmed. */
const replicas = 1
/** Times that a command is decided anew because somebody else wrote to its aggregate. */
const attemptsMax = 6
const pendingNamedMax = 10

/** What was decided is not so: decide again on another actor. */
const stale = Symbol('stale')

export function createSharedAggregateHost(init: SharedAggregateHostInit): AggregateHost {
  const { store, clock, log } = init
  const leaderships = new Map<number, SharedLeadership>()
  const isCurrent = (leadership: SharedLeadership): boolean =>
    leaderships.get(leadership.partition) === leadership
  const quarantine = init.quarantine ?? createQuarantine({ clock, log })
  const actors = createSharedActors({ store, cache: init.cache ?? {}, quarantine, isCurrent })
  const appends = createSharedAppends({ store, clock })
  const sequences = createSequenceCheck({ store, clock })
  const snapshots = createSharedSnapshots({ store, clock, log })
  const bounds = {
    underWay: init.pendingMax ?? defaultPendingMax,
    bytes: init.pendingBytesMax ?? defaultPendingBytesMax,
  }
  /** Commands, appends and reads without an answer, by partition. */
  const calls = new Map<number, number>()
  let callsTotal = 0
  let pendingBytes = 0

  function leadershipOf(partition: number): SharedLeadership {
    const leadership = leaderships.get(partition)
    if (leadership?.canServe === true) return leadership
    throw notLeader(partition, init.statusOf(partition))
  }

  const bindingOf = (type: string): AggregateBinding => findBinding(init.aggregates, type)

  /** Counts what is under way, and refuses what is too much. */
  async function counted<T>(partition: number, work: () => Promise<T>): Promise<T> {
    refusePast({ underWay: callsTotal, bytes: pendingBytes }, bounds)
    callsTotal += 1
    calls.set(partition, (calls.get(partition) ?? 0) + 1)
    try {
      return await work()
    } finally {
      callsTotal -= 1
      calls.set(partition, (calls.get(partition) ?? 1) - 1)
    }
  }

  /** Until the work is not stale. A store that fails is not asked again here: the router knows how long to wait. */
  async function onActor<T>(
    partition: number,
    aggregate: AggregateKey,
    binding: AggregateBinding,
    work: (leadership: SharedLeadership, actor: SharedActor) => Promise<T | typeof stale>,
  ): Promise<T> {
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      const leadership = leadershipOf(partition)
      const found = actors.acquire(leadership, aggregate, binding)
      const actor = found instanceof Promise ? await found : found
      try {
        if (!isCurrent(leadership)) throw notLeader(partition, init.statusOf(partition))
        if (actor.isForgotten) continue
        const result = await work(leadership, actor)
        if (result !== stale) return result
      } finally {
        actors.release(leadership, actor)
      }
    }
    const { type, id } = aggregate
    throw new GlynError('UNAVAILABLE', `${type}/${id}: others write to it faster than this node can decide`)
  }

  /** With all that was decided on what it believed. An append that is on its way may still succeed. */
  function forget(leadership: SharedLeadership, actor: SharedActor): void {
    actors.forget(leadership, actor)
    for (const unit of appends.drop(actorName(actor.key), actor)) unit.settle({ type: 'refused' })
  }

  async function executeOn(
    leadership: SharedLeadership,
    actor: SharedActor,
    envelope: CommandEnvelope,
  ): Promise<Outcome | typeof stale> {
    const { commandId } = envelope
    const same = leadership.underWay.get(underWayKey(actor.key, commandId))
    if (same !== undefined) return await replayed(leadership, same, envelope)
    if (actor.commandIds.has(commandId)) return await firstOutcome(leadership, actor, envelope)
    const decided = decideOrFail(actor.definition, actor.proposedState, envelope)
    if (decided.type !== 'accepted' || decided.events.length === 0)
      return await withoutEvents(leadership, actor, envelope, decided)
    let proposal: Proposal
    try {
      proposal = propose(
        leadership,
        actor,
        {
          commandId,
          timeMs: clock.wallTime(),
          metadata: JSON.stringify(envelope.metadata),
          events: decided.events,
        },
        { stateAfter: decided.state, name: envelope.command.type, isTaken: envelope.keepsOutcome === true },
      )
    } catch (error) {
      // Events that fit no entry together are refused like one that is too large by itself.
      const rejection = envelope.keepsOutcome === true ? refusalOf(error) : undefined
      if (rejection === undefined) throw error
      return await withoutEvents(leadership, actor, envelope, { type: 'rejected', rejection })
    }
    const answer = await proposal.answer
    if (answer.type === 'appended') {
      const rows = toStoredEvents(proposal.record, { partition: leadership.partition, index: answer.index })
      return acceptedWith(rows, { replicas, isReplayed: false })
    }
    if (answer.type === 'duplicate') return acceptedWith(answer.events, { replicas, isReplayed: true })
    if (answer.type === 'failed') throw answer.error
    return envelope.keepsOutcome === true ? ((await keptOutcome(envelope)) ?? stale) : stale
  }

  /** The same id is asked again while the first is under way. */
  async function replayed(
    leadership: SharedLeadership,
    { answer, record }: Proposal,
    envelope: CommandEnvelope,
  ): Promise<Outcome | typeof stale> {
    const first = await answer
    if (first.type === 'failed') throw first.error
    if (first.type === 'stale')
      return envelope.keepsOutcome === true ? ((await keptOutcome(envelope)) ?? stale) : stale
    const { partition } = leadership
    const rows =
      first.type === 'duplicate' ? first.events : toStoredEvents(record, { partition, index: first.index })
    return acceptedWith(rows, { replicas, isReplayed: true })
  }

  /** Of an id that is known. */
  async function firstOutcome(
    leadership: SharedLeadership,
    actor: SharedActor,
    { commandId }: CommandEnvelope,
  ): Promise<Outcome | typeof stale> {
    const rows = await store.readCommand(actor.key, commandId)
    if (rows.length > 0) return acceptedWith(rows, { replicas, isReplayed: true })
    forget(leadership, actor)
    return stale
  }

  /** Nothing to store, but the answer speaks of a state: it must be one that the store was in after the call. */
  async function withoutEvents(
    leadership: SharedLeadership,
    actor: SharedActor,
    envelope: CommandEnvelope,
    decided: ReturnType<typeof decideOrFail>,
  ): Promise<Outcome | typeof stale> {
    const sequence = actor.proposedSequence
    // Before anything else is waited for: ids that come later are no matter.
    const isIdUnknown = actor.knowsAllCommandIds
    if (!(await wasAt(leadership, actor, sequence))) return stale
    if (!isIdUnknown) {
      const rows = await store.readCommand(actor.key, envelope.commandId)
      if (rows.length > 0) return acceptedWith(rows, { replicas, isReplayed: true })
    }
    if (decided.type === 'failed') throw decided.error
    if (envelope.keepsOutcome === true) return await keep(leadership, envelope, toKeep(decided, sequence))
    if (decided.type === 'rejected') return rejectedWith(decided.rejection, envelope.commandId)
    const { partition } = leadership
    const index = Math.max(actor.committedIndex, init.headOf(partition))
    return acceptedWithoutEvents(envelope, { sequence, position: { partition, index }, replicas })
  }

  /**
   * True when the aggregate was at this sequence at some moment after the call: the store says so, or an append of ours
   * that was made on top of it since has succeeded. Else the actor is forgotten.
   */
  async function wasAt(leadership: SharedLeadership, actor: SharedActor, sequence: number): Promise<boolean> {
    await actor.underWay.at(-1)?.answer
    if (actor.isForgotten) return false
    if (actor.committedSequence > sequence) return true
    const found = await sequences.of(actor.key)
    if (found === sequence) return true
    if (found > sequence) {
      await actor.underWay.at(-1)?.answer
      if (!actor.isForgotten && actor.committedSequence > sequence) return true
    }
    forget(leadership, actor)
    return false
  }

  /** Where the outcomes of commands are arbitrated that keep theirs: one entry for each id, whichever leader comes first. */
  async function keep(
    leadership: SharedLeadership,
    envelope: CommandEnvelope,
    decided: Extract<Decided, { type: 'accepted' }>,
  ): Promise<Outcome | typeof stale> {
    const append = keptAppend(leadership.partition, envelope.commandId, decided)
    const answer = await new Promise<UnitAnswer>(resolve =>
      addUnit({
        lane: actorName(append.aggregate),
        owner: append,
        appends: [append],
        bytes: bytesOf(append),
        settle: resolve,
      }),
    )
    if (answer.type === 'failed') throw answer.error
    if (answer.type !== 'appended') return (await keptOutcome(envelope)) ?? stale
    init.onAppended(append.partition, answer.index)
    const record = { ...append, firstSequence: 1 }
    const rows = toStoredEvents(record, { partition: append.partition, index: answer.index })
    return fromKept(acceptedWith(rows, { replicas, isReplayed: false }), envelope)
  }

  /** Of a command that keeps its outcome and has one. */
  async function keptOutcome(envelope: CommandEnvelope): Promise<Outcome | undefined> {
    const { commandId, aggregate } = envelope
    const kept = await store.readCommand(keptOutcomeKey(commandId), commandId)
    const [first] = kept
    if (first === undefined) return undefined
    if (first.type !== takenKept.type)
      return fromKept(acceptedWith(kept, { replicas, isReplayed: true }), envelope)
    const rows = await store.readCommand(aggregate, commandId)
    return rows.length === 0 ? undefined : acceptedWith(rows, { replicas, isReplayed: true })
  }

  function keptAppend(
    partition: number,
    commandId: string,
    { events }: Pick<Extract<Decided, { type: 'accepted' }>, 'events'>,
  ): Append {
    return {
      partition,
      aggregate: keptOutcomeKey(commandId),
      expectedSequence: 0,
      commandId,
      timeMs: clock.wallTime(),
      metadata: '{}',
      events,
    }
  }

  /** On top of everything proposed. Nothing of it waits: whoever decides next sees it. */
  function propose(
    leadership: SharedLeadership,
    actor: SharedActor,
    given: Pick<CommandRecord, 'commandId' | 'timeMs' | 'metadata' | 'events'>,
    facts: { readonly stateAfter: unknown; readonly name: string; readonly isTaken: boolean },
  ): Proposal {
    const { partition } = leadership
    const expectedSequence = actor.proposedSequence
    const append: Append = { partition, aggregate: actor.key, expectedSequence, ...given }
    const bytes = bytesOf(append)
    if (bytes > limits.entryBytesMax) {
      const text = `${actor.key.type}: ${facts.name} yields ${bytes} bytes; allowed: ${limits.entryBytesMax}`
      throw new GlynError('MESSAGE_TOO_LARGE', text)
    }
    const { promise, resolve } = Promise.withResolvers<ProposalAnswer>()
    const record = { aggregate: actor.key, firstSequence: expectedSequence + 1, ...given }
    const proposal: Proposal = {
      actor,
      record,
      stateAfter: facts.stateAfter,
      bytes,
      answer: promise,
      settle: resolve,
    }
    actor.pending += 1
    actor.underWay.push(proposal)
    actor.proposedState = facts.stateAfter
    actor.proposedSequence += given.events.length
    leadership.underWay.set(underWayKey(actor.key, given.commandId), proposal)
    addUnit({
      lane: actorName(actor.key),
      owner: actor,
      appends: facts.isTaken
        ? [append, keptAppend(partition, given.commandId, { events: [takenKept] })]
        : [append],
      bytes,
      settle: answer => settle(leadership, proposal, answer),
    })
    return proposal
  }

  function addUnit(unit: AppendUnit): void {
    pendingBytes += unit.bytes
    appends.add({
      ...unit,
      settle(answer) {
        pendingBytes -= unit.bytes
        unit.settle(answer)
      },
    })
  }

  function settle(leadership: SharedLeadership, proposal: Proposal, answer: UnitAnswer): void {
    const { actor, record } = proposal
    const key = underWayKey(actor.key, record.commandId)
    if (leadership.underWay.get(key) === proposal) leadership.underWay.delete(key)
    actor.underWay.splice(actor.underWay.indexOf(proposal), 1)
    if (answer.type === 'appended') {
      advance(proposal, answer.index)
      init.onAppended(leadership.partition, answer.index)
      proposal.settle(answer)
    } else {
      // What was decided on top of it is nothing any more.
      proposal.settle(toProposalAnswer(answer))
      forget(leadership, actor)
    }
    actors.release(leadership, actor)
  }

  function advance({ actor, record, stateAfter: state }: Proposal, index: number): void {
    const from = actor.committedSequence
    actor.committedState = state
    actor.committedSequence = record.firstSequence + record.events.length - 1
    actor.committedIndex = index
    rememberCommandId(actor, record.commandId)
    if (actor.isForgotten) return
    if (isSnapshotDue(actor.definition.snapshotEvery, { from, to: actor.committedSequence })) snapshot(actor)
  }

  function snapshot(actor: SharedActor): void {
    const made = snapshotOf(
      actor,
      { definition: actor.definitionId, timeMs: clock.wallTime() },
      log,
      noCipher,
    )
    if (made === undefined) return
    actor.stateBytes = made.state.length
    const { aggregate, sequence, state, definition, timeMs } = made
    snapshots.add({ aggregate, sequence, state, definition, timeMs })
  }

  async function append(partition: number, given: readonly Append[]): Promise<readonly AppendAnswer[]> {
    leadershipOf(partition)
    const answers: AppendAnswer[] = []
    await Promise.all(
      byAggregate(given).map(async group => {
        const [first] = group
        invariant(first !== undefined, 'a group has members')
        try {
          const { aggregate } = first.append
          await counted(partition, () =>
            onActor(partition, aggregate, bindingOrOpaque(aggregate.type), async (leadership, actor) => {
              const answered = await inOrder(group, one => appendOne(leadership, actor, one))
              for (const { place, answer } of answered) answers[place] = answer
              return undefined
            }),
          )
        } catch (error) {
          if (!isGlynError(error)) throw error
          for (const { place } of group) answers[place] = { type: 'failed', error }
        }
      }),
    )
    return answers
  }

  /** What is to be appended is handed on at once, so that appends of one aggregate stay in their order. */
  function appendOne(leadership: SharedLeadership, actor: SharedActor, given: Append): Promise<AppendResult> {
    refusePast({ underWay: callsTotal, bytes: pendingBytes }, { ...bounds, underWay: bounds.underWay + 1 })
    const { commandId, expectedSequence, timeMs, metadata, events } = given
    const isNext =
      !actor.isForgotten && expectedSequence === actor.proposedSequence && !actor.commandIds.has(commandId)
    if (!isNext) return judgedByStore(leadership, actor, given)
    const next = stateAfter(actor.definition, actor.proposedState, events)
    const { answer } = propose(
      leadership,
      actor,
      { commandId, timeMs, metadata, events },
      { stateAfter: next, name: `the append ${commandId}`, isTaken: false },
    )
    return answer.then(told => {
      if (told.type === 'failed') throw told.error
      if (told.type !== 'stale') return told
      if (told.sequence === undefined) throw tryAgain(actor.key)
      return { type: 'conflict', sequence: told.sequence }
    })
  }

  /** A conflict or a duplicate, as far as this node knows. The store knows. */
  function judgedByStore(
    leadership: SharedLeadership,
    actor: SharedActor,
    given: Append,
  ): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      addUnit({
        lane: actorName(actor.key),
        owner: actor,
        appends: [given],
        bytes: bytesOf(given),
        settle(answer) {
          if (answer.type === 'failed') reject(answer.error)
          else if (answer.type === 'refused') reject(tryAgain(actor.key))
          else {
            if (answer.type === 'appended') {
              // It holds now what this actor does not.
              forget(leadership, actor)
              init.onAppended(leadership.partition, answer.index)
            }
            resolve(answer)
          }
        },
      })
    })
  }

  const bindingOrOpaque = (type: string): AggregateBinding =>
    init.aggregates.get(type) ?? { definition: opaqueAggregate, definitionId: '' }

  async function load(partition: number, aggregate: AggregateKey): Promise<LoadedState> {
    const binding = bindingOf(aggregate.type)
    return await onActor(partition, aggregate, binding, async (leadership, actor) => {
      const before = actor.committedSequence
      // Of now: what others write while the answer is on its way may be known here, and is not in this state.
      const head = init.headOf(partition)
      const found = await sequences.of(actor.key)
      if (found > actor.committedSequence) await actor.underWay.at(-1)?.answer
      if (actor.isForgotten || found > actor.committedSequence || found < before) {
        forget(leadership, actor)
        return stale
      }
      const { committedState, committedSequence, committedIndex } = actor
      return {
        state: asRemote(aggregate.type, committedState),
        sequence: committedSequence,
        index: Math.max(committedIndex, head),
      }
    })
  }

  function roleChanged(partition: number, change: RoleChange): void {
    const current = leaderships.get(partition)
    const isSameLeadership = current !== undefined && change.role === 'leader' && change.term === current.term
    if (isSameLeadership) {
      current.canServe ||= change.canServe
      return
    }
    if (current !== undefined) loseLeadership(current)
    if (change.role !== 'leader') return
    const { term, canServe } = change
    leaderships.set(partition, createSharedLeadership({ partition, term, canServe }))
  }

  /** What is on its way is not waited for. What became of it, the store knows: callers retry by command id. */
  function loseLeadership(leadership: SharedLeadership): void {
    leaderships.delete(leadership.partition)
    const error = unknownOutcome(leadership.partition)
    for (const proposal of leadership.underWay.values()) proposal.settle({ type: 'failed', error })
    for (const actor of [...leadership.actors.values()]) forget(leadership, actor)
  }

  return {
    async execute(partition, envelope) {
      checkAggregateKey(envelope.aggregate)
      checkName('command id', envelope.commandId)
      const binding = bindingOf(envelope.aggregate.type)
      leadershipOf(partition)
      return await counted(partition, async () => {
        try {
          return await onActor(partition, envelope.aggregate, binding, (leadership, actor) =>
            executeOn(leadership, actor, envelope),
          )
        } catch (error) {
          // A command that was accepted keeps its outcome, also when its events cannot be read any more.
          if (!hasCode(error, 'AGGREGATE_QUARANTINED')) throw error
          const rows = await store.readCommand(envelope.aggregate, envelope.commandId)
          if (rows.length === 0) throw error
          return acceptedWith(rows, { replicas, isReplayed: true })
        }
      })
    },
    append,
    async load(partition, aggregate) {
      checkAggregateKey(aggregate)
      leadershipOf(partition)
      return await counted(partition, () => load(partition, aggregate))
    },
    async loadEvents(partition, aggregate, range) {
      checkAggregateKey(aggregate)
      leadershipOf(partition)
      const found = await counted(partition, () => store.readStream(aggregate, range))
      // A history can be read without its code; a name that is nowhere is a slip of the pen.
      if (found.length === 0) bindingOf(aggregate.type)
      return found
    },
    async head(partition) {
      leadershipOf(partition)
      return (await counted(partition, () => store.heads())).get(partition) ?? 0
    },
    async sequenceOf(partition, aggregate) {
      checkAggregateKey(aggregate)
      leadershipOf(partition)
      return await counted(partition, () => sequences.of(aggregate))
    },
    async readCommand(partition, { aggregate, commandId }) {
      checkAggregateKey(aggregate)
      leadershipOf(partition)
      return await counted(partition, () => store.readCommand(aggregate, commandId))
    },
    committed() {},
    roleChanged,
    // Aggregates with a subject are refused where the store is shared.
    forgetKeysOf() {},
    read() {},
    stop() {
      for (const leadership of [...leaderships.values()]) loseLeadership(leadership)
      appends.stop()
    },
    pendingOf(partition, aggregate) {
      const proposals = [...(leaderships.get(partition)?.underWay.values() ?? [])].filter(
        ({ actor }) => aggregate === undefined || actorName(actor.key) === actorName(aggregate),
      )
      const oldest = proposals.slice(0, pendingNamedMax).map(({ record }) => ({
        aggregate: record.aggregate,
        commandId: record.commandId,
        index: 0,
      }))
      const others = Math.max(0, (calls.get(partition) ?? 0) - proposals.length)
      return { count: proposals.length, oldest, reads: others }
    },
    pendingCount: () => callsTotal,
  }
}

function toProposalAnswer(answer: Exclude<UnitAnswer, { type: 'appended' }>): ProposalAnswer {
  if (answer.type === 'conflict') return { type: 'stale', sequence: answer.sequence }
  return answer.type === 'refused' ? { type: 'stale' } : answer
}

const tryAgain = ({ type, id }: AggregateKey): GlynError =>
  new GlynError('UNAVAILABLE', `${type}/${id}: what this append was made on was not written`)

/** Of UTF-8, for what is large; small ones are not worth counting. */
function bytesOf({ metadata, events }: Pick<Append, 'metadata' | 'events'>): number {
  let characters = metadata.length + 200
  for (const { type, data } of events) characters += type.length + data.length + 40
  if (characters * 3 <= limits.entryBytesMax) return characters
  return events.reduce(
    (sum, { type, data }) => sum + type.length + Buffer.byteLength(data) + 40,
    metadata.length + 200,
  )
}
