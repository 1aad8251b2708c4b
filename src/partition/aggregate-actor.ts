// One aggregate on the leader of its partition: its committed state, and the state with everything proposed on top.
import type { AnyAggregate } from '../core/aggregate.ts'
import type { AggregateKey } from '../core/command.ts'
import type { StoredEvent } from '../core/record.ts'
import { forgottenEventType } from '../core/system-types.ts'
import type { LocalStore } from '../store/store.ts'
import type { SubjectCipher } from '../store/subject-cipher.ts'
import { applyStored } from './apply-stored.ts'

/** Command ids that one actor remembers. Older ones are looked up in the store. */
const commandIdsMax = 1024
/** Events read at a time while an actor loads: some milliseconds. */
export const loadPageEvents = 1000

export interface AggregateActor {
  readonly key: AggregateKey
  readonly definition: AnyAggregate
  readonly partition: number
  /** The leadership it belongs to. An actor of another term is forgotten, with all it believed. */
  readonly term: number
  committedState: unknown
  committedSequence: number
  /** Index of the entry of the last committed event; 0 for none. */
  committedIndex: number
  /** What `handle` sees: committed and proposed. */
  proposedState: unknown
  proposedSequence: number
  /** Index of the last proposed entry; 0 when nothing is under way. */
  proposedIndex: number
  /** Commands that wait for their commit, or for this actor to be loaded. An actor with any is not passivated. */
  pending: number
  /** Rough bytes of the state, for the bound of the cache. */
  stateBytes: number
  readonly commandIds: Set<string>
  /** Invariant: while true, an id that is not in `commandIds` is in no committed entry of this aggregate. */
  knowsAllCommandIds: boolean
  /** Ids of the keys that data in the committed state were encrypted with: a snapshot is sealed with all of them. */
  readonly keys: Set<string>
  /** Something that it knows was forgotten: nothing new is decided on it. */
  isStale: boolean
}

export interface ActorInit {
  readonly key: AggregateKey
  readonly definition: AnyAggregate
  readonly definitionId: string
  readonly partition: number
  readonly term: number
  readonly throughIndex: number
  readonly cipher: Pick<SubjectCipher, 'open' | 'openState'>
}

/**
 * Snapshot, if it is one of this code, and the events after it. Reads what is committed through `throughIndex`, and
 * pauses after each page, so that a long history does not hold up everything else.
 */
export function* loadActor(store: LocalStore, init: ActorInit): Generator<void, AggregateActor, void> {
  const { key, definition, partition, throughIndex, cipher } = init
  const found = definition.snapshotEvery === undefined ? undefined : store.latestSnapshot(key)
  const usable =
    found !== undefined && found.definition === init.definitionId && found.index <= throughIndex
      ? found
      : undefined
  const opened = usable === undefined ? undefined : cipher.openState(usable.state, usable)
  // One that holds what is forgotten cannot be opened any more: the events say what is left.
  const snapshot = usable === undefined || opened === undefined ? undefined : { ...usable, ...opened }
  const actor = newActor(init, snapshot)
  for (;;) {
    const fromSequence = actor.committedSequence + 1
    const page = store.readAggregate(key, { partition, fromSequence, throughIndex, limit: loadPageEvents })
    for (const event of page) takeCommitted(actor, cipher.open(event))
    if (page.length < loadPageEvents) break
    yield
  }
  standStill(actor)
  return actor
}

/** Before the events after its snapshot, or all of them, were read. */
export function newActor(
  { key, definition, partition, term }: Omit<ActorInit, 'definitionId' | 'throughIndex' | 'cipher'>,
  snapshot:
    | {
        readonly state: string
        readonly sequence: number
        readonly index: number
        readonly keys?: readonly string[]
      }
    | undefined,
): AggregateActor {
  return {
    key,
    definition,
    partition,
    term,
    committedState: snapshot === undefined ? definition.emptyState : (JSON.parse(snapshot.state) as unknown),
    committedSequence: snapshot?.sequence ?? 0,
    committedIndex: snapshot?.index ?? 0,
    proposedState: undefined,
    proposedSequence: 0,
    proposedIndex: 0,
    pending: 0,
    stateBytes: snapshot?.state.length ?? 256,
    commandIds: new Set(),
    knowsAllCommandIds: snapshot === undefined,
    keys: new Set(snapshot?.keys),
    isStale: false,
  }
}

/** Nothing is under way: what is proposed is what is committed. */
export function standStill(actor: AggregateActor): void {
  actor.proposedState = actor.committedState
  actor.proposedSequence = actor.committedSequence
}

export function takeCommitted(actor: AggregateActor, event: StoredEvent): void {
  actor.committedState = applyStored(actor.definition, actor.committedState, event)
  actor.committedSequence = event.sequence
  actor.committedIndex = event.index
  if (event.key !== undefined && event.type !== forgottenEventType) actor.keys.add(event.key)
  rememberCommandId(actor, event.commandId)
}

export function rememberCommandId(actor: AggregateActor, commandId: string): void {
  actor.commandIds.add(commandId)
  if (actor.commandIds.size <= commandIdsMax) return
  actor.knowsAllCommandIds = false
  for (const oldest of actor.commandIds) {
    actor.commandIds.delete(oldest)
    break
  }
}

/** Rough bytes in memory, for the bound of the cache. */
export const actorBytes = (actor: AggregateActor): number =>
  400 + actor.stateBytes + actor.commandIds.size * 100
