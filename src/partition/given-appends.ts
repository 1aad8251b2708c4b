// Events that nobody here decided (an import, a program that uses the node as a store), on the leader of their partition.
import type { AnyAggregate } from '../core/aggregate.ts'
import { applyEvent } from '../core/decide.ts'
import { type GlynError, isGlynError } from '../core/errors.ts'
import type { RecordedEvent, StoredEvent } from '../core/record.ts'
import type { Append, AppendResult } from '../store/shared-store.ts'

/** `failed`: this one was not appended, or nobody knows; the others of the same call have answers of their own. */
export type AppendAnswer = AppendResult | { readonly type: 'failed'; readonly error: GlynError }

/** Stands for a type whose code is not loaded: its events have an order, and no state. */
export const opaqueAggregate: AnyAggregate = {
  type: 'opaque',
  emptyState: null,
  handle: () => [],
  apply: () => null,
}

/** The state after the given events. Throws AGGREGATE_FAILED: what the code cannot read back is not written. */
export function stateAfter(
  definition: AnyAggregate,
  state: unknown,
  events: readonly RecordedEvent[],
): unknown {
  if (definition === opaqueAggregate) return null
  let next = state
  for (const { type, version, data } of events)
    next = applyEvent(definition, next, { type, version, data: JSON.parse(data) as unknown })
  return next
}

export const duplicateOf = (events: readonly StoredEvent[]): AppendResult => ({ type: 'duplicate', events })

/** By aggregate, in the order given; with their places in the call. */
export function byAggregate(
  appends: readonly Append[],
): readonly (readonly { readonly place: number; readonly append: Append }[])[] {
  const groups = new Map<string, { readonly place: number; readonly append: Append }[]>()
  for (const [place, append] of appends.entries()) {
    const name = `${append.aggregate.type}\u0000${append.aggregate.id}`
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [{ place, append }])
    else group.push({ place, append })
  }
  return [...groups.values()]
}

/**
 * Takes the appends of one aggregate one after the other. `start` throws at once for one that cannot be tried: those
 * behind it are not tried either, because they would be made on something else than their author meant.
 */
export async function inOrder(
  group: readonly { readonly place: number; readonly append: Append }[],
  start: (append: Append) => Promise<AppendResult>,
): Promise<readonly { readonly place: number; readonly answer: AppendAnswer }[]> {
  let obstacle: AppendAnswer | undefined
  const answers = group.map(({ place, append }) => {
    if (obstacle !== undefined) return { place, answer: obstacle }
    try {
      return { place, answer: start(append).catch(failed) }
    } catch (error) {
      obstacle = failed(error)
      return { place, answer: obstacle }
    }
  })
  return await Promise.all(answers.map(async ({ place, answer }) => ({ place, answer: await answer })))
}

const failed = (error: unknown): AppendAnswer => {
  if (!isGlynError(error)) throw error
  return { type: 'failed', error }
}
