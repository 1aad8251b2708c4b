// What people do with dead letters: list them, have them handled again, drop them. Each entry leaves the table in the
// transaction of what its handling wrote, and the entries held back behind it follow in order.
import type { AggregateKey } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import type { Position } from '../core/position.ts'
import { callHandle } from './apply-batch.ts'
import { failureOf } from './batch.ts'
import type { NormalQuery } from './define-query.ts'
import type { ParkedCounts, ParkedEntry, ParkedFailure } from './parked-entries.ts'
import type { ReadModel } from './read-model.ts'
import { toErrorText } from './runner-messages.ts'

/** All, an entry (`3:17`), or an aggregate (`acc-1`, or `bank_account/acc-1` when several types have that id). */
export type ParkedSelection = { readonly all: true } | { readonly of: string }

/** An entry that is parked, as lists show it: its events by name only. */
export interface ParkedSummary extends Omit<ParkedEntry, 'partition' | 'index' | 'events'> {
  /** `<partition>:<index>`. */
  readonly entry: string
  readonly events: readonly { readonly id: string; readonly type: string }[]
}

/** What is put aside, the oldest first. */
export interface ParkedList {
  readonly counts: ParkedCounts
  /** Those that failed first; at most as many as asked for. */
  readonly entries: readonly ParkedSummary[]
}

/** What came of handling or discarding what was put aside. */
export interface ParkedOutcome {
  /** Entries discarded. */
  readonly dropped: number
  /** Entries handled, and parked no more. */
  readonly handled: number
  /** Entries at which the handler failed again, the first 100 of them. */
  readonly failed: readonly Pick<ParkedSummary, 'entry' | 'aggregate' | 'message' | 'stack'>[]
  /** What is parked now. */
  readonly counts: ParkedCounts
}

const failuresMax = 100

export interface ParkedOperationsInit {
  readonly query: NormalQuery
  /** Undefined when it is closed. */
  model(): ReadModel | undefined
  /** Around each call of the handler: it is timed. */
  guard<Result>(action: () => Result): Result
  /** Goes on after what else waits. */
  pause(): Promise<void>
  /** ISO 8601. */
  time(): string
  /** Counts may have changed. */
  changed(): void
}

export interface ParkedOperations {
  list(limit: number): ParkedList
  /** Throws ENTITY_NOT_FOUND for what is not parked, INVALID_ARGUMENT for an entry that is held behind another. */
  retry(selection: ParkedSelection): Promise<ParkedOutcome>
  /** Discards; what was held behind a single entry is handled. Throws as `retry`. */
  drop(selection: ParkedSelection): Promise<ParkedOutcome>
  /** Goes on with entries that were released when the query ended. */
  resume(): Promise<void>
}

interface Tally {
  dropped: number
  handled: number
  readonly failed: ParkedOutcome['failed'][number][]
}

