// The function form meets a batch: one call after the other, each awaited, and checkpoints behind them.
import { type Applied, type Batch, type Budget, failureOf } from './batch.ts'
import type { AnyQueryFunction } from './define-query.ts'
import { groupByAggregate } from './event-groups.ts'
import type { ReadModel } from './read-model.ts'

/** What it has seen since its last checkpoint was made within this time, or in one call. */
const checkpointMs = 10

/**
 * The checkpoint follows each call that takes time, and the calls of some milliseconds where they take none. Throws nothing
 * that the function throws.
 */
export async function applyCalls(
  run: { readonly call: AnyQueryFunction; readonly model: ReadModel; readonly budget: Budget },
  batch: Batch,
): Promise<Applied> {
  const { call, model, budget } = run
  const { partition } = batch
  let saved = model.positions.get(partition) ?? 0
  let index = saved
  const save = (): void => {
    if (index === saved) return
    model.writeCheckpoint(partition, index)
    model.positions.set(partition, index)
    saved = index
  }
  let failure: Applied['failure'] = null
  try {
    const groups = groupByAggregate(batch.events)
    let nowMs = budget.now()
    let savedAtMs = nowMs
    const untilMs = nowMs + budget.batchMs
    let done = 0
    for (const { aggregate, events, lastIndex } of groups) {
      const result = call(aggregate.id, events)
      // To wait for nothing costs as much as a quick call.
      if (result !== undefined) await result
      done += 1
      index = lastIndex
      nowMs = budget.now()
      if (nowMs > untilMs) break
      if (nowMs - savedAtMs > checkpointMs) {
        save()
        savedAtMs = nowMs
      }
    }
    if (done === groups.length) index = batch.throughIndex
  } catch (error) {
    failure = failureOf(error)
  }
  try {
    save()
  } catch (error) {
    return { index: saved, failure: failureOf(error) }
  }
  return { index, failure }
}
