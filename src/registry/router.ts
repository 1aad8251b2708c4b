// Brings a request to the leader of a partition: follows redirects, waits out elections, tries again until a deadline.
// Requests carry a command id or only read, so that trying again is always safe.
import type { Cancel, Clock, Random } from '../core/clock.ts'
import { GlynError, hasCode, isGlynError } from '../core/errors.ts'
import type { LeaderTable } from './leader-table.ts'

/** Longest wait for one answer; a frozen leader is given up earlier when another is elected. */
const attemptMsMax = 3000
const backoffMsMin = 15
const backoffMsMax = 250

export interface RouterInit {
  readonly self: string
  readonly table: LeaderTable
  readonly clock: Clock
  readonly random: Random
  /** Peers worth asking when nobody is known to lead: the wanted replicas, the preferred leader first. */
  readonly candidates: (partition: number) => readonly string[]
  /** Who is missing of a partition that nobody answers for, in words and as details of the error; null for nobody. */
  readonly missing?: (partition: number) => { readonly text: string; readonly details: object } | null
}

export interface Route<T> {
  readonly partition: number
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  readonly here: () => Promise<T>
  readonly there: (peerId: string, options: { readonly timeoutMs: number }) => Promise<T>
}

export interface Router {
  /** Throws UNAVAILABLE after the deadline, with the last reason; and every failure that is not worth a retry. */
  route<T>(route: Route<T>): Promise<T>
  /** Requests that wait for their answer, wherever that comes from. A graceful stop waits until there are none. */
  underWay(): number
  stop(): void
}

export function createRouter(init: RouterInit): Router {
  const { table, clock, random } = init
  /** Attempts and waits under way, by partition: told when leadership moves. */
  const watchers = new Map<number, Set<() => void>>()
  let isStopped = false
  let underWay = 0

  table.onChange(partition => {
    for (const watcher of [...(watchers.get(partition) ?? [])]) watcher()
  })

  function watch(partition: number, watcher: () => void): Cancel {
    const set = watchers.get(partition) ?? new Set()
    watchers.set(partition, set)
    set.add(watcher)
    return () => {
      set.delete(watcher)
      if (set.size === 0 && watchers.get(partition) === set) watchers.delete(partition)
    }
  }

  /** One attempt, cut short when the deadline passes, the caller gives up, or another leader is known. */
  function attempt<T>(route: Route<T>, target: string, timeoutMs: number): Promise<T> {
    const { partition, signal } = route
    return new Promise<T>((resolve, reject) => {
      const end = (act: () => void): void => {
        cancelTimer()
        unwatch()
        signal?.removeEventListener('abort', onAbort)
        act()
      }
      const onAbort = (): void => end(() => reject(abortedBy(signal)))
      const cancelTimer = clock.after(timeoutMs, () =>
        end(() =>
          reject(new GlynError('TIMEOUT', `${target} did not answer within ${Math.round(timeoutMs)} ms`)),
        ),
      )
      const unwatch = watch(partition, () => {
        const { leader } = table.leaderOf(partition)
        if (leader === null || leader === target) return
        end(() =>
          reject(new GlynError('OUTCOME_UNKNOWN', `leadership of partition ${partition} moved to ${leader}`)),
        )
      })
      signal?.addEventListener('abort', onAbort)
      const answer = target === init.self ? route.here() : route.there(target, { timeoutMs })
      answer.then(
        value => end(() => resolve(value)),
        (error: unknown) => end(() => reject(error)),
      )
    })
  }

  /** Ends early when there is news of the partition, or the caller gives up. */
  function pause(partition: number, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>(resolve => {
      const end = (): void => {
        cancel()
        unwatch()
        signal?.removeEventListener('abort', end)
        resolve()
      }
      const cancel = clock.after(delayMs, end)
      const unwatch = watch(partition, end)
      signal?.addEventListener('abort', end)
    })
  }

  function learnFrom(error: GlynError, partition: number, target: string): void {
    if (error.code !== 'NOT_LEADER') {
      if (hasCode(error, 'PEER_UNREACHABLE', 'TIMEOUT', 'OUTCOME_UNKNOWN')) table.forget(partition, target)
      return
    }
    const { leader, term } = (error.details ?? {}) as {
      readonly leader?: string | null
      readonly term?: number
    }
    table.forget(partition, target)
    if (typeof leader === 'string' && leader !== target) table.learn(partition, { leader, term: term ?? 0 })
  }

  async function route<T>(request: Route<T>): Promise<T> {
    const { partition, signal, timeoutMs } = request
    const deadline = clock.now() + timeoutMs
    const hasGivenUp = (): boolean => signal?.aborted === true
    let last: GlynError | undefined
    for (let attempts = 0; ; attempts += 1) {
      if (hasGivenUp()) throw abortedBy(signal)
      if (isStopped) throw new GlynError('SHUTTING_DOWN', 'this node is stopping')
      const left = deadline - clock.now()
      if (left <= 0) throw unavailable(request, last, init.missing?.(partition) ?? null)
      const known = table.leaderOf(partition).leader
      const candidates = known === null ? init.candidates(partition) : []
      const target = known ?? candidates[attempts % Math.max(1, candidates.length)]
      try {
        if (target === undefined)
          throw new GlynError('UNAVAILABLE', `no leader of partition ${partition} is known`)
        return await attempt(request, target, Math.min(left, attemptMsMax))
      } catch (error) {
        // That the caller gives up says nothing about the leader.
        if (hasGivenUp() || !isGlynError(error) || !error.retryable) throw error
        last = error
        if (target !== undefined) learnFrom(error, partition, target)
      }
      const isRedirected =
        table.leaderOf(partition).leader !== null && table.leaderOf(partition).leader !== target
      if (isRedirected && attempts < 3) continue
      const ceiling = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(attempts, 6))
      const delayMs = Math.min(Math.max(1, deadline - clock.now()), ceiling * (0.5 + random() / 2))
      await pause(partition, delayMs, signal)
    }
  }

  return {
    async route(request) {
      underWay += 1
      try {
        return await route(request)
      } finally {
        underWay -= 1
      }
    },
    underWay: () => underWay,
    stop() {
      isStopped = true
    },
  }
}

function unavailable(
  route: { readonly partition: number; readonly timeoutMs: number },
  last: GlynError | undefined,
  missing: { readonly text: string; readonly details: object } | null,
): GlynError {
  if (last?.code === 'OVERLOADED') return last
  const why = missing === null ? (last?.message ?? 'no answer came') : missing.text
  return new GlynError(
    'UNAVAILABLE',
    `partition ${route.partition} could not be reached within ${route.timeoutMs} ms: ${why}`,
    { cause: last, details: { partition: route.partition, ...missing?.details } },
  )
}

const abortedBy = (signal: AbortSignal | undefined): GlynError =>
  new GlynError('TIMEOUT', 'the caller gave up before the answer came', { cause: signal?.reason })
