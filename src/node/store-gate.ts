// Stands before a shared store: nothing passes before it is connected, every call has a deadline, and what is wrong is told.
import type { Clock } from '../core/clock.ts'
import { GlynError, hasCode, isGlynError } from '../core/errors.ts'
import type { SharedStore, StoreBinding } from '../store/shared-store.ts'

/** A call that takes longer has failed. It may have been written all the same. */
const callMsMax = 10_000
/** A start waits so long for a store that cannot be reached. */
const connectMsMax = 60_000
const retryMsMin = 200
const retryMsMax = 2000
/** A failure that is followed by no success for so long is a problem. */
const troubleMs = 2000

interface Waiting {
  readonly signal: AbortSignal
  readonly onProgress: (text: string) => void
}

export interface StoreGate {
  /** What the parts of the node use. Throws UNAVAILABLE before it is connected. */
  readonly store: SharedStore
  /**
   * Waits for the store, and lets `check` judge which cluster it belongs to before anything passes. Throws UNAVAILABLE after
   * a minute, CLUSTER_MISMATCH, what `check` throws, and what else the store throws.
   */
  connect(
    binding: StoreBinding,
    options: Waiting & { readonly check: (cluster: string | null) => void },
  ): Promise<void>
  /** Claims the store for a cluster, and lets `check` judge the outcome. Waits and throws as `connect`. */
  claim(
    cluster: string,
    options: Waiting & { readonly check: (cluster: string | null) => void },
  ): Promise<void>
  /** That the store cannot be reached, in words; null when all is well. */
  problem(): string | null
}

export function createStoreGate(init: {
  readonly store: SharedStore
  readonly clock: Clock
  readonly connectMs?: number
}): StoreGate {
  const { store, clock } = init
  const { location } = store
  let isConnected = false
  let failing: { readonly sinceMs: number; readonly message: string } | undefined

  /** With a signal for the deadline and for the caller's own. A store that ignores it is not waited for either. */
  function call<T>(
    work: (signal: AbortSignal) => Promise<T>,
    { timeoutMs = callMsMax, caller }: { readonly timeoutMs?: number; readonly caller?: AbortSignal } = {},
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      caller?.throwIfAborted()
      const ending = new AbortController()
      const giveUp = (reason: unknown): void => {
        cancel()
        ending.abort(reason)
        reject(reason)
      }
      const onAbort = (): void => giveUp(caller?.reason)
      caller?.addEventListener('abort', onAbort, { once: true })
      const cancelTimer = clock.after(timeoutMs, () => {
        const error = new GlynError('UNAVAILABLE', `store ${location}: no answer within ${timeoutMs} ms`)
        note(error)
        giveUp(error)
      })
      const cancel = (): void => {
        cancelTimer()
        caller?.removeEventListener('abort', onAbort)
      }
      // A store that throws at once is no different from one whose promise rejects.
      const answer = (async () => await work(ending.signal))()
      answer.then(
        value => {
          cancel()
          failing = undefined
          resolve(value)
        },
        (error: unknown) => {
          cancel()
          // Whoever gave up was told why.
          if (ending.signal.aborted) return
          const known = knownError(error)
          if (known.code === 'UNAVAILABLE') note(known)
          reject(known)
        },
      )
    })
  }

  function note({ message }: GlynError): void {
    failing = { sinceMs: failing?.sinceMs ?? clock.now(), message }
  }

  /** A custom store may throw anything. */
  function knownError(error: unknown): GlynError {
    if (isGlynError(error)) return error
    const text = error instanceof Error ? error.message : String(error)
    return new GlynError('EVENT_STORE_ERROR', `store ${location}: ${text}`, { cause: error })
  }

  function open<T>(work: (signal: AbortSignal) => Promise<T>, caller?: AbortSignal): Promise<T> {
    if (isConnected) return call(work, caller === undefined ? {} : { caller })
    return Promise.reject(new GlynError('UNAVAILABLE', `store ${location} is not connected yet`))
  }

  /** Again and again while the store cannot be reached. The work must be one that may be repeated. */
  async function persist<T>(work: () => Promise<T>, { signal, onProgress }: Waiting): Promise<T> {
    const connectMs = init.connectMs ?? connectMsMax
    const deadline = clock.now() + connectMs
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted()
      const left = deadline - clock.now()
      try {
        const timeoutMs = Math.max(1, Math.min(left, callMsMax))
        return await call(work, { timeoutMs, caller: signal })
      } catch (error) {
        if (!hasCode(error, 'UNAVAILABLE')) throw error
        if (clock.now() >= deadline) {
          const text = `the store could not be reached within ${connectMs} ms: ${error.message}`
          throw new GlynError('UNAVAILABLE', text, { cause: error })
        }
        onProgress(`waiting for the store, attempt ${attempt}: ${error.message}`)
      }
      const delayMs = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(attempt - 1, 8), deadline - clock.now())
      await new Promise<void>(resolve => clock.after(Math.max(1, delayMs), resolve))
    }
  }

  return {
    store: {
      location,
      open: binding => store.open(binding),
      cluster: claim => open(() => store.cluster(claim)),
      append: (appends, options) =>
        open(signal => store.append(appends, { ...options, signal }), options?.signal),
      readStream: (aggregate, range) => open(() => store.readStream(aggregate, range)),
      sequences: aggregates => open(() => store.sequences(aggregates)),
      readCommand: (aggregate, commandId) => open(() => store.readCommand(aggregate, commandId)),
      readLog: (partition, range) => open(() => store.readLog(partition, range)),
      heads: () => open(() => store.heads()),
      latestSnapshot: aggregate => open(() => store.latestSnapshot(aggregate)),
      writeSnapshots: snapshots => open(() => store.writeSnapshots(snapshots)),
      aggregates: filter => open(() => store.aggregates(filter)),
      statistics: () => open(() => store.statistics()),
      close: () => store.close(),
    },
    async connect(binding, { check, ...waiting }) {
      const work = async (): Promise<string | null> => {
        await store.open(binding)
        return await store.cluster()
      }
      check(await persist(work, waiting))
      isConnected = true
    },
    async claim(cluster, { check, ...waiting }) {
      check(await persist(() => store.cluster(cluster), waiting))
    },
    problem() {
      if (failing === undefined || clock.now() - failing.sinceMs < troubleMs) return null
      return `the store cannot be reached: ${failing.message}. Commands wait for it; this node goes on by itself when it is back`
    },
  }
}
