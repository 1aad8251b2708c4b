// Appends of all partitions on their way to a shared store: one call takes what waits, with few calls under way. An append
// never overtakes another of its aggregate, and one that was decided on top of another is written only after that other.
import type { Clock } from '../core/clock.ts'
import { GlynError, hasCode, isGlynError } from '../core/errors.ts'
import type { Append, AppendResult, SharedStore } from '../store/shared-store.ts'

/** `failed`: it may have been written or not; its command id finds out. */
export type UnitAnswer =
  | AppendResult
  | { readonly type: 'failed'; readonly error: GlynError }
  /** A pair was refused: one of the two is a conflict or a duplicate. Nothing of it is written. */
  | { readonly type: 'refused' }

/** What is written together or not at all: an append, or two that belong together. */
export interface AppendUnit {
  /** Units of one lane keep their order, and build on each other. */
  readonly lane: string
  /** Who decided it: what is decided on something that is not so is taken back by owner. */
  readonly owner: object
  readonly appends: readonly [Append] | readonly [Append, Append]
  /** Rough. */
  readonly bytes: number
  /** Called once, in the order of the lane. Of a pair, `appended` has the index of the first. */
  readonly settle: (answer: UnitAnswer) => void
}

export interface SharedAppends {
  add(unit: AppendUnit): void
  /** Takes back what waits of this owner and is not on its way, unsettled. */
  drop(lane: string, owner: object): readonly AppendUnit[]
  /** Nothing is sent any more: what waits fails, and what is on its way is not waited for. */
  stop(): void
}

/** Two: while the database makes one batch durable, the next one is on its way. */
const callsMax = 2
const appendsPerCallMax = 1000
const bytesPerCallMax = 1024 * 1024

interface Lane {
  readonly name: string
  queue: AppendUnit[]
  isUnderWay: boolean
}

export function createSharedAppends(init: {
  readonly store: Pick<SharedStore, 'append'>
  readonly clock: Clock
}): SharedAppends {
  const { store, clock } = init
  const lanes = new Map<string, Lane>()
  /** Lanes with something to send and nothing on its way, in the order of their arrival. */
  const ready = new Set<Lane>()
  let calls = 0
  let isScheduled = false
  let isStopped = false

  function schedule(): void {
    if (isScheduled || isStopped || calls >= callsMax || ready.size === 0) return
    isScheduled = true
    // In the next turn, so that what is decided in this one travels together.
    clock.soon(() => {
      isScheduled = false
      if (isStopped || calls >= callsMax) return
      const batch = nextBatch()
      if (batch.length > 0) void send(batch)
      schedule()
    })
  }

  function nextBatch(): readonly (readonly AppendUnit[])[] {
    const batch: AppendUnit[][] = []
    let count = 0
    let bytes = 0
    const hasRoom = (unit: AppendUnit): boolean =>
      count === 0 ||
      (count + unit.appends.length <= appendsPerCallMax && bytes + unit.bytes <= bytesPerCallMax)
    for (const lane of ready) {
      const taken: AppendUnit[] = []
      for (const unit of lane.queue) {
        if (!hasRoom(unit)) break
        taken.push(unit)
        count += unit.appends.length
        bytes += unit.bytes
      }
      if (taken.length === 0) break
      lane.queue = lane.queue.slice(taken.length)
      lane.isUnderWay = true
      ready.delete(lane)
      batch.push(taken)
    }
    return batch
  }

  async function send(batch: readonly (readonly AppendUnit[])[]): Promise<void> {
    calls += 1
    try {
      const units = batch.flat()
      const isChained = units.length > batch.length || units.some(({ appends }) => appends.length > 1)
      if (!isChained) await write(units)
      else if ((await writeTogether(units)) === 'refused') await sendCarefully(batch)
    } finally {
      calls -= 1
      for (const [first] of batch) if (first !== undefined) release(first.lane)
      schedule()
    }
  }

  /**
   * One of them is refused, and which of the others builds on it the store does not know. So the first of each lane goes
   * alone, and what is behind it waits for its answer: then it is dropped, or sent with the next call.
   */
  async function sendCarefully(batch: readonly (readonly AppendUnit[])[]): Promise<void> {
    if (isStopped) {
      fail(batch.flat(), stopped())
      return
    }
    const firsts = batch.flatMap(units => units.slice(0, 1))
    for (const units of batch) {
      const lane = lanes.get(units[0]?.lane ?? '')
      if (lane !== undefined) lane.queue = [...units.slice(1), ...lane.queue]
    }
    await write(firsts.filter(({ appends }) => appends.length === 1))
    for (const pair of firsts.filter(({ appends }) => appends.length > 1)) {
      if ((await writeTogether([pair])) === 'refused') pair.settle({ type: 'refused' })
    }
  }

  /** Each by itself: there is one of each lane. */
  async function write(units: readonly AppendUnit[]): Promise<void> {
    if (units.length === 0) return
    try {
      const results = await store.append(units.flatMap(({ appends }) => appends))
      for (const [place, unit] of units.entries()) unit.settle(results[place] ?? noAnswer)
    } catch (error) {
      fail(units, error)
    }
  }

  async function writeTogether(units: readonly AppendUnit[]): Promise<'settled' | 'refused'> {
    let results: readonly AppendResult[]
    try {
      results = await store.append(
        units.flatMap(({ appends }) => appends),
        { isAtomic: true },
      )
    } catch (error) {
      if (hasCode(error, 'TRANSACTION_ROLLED_BACK')) return 'refused'
      fail(units, error)
      return 'settled'
    }
    let place = 0
    for (const unit of units) {
      unit.settle(results[place] ?? noAnswer)
      place += unit.appends.length
    }
    return 'settled'
  }

  function fail(units: readonly AppendUnit[], error: unknown): void {
    const cause = isGlynError(error)
      ? error
      : new GlynError('EVENT_STORE_ERROR', `the store threw what is no GlynError: ${String(error)}`, {
          cause: error,
        })
    for (const unit of units) unit.settle({ type: 'failed', error: cause })
  }

  function release(name: string): void {
    const lane = lanes.get(name)
    if (lane === undefined) return
    lane.isUnderWay = false
    if (lane.queue.length > 0) ready.add(lane)
    else lanes.delete(name)
  }

  return {
    add(unit) {
      if (isStopped) {
        fail([unit], stopped())
        return
      }
      const lane = lanes.get(unit.lane) ?? { name: unit.lane, queue: [], isUnderWay: false }
      lanes.set(unit.lane, lane)
      lane.queue.push(unit)
      if (!lane.isUnderWay) ready.add(lane)
      schedule()
    },
    drop(name, owner) {
      const lane = lanes.get(name)
      if (lane === undefined) return []
      const dropped = lane.queue.filter(unit => unit.owner === owner)
      lane.queue = lane.queue.filter(unit => unit.owner !== owner)
      if (lane.queue.length > 0) return dropped
      ready.delete(lane)
      if (!lane.isUnderWay) lanes.delete(name)
      return dropped
    },
    stop() {
      isStopped = true
      for (const lane of lanes.values()) fail(lane.queue.splice(0), stopped())
    },
  }
}

const stopped = (): GlynError => new GlynError('SHUTTING_DOWN', 'this node is stopping')

/** A store that answers with less than it was asked is broken; whether it wrote, nobody knows. */
const noAnswer: UnitAnswer = {
  type: 'failed',
  error: new GlynError('EVENT_STORE_ERROR', 'the store gave fewer answers than it was given appends'),
}
