// From appends to results: first in one statement that assumes that all are good; when it is refused, judged one by one under locks.
import { GlynError } from '../../core/errors.ts'
import { rolledBack } from '../check-append.ts'
import type { Append, AppendResult } from '../shared-store.ts'
import type { Connections, Session } from './connections.ts'
import { insertAppends } from './insert-appends.ts'
import { judgeAppends, rowsOf } from './judge-appends.ts'
import { isUniqueViolation } from './postgres-errors.ts'

/** One statement holds so many events and characters at most: the server parses it in one piece. */
const eventsPerStatementMax = 2000
const charactersPerStatementMax = 8 * 1024 * 1024

export async function writeAppends(
  connections: Connections,
  options: { readonly schema: string; readonly appends: readonly Append[]; readonly isAtomic: boolean },
): Promise<readonly AppendResult[]> {
  const { schema, appends, isAtomic } = options
  const parts = partsOf(appends)
  if (isAtomic && parts.length > 1) return writeJudged(connections, { schema, appends, isAtomic })
  const results: AppendResult[] = []
  // One after the other: the appends of an aggregate stay in their order.
  for (const part of parts) {
    const indexes = await insertOrNull(connections, { schema, appends: part })
    if (indexes === null)
      results.push(...(await writeJudged(connections, { schema, appends: part, isAtomic })))
    else results.push(...indexes.map((index): AppendResult => ({ type: 'appended', index })))
  }
  return results
}

/** The indexes, or null when the database refused one of the appends, and so wrote none. */
async function insertOrNull(
  connections: Connections,
  options: { readonly schema: string; readonly appends: readonly Append[] },
): Promise<readonly number[] | null> {
  return connections.run(async session => {
    try {
      return await insertAppends(session, options)
    } catch (error) {
      if (isUniqueViolation(error)) return null
      throw error
    }
  })
}

async function writeJudged(
  connections: Connections,
  options: { readonly schema: string; readonly appends: readonly Append[]; readonly isAtomic: boolean },
): Promise<readonly AppendResult[]> {
  const { schema, appends, isAtomic } = options
  return connections.run(session =>
    session.transaction(async () => {
      await lockPartitions(session, { schema, appends })
      const verdicts = await judgeAppends(session, { schema, appends })
      if (isAtomic) {
        const number = verdicts.findIndex(({ type }) => type !== 'write')
        const append = appends[number]
        const verdict = verdicts[number]
        if (append !== undefined && verdict !== undefined) {
          // Nothing was written yet: the commit that does not come has nothing to undo.
          const result: AppendResult =
            verdict.type === 'refused' ? verdict.result : { type: 'duplicate', events: [] }
          throw rolledBack(connections.location, { number, append, result })
        }
      }
      const good = appends.filter((_, number) => verdicts[number]?.type === 'write')
      const indexes: number[] = []
      for (const part of partsOf(good)) {
        indexes.push(
          ...(await insertLocked(session, { location: connections.location, schema, appends: part })),
        )
      }
      const written = indexes.values()
      const indexOf = new Map<number, number>()
      return appends.map((append, number): AppendResult => {
        const verdict = verdicts[number]
        if (verdict?.type === 'refused') return verdict.result
        if (verdict?.type === 'again') {
          return {
            type: 'duplicate',
            events: rowsOf(appends[verdict.of] ?? append, indexOf.get(verdict.of) ?? 0),
          }
        }
        const index = written.next().value ?? 0
        indexOf.set(number, index)
        return { type: 'appended', index }
      })
    }),
  )
}

async function lockPartitions(
  session: Session,
  options: { readonly schema: string; readonly appends: readonly Append[] },
): Promise<void> {
  const partitions = [...new Set(options.appends.map(({ partition }) => partition))]
  await session.query(
    `select partition from ${options.schema}.partitions where partition = any($1::integer[]) order by partition for update`,
    [partitions],
  )
}

async function insertLocked(
  session: Session,
  options: { readonly location: string; readonly schema: string; readonly appends: readonly Append[] },
): Promise<readonly number[]> {
  const indexes = await insertAppends(session, options)
  if (indexes !== null) return indexes
  throw new GlynError(
    'EVENT_STORE_ERROR',
    `store ${options.location}: an event that was read a moment ago is gone; does another program change the tables?`,
  )
}

function partsOf(appends: readonly Append[]): Append[][] {
  const parts: Append[][] = []
  let events = Number.POSITIVE_INFINITY
  let characters = 0
  for (const append of appends) {
    const size = charactersOf(append)
    if (
      events + append.events.length > eventsPerStatementMax ||
      characters + size > charactersPerStatementMax
    ) {
      parts.push([])
      events = 0
      characters = 0
    }
    parts.at(-1)?.push(append)
    events += append.events.length
    characters += size
  }
  return parts
}

/** Of the texts that can be long. */
export const charactersOf = (append: Append): number =>
  append.events.reduce((sum, event) => sum + event.data.length + append.metadata.length, 0)
