// Gathers given events by partition: one request to the leader takes what waited while the one before was under way.

import { invariant } from '../core/assert.ts'
import type { Clock } from '../core/clock.ts'
import { GlynError, isGlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { partitionOf } from '../core/partition-of.ts'
import type { AppendAnswer } from '../partition/given-appends.ts'
import type { Router } from '../registry/router.ts'
import type { Append } from '../store/shared-store.ts'
import { encodeAppend } from './append-frame.ts'
import { checkAppend } from './check-append.ts'
import type { GivenAppend, GivenAppendResult } from './node-api.ts'
import type { RemoteAppends } from './remote-appends.ts'

/** Appends in one request to a leader. */
const requestAppendsMax = 256
/** Bytes of them, but for one that is larger by itself. */
const requestBytesMax = 1024 * 1024
/** What waits on one node, all partitions together. */
const waitingMax = 50_000
const waitingBytesMax = 64 * 1024 * 1024

export interface Appender {
  append(
    appends: readonly GivenAppend[],
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<readonly GivenAppendResult[]>
  /** Appends without an answer. */
  underWay(): number
}

interface Waiting {
  readonly append: Append
  readonly record: Uint8Array
  readonly deadlineMs: number
  readonly timeoutMs: number
  readonly resolve: (result: GivenAppendResult) => void
  readonly reject: (error: unknown) => void
  isSettled: boolean
}

interface Lane {
  readonly partition: number
  waiting: Waiting[]
  isSending: boolean
}

export function createAppender(init: {
  readonly router: Router
  readonly clock: Clock
  readonly partitions: number
  readonly here: (partition: number, appends: readonly Append[]) => Promise<readonly AppendAnswer[]>
  readonly there: RemoteAppends
}): Appender {
  const { router, clock, partitions } = init
  const lanes = new Map<number, Lane>()
  let count = 0
  let bytes = 0

  function laneOf(partition: number): Lane {
    let lane = lanes.get(partition)
    if (lane === undefined) {
      lane = { partition, waiting: [], isSending: false }
      lanes.set(partition, lane)
    }
    return lane
  }

  function settle(one: Waiting, act: () => void): void {
    if (one.isSettled) return
    one.isSettled = true
    count -= 1
    bytes -= one.record.length
    act()
  }

  function enqueue(
    { append, record }: { readonly append: Append; readonly record: Uint8Array },
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<GivenAppendResult> {
    const { promise, resolve, reject } = Promise.withResolvers<GivenAppendResult>()
    const deadlineMs = clock.now() + timeoutMs
    const one: Waiting = { append, record, deadlineMs, timeoutMs, resolve, reject, isSettled: false }
    count += 1
    bytes += record.length
    const giveUp = (): void =>
      settle(one, () =>
        reject(
          new GlynError('TIMEOUT', 'the caller gave up before the answer came', { cause: signal?.reason }),
        ),
      )
    if (signal?.aborted === true) giveUp()
    signal?.addEventListener('abort', giveUp, { once: true })
    const lane = laneOf(append.partition)
    lane.waiting.push(one)
    // In the next turn, so that what a caller gives one by one travels together.
    if (!lane.isSending) {
      lane.isSending = true
      clock.soon(() => void sendAll(lane))
    }
    return promise.finally(() => signal?.removeEventListener('abort', giveUp))
  }

  async function sendAll(lane: Lane): Promise<void> {
    for (;;) {
      const batch = nextBatch(lane)
      if (batch.length === 0) break
      await send(lane.partition, batch)
      lane.waiting = [...batch.filter(isOpen), ...lane.waiting]
    }
    lane.isSending = false
  }

  /** Taken from the lane. */
  function nextBatch(lane: Lane): readonly Waiting[] {
    const open = lane.waiting.filter(isOpen)
    const batch: Waiting[] = []
    let size = 0
    for (const one of open) {
      if (batch.length >= requestAppendsMax || (size > 0 && size + one.record.length > requestBytesMax)) break
      batch.push(one)
      size += one.record.length
    }
    lane.waiting = open.slice(batch.length)
    return batch
  }

  /** Settles what has an answer, or no time left. The others are to be tried again. */
  async function send(partition: number, batch: readonly Waiting[]): Promise<void> {
    const timeoutMs = Math.max(1, Math.min(...batch.map(({ deadlineMs }) => deadlineMs)) - clock.now())
    try {
      await router.route({
        partition,
        timeoutMs,
        async here() {
          const open = batch.filter(isOpen)
          const appends = open.map(({ append }) => append)
          take(open, open.length === 0 ? [] : await init.here(partition, appends))
        },
        async there(peerId, attempt) {
          const open = batch.filter(isOpen)
          const records = open.map(({ record }) => record)
          const request = { peerId, partition, records, timeoutMs: attempt.timeoutMs }
          take(open, open.length === 0 ? [] : await init.there(request))
        },
      })
    } catch (error) {
      const isFinal = !isGlynError(error) || !error.retryable || error.code === 'SHUTTING_DOWN'
      for (const one of batch.filter(isOpen))
        if (isFinal || one.deadlineMs <= clock.now()) settle(one, () => one.reject(error))
    }
  }

  /** Throws what stood in the way of those that are worth another try: the router knows how long to wait. */
  function take(asked: readonly Waiting[], answers: readonly AppendAnswer[]): void {
    let obstacle: GlynError | undefined
    for (const [place, one] of asked.entries()) {
      const answer = answers[place]
      invariant(answer !== undefined, 'every append has an answer')
      const { partition } = one.append
      if (answer.type === 'appended') settle(one, () => one.resolve({ ...answer, partition }))
      else if (answer.type !== 'failed') settle(one, () => one.resolve(answer))
      else if (!answer.error.retryable) settle(one, () => one.reject(answer.error))
      else obstacle ??= answer.error
    }
    if (obstacle !== undefined) throw obstacle
  }

  return {
    async append(given, options) {
      const checked = given.map((one, place) => prepareAppend(one, `append ${place + 1}`, partitions))
      const more = checked.reduce((sum, { record }) => sum + record.length, 0)
      if (count + checked.length > waitingMax || bytes + more > waitingBytesMax) {
        throw new GlynError(
          'OVERLOADED',
          `${count} appends of ${bytes} bytes wait on this node and ${checked.length} of ${more} bytes come; ` +
            `allowed: ${waitingMax} of ${waitingBytesMax} bytes`,
        )
      }
      return await Promise.all(checked.map(one => enqueue(one, options)))
    },
    underWay: () => count,
  }
}

/** Checked. `record`: as it travels, and rests. Throws INVALID_ARGUMENT and MESSAGE_TOO_LARGE that begin with `where`. */
export function prepareAppend(
  given: GivenAppend,
  where: string,
  partitions: number,
): { readonly append: Append; readonly record: Uint8Array } {
  const checked = checkAppend(given, where)
  const record = encodeAppend(checked)
  if (record.length > limits.entryBytesMax) {
    const text = `${where} has ${record.length} bytes; allowed: ${limits.entryBytesMax}`
    throw new GlynError('MESSAGE_TOO_LARGE', text)
  }
  return { append: { ...checked, partition: partitionOf(checked.aggregate, partitions) }, record }
}

const isOpen = ({ isSettled }: Waiting): boolean => !isSettled
