// The timers of one partition that are not due yet, and their firing. A timer is due when the wall clock of the leader says
// so, and a new leader waits for no timer longer than its delay, however its clock differs.
import type { Cancel } from '../core/clock.ts'
import { type PendingTimer, timerKey } from './checkpoint-aggregate.ts'
import { dueId } from './derived-id.ts'
import { instanceType } from './process-aggregate.ts'
import { backoffMs, pause, type ReactionEnvironment } from './reaction.ts'

/** The wall clock is looked at so often: it may be set. */
const lookMs = 1000
/** Timers that are fired at the same time. */
const firingMax = 32

export interface Timers {
  set(timer: PendingTimer): void
  gone(key: string): void
  count(process: string): number
  stop(): void
}

export function createTimers(init: {
  readonly environment: ReactionEnvironment
  readonly partition: number
  readonly signal: AbortSignal
  /** Timers of a process whose file is missing here wait. */
  readonly isKnown: (process: string) => boolean
}): Timers {
  const { environment, partition, signal } = init
  const { clock, log } = environment
  /** `seenMs`: when this leader heard of it. */
  const pending = new Map<string, { readonly timer: PendingTimer; readonly seenMs: number }>()
  /** What is fired stays until its step has been read back. */
  const firing = new Set<PendingTimer>()
  let running = 0
  let isStopped = false
  let cancel: Cancel | undefined
  let lookAtMs = Number.POSITIVE_INFINITY
  /** Some are due and wait for those that are being fired. */
  let isFull = false
  signal.addEventListener('abort', stop)

  function stop(): void {
    isStopped = true
    cancel?.()
    cancel = undefined
  }

  /** An earlier look stays: timers that are set one after the other do not put it off. */
  function lookWithin(ms: number): void {
    const atMs = clock.now() + ms
    if (isStopped || lookAtMs <= atMs) return
    lookAtMs = atMs
    cancel?.()
    cancel = clock.after(ms, look)
  }

  function look(): void {
    cancel?.()
    lookAtMs = Number.POSITIVE_INFINITY
    if (isStopped) return
    isFull = false
    let waitMs = lookMs
    for (const { timer, seenMs } of pending.values()) {
      if (firing.has(timer) || !init.isKnown(timer.process)) continue
      const leftMs = Math.min(timer.dueMs - clock.wallTime(), seenMs + timer.delayMs - clock.now())
      if (leftMs > 0) waitMs = Math.min(waitMs, leftMs)
      else if (running < firingMax) void fire(timer)
      else isFull = true
    }
    if (pending.size > 0) lookWithin(Math.ceil(waitMs))
  }

  async function fire(timer: PendingTimer): Promise<void> {
    const { process, instance, name, setBy } = timer
    firing.add(timer)
    running += 1
    const envelope = {
      aggregate: { type: instanceType(process), id: instance },
      command: { type: 'Fire', data: { name, setBy } },
      commandId: dueId(process, instance, { setBy, name }),
      metadata: {},
    }
    for (let attempt = 1; !isStopped; attempt += 1) {
      try {
        await environment.execute(partition, envelope)
        break
      } catch (error) {
        if (isStopped) break
        const text = `process/${process}: timer ${name} of ${instance} is due: ${String(error)}; tried again`
        if (attempt > 3) log.warn({ process, partition, attempt }, text)
        await pause(clock, backoffMs(attempt), signal)
      }
    }
    running -= 1
    // Not for each of them: a look goes through all that wait.
    if (isFull && running <= firingMax / 2) lookWithin(0)
  }

  return {
    set(timer) {
      const key = timerKey(timer)
      const earlier = pending.get(key)
      if (earlier !== undefined) firing.delete(earlier.timer)
      pending.set(key, { timer, seenMs: clock.now() })
      lookWithin(1)
    },
    gone(key) {
      const known = pending.get(key)
      if (known === undefined) return
      pending.delete(key)
      firing.delete(known.timer)
    },
    count: process => [...pending.values()].filter(({ timer }) => timer.process === process).length,
    stop,
  }
}
