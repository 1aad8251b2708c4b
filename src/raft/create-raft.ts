// One replica of one partition: the doors of the state machine, and the order in which its effects are handed out.
import { invariant } from '../core/assert.ts'
import type { ReplicaId } from '../core/replica-id.ts'
import { encodeConfiguration } from './configuration.ts'
import { applyChange } from './configuration-change.ts'
import { countOwnVote, isLoyal, stand } from './election.ts'
import type { Entry } from './entry.ts'
import { entryBytes } from './entry-bytes.ts'
import { Membership } from './membership.ts'
import type { RaftMessage } from './message.ts'
import { Outbox } from './outbox.ts'
import { stalled, tick } from './passing-time.ts'
import type {
  ChangeResult,
  ConfigurationChange,
  HardState,
  Persist,
  ProposeResult,
  Raft,
  RaftInit,
  RaftStatus,
  Ready,
  RoleChange,
} from './raft.ts'
import { RaftLog } from './raft-log.ts'
import { type ReplicaState, resetElectionTimer } from './replica-state.ts'
import { appendOwn, flush, handOver, isActive, isCaughtUp, maybeCommit } from './replication.ts'
import { type RaftRules, raftRules } from './rules.ts'
import { stepMessage } from './step-message.ts'

export { bootstrapEntry } from './bootstrap-entry.ts'

/**
 * The state machine of one replica. Indices up to `hardState.commit` count as acted upon: `ready().committed` starts
 * behind them. `rules` is for tests that plant a bug.
 */
export function createRaft(init: RaftInit, rules: RaftRules = raftRules): Raft {
  return new Replica(init, rules)
}

class Replica implements Raft {
  readonly #state: ReplicaState
  /** What was handed out to be written last, written or not. */
  #handedHardState: HardState
  /** Whether a write is under way, and the term and vote it makes durable. */
  #writing: { readonly term: number; readonly vote: ReplicaId | null } | null = null
  #deliveredIndex: number
  #reportedRole: Omit<RoleChange, 'reason'>

  constructor(init: RaftInit, rules: RaftRules) {
    const { id, options, random, hardState } = init
    const log = new RaftLog({
      reader: init.log,
      hashEntry: init.hashEntry,
      lastIndex: init.lastIndex,
      commitIndex: hardState.commit,
    })
    invariant(
      log.lastTerm <= hardState.term,
      `the last entry is of term ${log.lastTerm}, but the stored term is ${hardState.term}`,
    )
    const membership = new Membership(init.configurations, hardState.commit)
    invariant(
      membership.index <= log.lastIndex,
      `a configuration at ${membership.index} lies beyond the last entry ${log.lastIndex}`,
    )
    this.#state = {
      id,
      options,
      random,
      rules,
      log,
      membership,
      outbox: new Outbox(),
      term: hardState.term,
      vote: hardState.vote,
      role: 'follower',
      leader: null,
      ticksElapsed: 0,
      electionTimeout: 0,
      votes: new Map(),
      leadership: null,
      reads: [],
      reason: 'started',
    }
    resetElectionTimer(this.#state)
    this.#handedHardState = hardState
    this.#deliveredIndex = hardState.commit
    this.#reportedRole = this.#role()
  }

