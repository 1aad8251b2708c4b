// The last sequence of each aggregate that was written lately: the tail has no index that would refuse one twice.
import type { Database } from 'better-sqlite3'
import { invariant } from '../../core/assert.ts'
import type { CommandRecord } from '../../core/record.ts'

/** Aggregates that are remembered; past it, those that are not in the tail are forgotten. */
const rememberedMax = 100_000

export interface LastSequences {
  /** Throws an InvariantError for a record whose sequences exist. */
  take(record: CommandRecord, place: { readonly partition: number; readonly index: number }): void
  /** After rows were removed from the tail. */
  reload(): void
  /** When few rows are in the tail. */
  maybeForget(): void
}

export function createLastSequences(database: Database): LastSequences {
  const readInLog = database
    .prepare<[string, string], number>(
      `select sequence from log indexed by log_by_aggregate
       where aggregate_type = ? and aggregate_id = ? order by sequence desc limit 1`,
    )
    .pluck()
  const readInTail = database.prepare<
    [],
    { readonly type: string; readonly id: string; readonly last: number }
  >(
    `select aggregate_type as type, aggregate_id as id, max(sequence) as last from tail
     where aggregate_type is not null group by aggregate_type, aggregate_id`,
  )
  const known = new Map<string, number>()
  const keyOf = (type: string, id: string): string => `${type}\u0000${id}`

  function reload(): void {
    known.clear()
    for (const { type, id, last } of readInTail.all()) known.set(keyOf(type, id), last)
  }

  reload()
  return {
    take({ aggregate: { type, id }, firstSequence, events }, { partition, index }) {
      const key = keyOf(type, id)
      const last = known.get(key) ?? Number(readInLog.get(type, id) ?? 0)
      invariant(
        firstSequence > last,
        () =>
          `partition ${partition}, index ${index}: sequence ${firstSequence} of ${type}/${id} exists, the last is ${last}`,
      )
      known.set(key, firstSequence + events.length - 1)
    },
    reload,
    maybeForget() {
      if (known.size > rememberedMax) reload()
    },
  }
}
