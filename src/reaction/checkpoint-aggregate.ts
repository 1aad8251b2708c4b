// How far handlers and processes are in one partition, and which timers wait there: an aggregate in that very partition, so
// that whoever leads next goes on from it. It is kept in parts, each of which begins with all that is known: the next
// leader reads the last part, however long all of this has been going on.
import type { AnyAggregate } from '../core/aggregate.ts'
import type { AggregateKey, Command } from '../core/command.ts'
import type { DomainEvent } from '../core/event.ts'
import { systemPrefix } from '../core/system-types.ts'
import type { ReactionLog } from './reaction.ts'

export const checkpointType = `${systemPrefix}reactions`

/** Outside of the hash: it lives in the partition that it is about. Parts are counted from 1. */
export const checkpointKey = (partition: number, part: number): AggregateKey => ({
  type: checkpointType,
  id: `${partition}.${part}`,
})

/** A timer that is not due yet. Its commands rest with its instance. */
export interface PendingTimer {
  readonly process: string
  readonly instance: string
  readonly name: string
  /** Sequence of the step that set it. */
  readonly setBy: number
  /** Wall time of the leader that recorded the step, and the delay. */
  readonly dueMs: number
  readonly delayMs: number
}

export interface Checkpoint {
  /** Index by reaction: everything through it is done. */
  readonly positions: Readonly<Record<string, number>>
  /** By {@link timerKey}. */
  readonly timers: Readonly<Record<string, PendingTimer>>
  /** A part takes several entries to begin; before it has, the one before it counts. The first part needs no beginning. */
  readonly isWhole: boolean
  /** Of the last leader that wrote, where the store is shared: see {@link CheckpointChange}. */
  readonly epoch?: number
}

/** What changed since the last one. Timers are those of the positions: both move together. */
export interface CheckpointChange {
  readonly positions?: Readonly<Record<string, number>>
  readonly set?: readonly PendingTimer[]
  /** Keys. */
  readonly gone?: readonly string[]
  /** Now the part holds all that is known. */
  readonly whole?: true
  /**
   * Where the store is shared, Raft keeps no late entry of a deposed leader out: what has an earlier epoch than the last
   * entry of its part is passed over.
   */
  readonly epoch?: number
}

export const timerKey = ({
  process,
  instance,
  name,
}: Pick<PendingTimer, 'process' | 'instance' | 'name'>): string => `${process}/${name}/${instance}`

export const noCheckpoint: Checkpoint = { positions: {}, timers: {}, isWhole: false }

export function applyChange(state: Checkpoint, change: CheckpointChange): Checkpoint {
  const positions = { ...state.positions, ...change.positions }
  const isWhole = state.isWhole || change.whole === true
  const epoch = change.epoch ?? state.epoch
  const rest = epoch === undefined ? { isWhole } : { isWhole, epoch }
  if (change.set === undefined && change.gone === undefined)
    return { positions, timers: state.timers, ...rest }
  const timers = { ...state.timers }
  for (const key of change.gone ?? []) delete timers[key]
  for (const timer of change.set ?? []) timers[timerKey(timer)] = timer
  return { positions, timers, ...rest }
}

/** No snapshots: a part is short. */
export const checkpointAggregate: AnyAggregate = {
  type: checkpointType,
  emptyState: noCheckpoint,
  handle: (state: Checkpoint, { data }: Command<'Checkpoint', CheckpointChange>) =>
    data.epoch !== undefined && data.epoch < (state.epoch ?? 0) ? [] : { type: 'Checkpointed', data },
  apply: (state: Checkpoint, { data }: DomainEvent<string, CheckpointChange>) => applyChange(state, data),
}

/**
 * A change in pieces, with `timersMax` changes of timers in each at most; the positions come last. Where only the first of
 * them are committed, the next leader does the same steps again, which come to the same timers.
 */
export function changesOf(change: CheckpointChange, timersMax: number): readonly CheckpointChange[] {
  const { set = [], gone = [], ...rest } = change
  if (set.length + gone.length <= timersMax) return [change]
  const changes: CheckpointChange[] = []
  for (let place = 0; place < gone.length; place += timersMax)
    changes.push({ gone: gone.slice(place, place + timersMax) })
  for (let place = 0; place < set.length; place += timersMax)
    changes.push({ set: set.slice(place, place + timersMax) })
  return [...changes, rest]
}

/**
 * The changes that begin a part with this state, `timersMax` timers in each at most. Until the last of them is committed
 * the part does not count.
 */
export function beginningOf(
  { positions, timers }: Checkpoint,
  timersMax: number,
): readonly CheckpointChange[] {
  const all = Object.values(timers)
  const changes: CheckpointChange[] = []
  for (let place = 0; place < all.length; place += timersMax)
    changes.push({ set: all.slice(place, place + timersMax) })
  return [...changes, { positions, whole: true }]
}

/** The number of the last part that has begun, 1 when none has. There are no gaps. */
export async function lastPart(
  store: Pick<ReactionLog, 'readAggregate'>,
  partition: number,
  throughIndex: number,
): Promise<number> {
  const has = async (part: number): Promise<boolean> => {
    const range = { partition, fromSequence: 1, throughIndex, limit: 1 }
    return (await store.readAggregate(checkpointKey(partition, part), range)).length > 0
  }
  let low = 1
  while (await has(low * 2)) low *= 2
  let high = low * 2
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (await has(middle)) low = middle
    else high = middle
  }
  return low
}