export function createParkedOperations(init: ParkedOperationsInit): ParkedOperations {
  const { query } = init
  const isHolding = query.afterParked === 'hold'
  const opened = (): ReadModel => {
    const model = init.model()
    if (model === undefined || !model.db.open)
      throw new GlynError('SHUTTING_DOWN', `query ${query.name} is closed`)
    return model
  }
  const outcome = ({ dropped, handled, failed }: Tally): ParkedOutcome => ({
    dropped,
    handled,
    failed,
    counts: opened().parked.counts(),
  })

  /** Through a transaction: all of the action, or nothing. */
  const inTransaction = (model: ReadModel, action: () => void): void => {
    const { transaction, db, parked } = model
    transaction.begin()
    try {
      action()
      transaction.commit()
    } catch (error) {
      if (db.open && db.inTransaction) transaction.rollback()
      else if (db.open) parked.refresh()
      throw error
    }
  }

  /** True when it is done with. What fails for reasons of the database is thrown. */
  const handleAgain = (entry: ParkedEntry, tally: Tally): boolean => {
    const model = opened()
    const { aggregate, events } = entry
    const fail = (failure: Pick<ParkedFailure, 'message' | 'stack'>): void =>
      model.parked.fail(entry, { ...failure, attempts: entry.attempts + 1, time: init.time() })
    // First, that it failed: a handler that ends the thread is not called again by itself.
    inTransaction(model, () => fail({ message: 'the thread ended while it was handled again', stack: null }))
    try {
      init.guard(() =>
        inTransaction(model, () => {
          callHandle({ query, model }, { aggregate, events })
          model.parked.remove(entry)
        }),
      )
    } catch (error) {
      if (!model.db.open || failureOf(error).by === 'read-model') throw error
      const { message, stack } = toErrorText(error)
      inTransaction(model, () => fail({ message, stack }))
      if (tally.failed.length < failuresMax)
        tally.failed.push({ entry: nameOf(entry), aggregate, message, stack })
      return false
    } finally {
      init.changed()
    }
    tally.handled += 1
    return true
  }

  /** From an entry on, until one fails, or to the last when later ones do not wait. New ones may come behind meanwhile. */
  const goThrough = async (aggregate: AggregateKey, tally: Tally, afterIndex = 0): Promise<void> => {
    let index = afterIndex
    for (;;) {
      const entry = opened().parked.next(aggregate, index)
      if (entry === undefined) return
      const isDone = handleAgain(entry, tally)
      if (!isDone && isHolding) return
      index = entry.index
      await init.pause()
    }
  }

  const find = (text: string): { readonly entry: ParkedEntry } | { readonly aggregate: AggregateKey } => {
    const { parked } = opened()
    const position = parsePosition(text)
    const entry = position === null ? undefined : parked.find(position)
    if (entry !== undefined) return { entry }
    const slash = text.indexOf('/')
    const aggregates = [
      ...parked.aggregatesWithId(text),
      ...parked.aggregatesWithId(text.slice(slash + 1)).filter(({ type }) => type === text.slice(0, slash)),
    ]
    const [aggregate, ...more] = aggregates
    if (aggregate === undefined) {
      const what = JSON.stringify(text)
      throw new GlynError(
        'ENTITY_NOT_FOUND',
        `query ${query.name} has nothing parked under ${what}; allowed: an entry or an aggregate of \`glyn-node queries parked ${query.name}\``,
      )
    }
    if (more.length === 0) return { aggregate }
    const names = aggregates.map(({ type, id }) => `${type}/${id}`)
    throw new GlynError('INVALID_ARGUMENT', `${text} may be any of ${names.join(', ')}; name its type too`, {
      details: { allowed: names },
    })
  }

  const first = (aggregate: AggregateKey): ParkedEntry | undefined => opened().parked.next(aggregate, 0)

  return {
    list(limit) {
      const { parked } = opened()
      return { counts: parked.counts(), entries: parked.list(limit).map(summaryOf) }
    },
    async retry(selection) {
      const tally: Tally = { dropped: 0, handled: 0, failed: [] }
      if ('all' in selection) {
        for (const aggregate of opened().parked.aggregates()) await goThrough(aggregate, tally)
        return outcome(tally)
      }
      const found = find(selection.of)
      if ('aggregate' in found) {
        await goThrough(found.aggregate, tally)
        return outcome(tally)
      }
      const { entry } = found
      const head = first(entry.aggregate)
      if (isHolding && head !== undefined && head.index !== entry.index) {
        const text = `${nameOf(entry)} is held behind ${nameOf(head)} of the same aggregate; retry that one`
        throw new GlynError('INVALID_ARGUMENT', text, { details: { allowed: [nameOf(head)] } })
      }
      const isDone = handleAgain(entry, tally)
      if (isDone && isHolding) await goThrough(entry.aggregate, tally)
      return outcome(tally)
    },
    async drop(selection) {
      const tally: Tally = { dropped: 0, handled: 0, failed: [] }
      const model = opened()
      const discard = (entries: Iterable<ParkedEntry>): void => {
        inTransaction(model, () => {
          for (const entry of entries) {
            model.parked.remove(entry)
            tally.dropped += 1
          }
        })
        init.changed()
      }
      if ('all' in selection) {
        discard(everyOf(model, model.parked.aggregates()))
        return outcome(tally)
      }
      const found = find(selection.of)
      if ('aggregate' in found) {
        discard(everyOf(model, [found.aggregate]))
        return outcome(tally)
      }
      const wasFirst = first(found.entry.aggregate)?.index === found.entry.index
      discard([found.entry])
      if (wasFirst && isHolding) await goThrough(found.entry.aggregate, tally)
      return outcome(tally)
    },
    async resume() {
      if (!isHolding) return
      const tally: Tally = { dropped: 0, handled: 0, failed: [] }
      for (const aggregate of opened().parked.released()) await goThrough(aggregate, tally)
    },
  }
}

/** One after the other, as the table is now. */
function* everyOf({ parked }: ReadModel, aggregates: readonly AggregateKey[]): Iterable<ParkedEntry> {
  for (const aggregate of aggregates) {
    let entry = parked.next(aggregate, 0)
    while (entry !== undefined) {
      yield entry
      entry = parked.next(aggregate, entry.index)
    }
  }
}

export const nameOf = ({ partition, index }: Position): string => `${partition}:${index}`

function parsePosition(text: string): Position | null {
  const match = /^(\d{1,6}):(\d{1,15})$/.exec(text)
  return match === null ? null : { partition: Number(match[1]), index: Number(match[2]) }
}

function summaryOf({ partition, index, events, ...rest }: ParkedEntry): ParkedSummary {
  return {
    entry: nameOf({ partition, index }),
    ...rest,
    events: events.map(({ id, type }) => ({ id, type })),
  }
}
