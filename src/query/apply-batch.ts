// One batch of one partition meets a query: its events, grouped by aggregate, handled in order, and the checkpoint.
import { InvariantError } from '../core/assert.ts'
import type { EventEnvelope } from '../core/event.ts'
import { type Forgotten, forgottenEventType } from '../core/system-types.ts'
import { applyCalls } from './apply-calls.ts'
import { type Applied, type Batch, type BatchFailure, type Budget, failureOf } from './batch.ts'
import type { AnyQuery, NormalQuery } from './define-query.ts'
import { type EventGroup, entriesOf, groupByAggregate, placeOf } from './event-groups.ts'
import type { ParkedFailure } from './parked-entries.ts'
import type { ReadModel } from './read-model.ts'

export interface Run {
  readonly query: NormalQuery
  readonly model: ReadModel
  readonly budget: Budget
  /** Entries that may be parked. */
  readonly parkedMax: number
  /** ISO 8601. */
  time(): string
}

/**
 * Full form: everything that succeeds before the first failure or the end of the budget is committed with its
 * checkpoint in one transaction; what failed is rolled back to before its entry. What belongs behind a parked entry is
 * held back in the same transaction. Function form: see {@link applyCalls}. Throws nothing that the plugin throws.
 */
export async function applyBatch(run: Run, batch: Batch): Promise<Applied> {
  const { definition, call } = run.query
  if (definition !== null) return applyInTransaction({ ...run, definition }, batch)
  if (call === null) throw new InvariantError('a query is a definition or a function')
  return await applyCalls({ model: run.model, budget: run.budget, call }, batch)
}

interface FullRun extends Run {
  readonly definition: AnyQuery
}

function applyInTransaction(run: FullRun, batch: Batch): Applied {
  const { model, definition, budget } = run
  const { db, transaction } = model
  const start = model.positions.get(batch.partition) ?? 0
  const groups = groupByAggregate(batch.events.filter(event => passes(definition, event)))
  let index = start
  let failure: Applied['failure'] = null
  try {
    transaction.begin()
    const untilMs = budget.now() + budget.batchMs
    for (const group of groups) {
      const met = meetGroup(run, group)
      failure = met.failure
      // Some errors of SQLite end the transaction by themselves: then nothing of the batch is left.
      if (!db.open || !db.inTransaction) {
        if (db.open) model.parked.refresh()
        return { index: start, failure: failure ?? lostTransaction() }
      }
      index = met.lastIndex
      if (failure !== null || budget.now() > untilMs) break
    }
    // After what this batch itself has put aside: a node whose log is ahead of its keys could still open it.
    forgetParked(model, batch)
    const isWhole = failure === null && (groups.length === 0 || index === groups.at(-1)?.lastIndex)
    if (isWhole) index = batch.throughIndex
    if (index > start) model.writeCheckpoint(batch.partition, index)
    transaction.commit()
  } catch (error) {
    if (db.open && db.inTransaction) transaction.rollback()
    return { index: start, failure: failureOf(error) }
  }
  if (index > start) model.positions.set(batch.partition, index)
  return { index, failure }
}

/** What is parked is a copy: it is forgotten with what it was copied from, whatever the filter lets through. */
function forgetParked({ parked }: ReadModel, { events }: Batch): void {
  const { failed, held } = parked.counts()
  if (failed + held === 0) return
  for (const { type, aggregate, data } of events) {
    if (type === forgottenEventType) parked.forget(aggregate, (data as Forgotten).key)
  }
}

/**
 * `lastIndex`: through where the query is done. After a failure that is just before the entry that failed, whatever lies
 * there (entries that the filter keeps out, for one): the next entry is the one that failed, and it alone may be parked.
 */
interface Met {
  readonly lastIndex: number
  readonly failure: BatchFailure | null
}

const failedAt = ({ lastIndex }: EventGroup, failure: BatchFailure): Met => ({
  lastIndex: lastIndex - 1,
  failure,
})