  tick(): void {
    tick(this.#state)
  }

  stalled(): void {
    stalled(this.#state)
  }

  step(message: RaftMessage): void {
    stepMessage(this.#state, message)
  }

  propose(payload: Uint8Array): ProposeResult {
    const { leadership, log, options } = this.#state
    if (leadership === null) return { type: 'refused', reason: 'not-leader' }
    if (leadership.transfer !== null) return { type: 'refused', reason: 'transferring' }
    const bytes = log.uncommittedBytes
    if (bytes > 0 && bytes + entryBytes({ payload }) > options.uncommittedBytesMax) {
      return { type: 'refused', reason: 'overloaded' }
    }
    return appended(appendOwn(this.#state, 'command', payload))
  }

  changeConfiguration(change: ConfigurationChange): ChangeResult {
    const state = this.#state
    const { leadership, membership, log } = state
    if (leadership === null) return { type: 'refused', reason: 'not-leader' }
    if (leadership.transfer !== null) return { type: 'refused', reason: 'transferring' }
    if (!state.rules.mayChangeConfiguration(leadership))
      return { type: 'refused', reason: 'no-commit-in-term' }
    if (membership.index > log.commitIndex) return { type: 'refused', reason: 'change-pending' }
    const next = applyChange(membership.configuration, change, id => {
      const follower = leadership.progress.get(id)
      return follower !== undefined && isActive(state, follower) && isCaughtUp(state, follower)
    })
    if (typeof next === 'string') return { type: 'refused', reason: next }
    return appended(appendOwn(state, 'config', encodeConfiguration(next)))
  }

  readIndex(context: number): boolean {
    const { leadership } = this.#state
    if (leadership === null || !leadership.reads.add(context)) return false
    leadership.isFlushDue = true
    return true
  }

  transferLeadership(to: ReplicaId): boolean {
    const state = this.#state
    const { leadership } = state
    const follower = leadership?.progress.get(to)
    if (leadership === null || follower === undefined || !state.membership.isVoter(to)) return false
    if (leadership.transfer !== null) return leadership.transfer.to === to
    if (!isActive(state, follower) || !isCaughtUp(state, follower)) return false
    leadership.transfer = { to, startedAt: leadership.ticks }
    leadership.isFlushDue = true
    handOver(state)
    return true
  }

  campaign(): void {
    if (!isLoyal(this.#state)) stand(this.#state, 'asked to stand')
  }

  hasReady(): boolean {
    const { outbox, leadership, reads } = this.#state
    if (outbox.hasAtOnce || leadership?.isFlushDue === true || reads.length > 0) return true
    if (this.#writing === null && (outbox.hasAfterWrite || this.#isWriteDue())) return true
    return this.#actableIndex() > this.#deliveredIndex || this.#isRoleNew()
  }

  ready(): Ready {
    const state = this.#state
    if (state.leadership?.isFlushDue === true) flush(state)
    const persist = this.#takePersist()
    let messages = state.outbox.takeAtOnce()
    if (persist === null && this.#writing === null && state.outbox.hasAfterWrite) {
      messages = [...messages, ...state.outbox.takeAfterWrite()]
    }
    const { reads } = state
    state.reads = []
    return { messages, persist, committed: this.#takeCommitted(), reads, role: this.#takeRole() }
  }

  #isWriteDue(): boolean {
    const { term, vote, log } = this.#state
    const { term: handedTerm, vote: handedVote } = this.#handedHardState
    return log.hasUnwritten || term !== handedTerm || vote !== handedVote
  }

  #takePersist(): Persist | null {
    if (this.#writing !== null || !this.#isWriteDue()) return null
    const { term, vote, log, outbox } = this.#state
    const { truncateFrom, entries } = log.takeWrite()
    const handed = this.#handedHardState
    const next = { term, vote, commit: log.commitIndex }
    const isNew = next.term !== handed.term || next.vote !== handed.vote || next.commit !== handed.commit
    this.#writing = { term, vote }
    this.#handedHardState = next
    return { hardState: isNew ? next : null, truncateFrom, entries, messages: outbox.takeAfterWrite() }
  }

  persisted(): void {
    const state = this.#state
    const written = this.#writing
    invariant(written !== null, `${state.id}: a write ended that was not handed out`)
    this.#writing = null
    const { voters, learners } = state.membership
    state.log.hasReaders = voters.length + learners.length > 1
    state.log.written()
    if (state.leadership !== null) maybeCommit(state)
    else if (written.term === state.term && written.vote === state.vote) countOwnVote(state)
  }

  #actableIndex(): number {
    const { commitIndex, durableIndex } = this.#state.log
    return Math.min(commitIndex, durableIndex)
  }

  #takeCommitted(): Ready['committed'] {
    const to = this.#actableIndex()
    if (to <= this.#deliveredIndex) return null
    const from = this.#deliveredIndex + 1
    this.#deliveredIndex = to
    return { from, to }
  }

  #role(): Omit<RoleChange, 'reason'> {
    const { role, term, leader, leadership } = this.#state
    return { role, term, leader, canServe: leadership?.hasCommittedInTerm ?? false }
  }

  #isRoleNew(): boolean {
    const { role, term, leader, leadership } = this.#state
    const reported = this.#reportedRole
    if (role !== reported.role || term !== reported.term || leader !== reported.leader) return true
    return (leadership?.hasCommittedInTerm ?? false) !== reported.canServe
  }

  #takeRole(): RoleChange | null {
    if (!this.#isRoleNew()) return null
    this.#reportedRole = this.#role()
    return { ...this.#reportedRole, reason: this.#state.reason }
  }

  entries(from: number, to: number, bytesMax: number): readonly Entry[] {
    return this.#state.log.entries(from, to, bytesMax)
  }

  status(): RaftStatus {
    const state = this.#state
    const { id, log, membership, leadership } = state
    const followers = leadership === null ? [] : [...leadership.progress.values()]
    return {
      id,
      ...this.#role(),
      commitIndex: log.commitIndex,
      lastIndex: log.lastIndex,
      durableIndex: log.durableIndex,
      configuration: membership.configuration,
      configurationIndex: membership.index,
      transferTarget: leadership?.transfer?.to ?? null,
      progress: followers.map(follower => ({
        id: follower.id,
        voter: membership.isVoter(follower.id),
        match: follower.match,
        state: follower.state,
        active: isActive(state, follower),
        caughtUp: isCaughtUp(state, follower),
      })),
    }
  }
}

const appended = ({ index, term }: Entry) => ({ type: 'appended', index, term }) as const