/** A group that fails is met again entry by entry: what fails in the end is one entry, and those before it are kept. */
function meetGroup(run: FullRun, group: EventGroup): Met {
  const { parked, db } = run.model
  if (run.query.afterParked === 'hold' && parked.isHeld(group.aggregate)) return hold(run, group)
  const failure = meet(run, group)
  if (failure === null) return { lastIndex: group.lastIndex, failure: null }
  const entries = entriesOf(group)
  if (entries.length === 1 || !db.open || !db.inTransaction) return failedAt(group, failure)
  return inOrder(entries, entry => meet(run, entry))
}

function meet(run: FullRun, group: EventGroup): BatchFailure | null {
  const { transaction, db } = run.model
  transaction.beginGroup()
  try {
    callHandle(run, group)
  } catch (error) {
    if (db.open && db.inTransaction) transaction.rollbackGroup()
    return failureOf(error)
  }
  transaction.releaseGroup()
  return null
}

const hold = (run: FullRun, group: EventGroup): Met =>
  inOrder(entriesOf(group), entry => {
    if (isFull(run)) return fullOf(run)
    run.model.parked.add(placeOf(entry), { events: entry.events, time: run.time() })
    return null
  })

function inOrder(entries: readonly EventGroup[], each: (entry: EventGroup) => BatchFailure | null): Met {
  let lastIndex = 0
  for (const entry of entries) {
    const failure = each(entry)
    if (failure !== null) return failedAt(entry, failure)
    lastIndex = entry.lastIndex
  }
  return { lastIndex, failure: null }
}

/**
 * Puts the batch, one entry that failed, aside, and passes over it in the same transaction. Null when that is done.
 * Function form: never.
 */
export function parkBatch(run: Run, batch: Batch, why: ParkedFailure): BatchFailure | null {
  const { model, query } = run
  const { db, transaction, parked } = model
  const { definition } = query
  if (definition === null) throw new InvariantError('a function has no dead letters')
  try {
    transaction.begin()
    for (const group of groupByAggregate(batch.events.filter(event => passes(definition, event)))) {
      for (const entry of entriesOf(group)) {
        if (isFull(run)) throw fullOf(run).error
        parked.add(placeOf(entry), { events: entry.events, time: why.time }, why)
      }
    }
    model.writeCheckpoint(batch.partition, batch.throughIndex)
    transaction.commit()
  } catch (error) {
    if (db.open && db.inTransaction) transaction.rollback()
    return { error, by: 'read-model' }
  }
  model.positions.set(batch.partition, batch.throughIndex)
  return null
}

const isFull = ({ model, parkedMax }: Run): boolean => {
  const { failed, held } = model.parked.counts()
  return failed + held >= parkedMax
}

function fullOf({ query, parkedMax }: Run): BatchFailure {
  const text =
    `${parkedMax} entries are parked, the most that is kept, and the next one waits; ` +
    `see \`glyn-node queries parked ${query.name}\`, then retry or drop them`
  return { error: new Error(text), by: 'read-model' }
}

const lostTransaction = (): BatchFailure => ({
  error: new Error('the transaction was lost'),
  by: 'read-model',
})

/** Calls the handler with the events of one aggregate. Throws what it throws, and for what it must not do. */
export function callHandle(
  run: Pick<Run, 'query' | 'model'>,
  group: Pick<EventGroup, 'aggregate' | 'events'>,
): void {
  const { model, query } = run
  const result: unknown = query.definition?.handle(group.aggregate.id, group.events, { db: model.db })
  if (typeof result === 'object' && result !== null && 'then' in result) {
    // Its outcome is nobody's any more; the query fails for having returned it.
    Promise.resolve(result).catch(() => undefined)
    throw new Error(`query ${query.name}: handle returned a promise; it must be synchronous`)
  }
  if (!model.db.inTransaction) {
    throw new Error(`query ${query.name}: handle ended the transaction, which is not its own`)
  }
}

function passes({ filter }: AnyQuery, event: EventEnvelope): boolean {
  if (filter === undefined) return true
  const { aggregateTypes, eventTypes } = filter
  if (aggregateTypes !== undefined && !aggregateTypes.includes(event.aggregate.type)) return false
  return eventTypes === undefined || eventTypes.includes(event.type)
}
