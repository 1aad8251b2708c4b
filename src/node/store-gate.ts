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

export interface StoreGate {
  /** What the parts of the node use. Throws UNAVAILABLE before it is connected. */
  readonly store: SharedStore
  /** Waits for the store. Throws UNAVAILABLE after a minute, CLUSTER_MISMATCH, and what else the store throws. */
  connect(
    binding: StoreBinding,
    options: { readonly signal: AbortSignal; readonly onProgress: (text: string) => void },
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

  return {
    store: {
      location,
      open: binding => store.open(binding),
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
    async connect(binding, { signal, onProgress }) {
      const connectMs = init.connectMs ?? connectMsMax
      const deadline = clock.now() + connectMs
      for (let attempt = 1; ; attempt += 1) {
        signal.throwIfAborted()
        const left = deadline - clock.now()
        try {
          const timeoutMs = Math.max(1, Math.min(left, callMsMax))
          await call(() => store.open(binding), { timeoutMs, caller: signal })
          isConnected = true
          return
        } catch (error) {
          if (!hasCode(error, 'UNAVAILABLE')) throw error
          if (clock.now() >= deadline) {
            const text = `the store could not be reached within ${connectMs} ms: ${error.message}`
            throw new GlynError('UNAVAILABLE', text, { cause: error })
          }
          onProgress(`waiting for the store, attempt ${attempt}: ${error.message}`)
        }
        const delayMs = Math.min(
          retryMsMax,
          retryMsMin * 2 ** Math.min(attempt - 1, 8),
          deadline - clock.now(),
        )
        await new Promise<void>(resolve => clock.after(Math.max(1, delayMs), resolve))
      }
    },
    problem() {
      if (failing === undefined || clock.now() - failing.sinceMs < troubleMs) return null
      return `the store cannot be reached: ${failing.message}. Commands wait for it; this node goes on by itself when it is back`
    },
  }
}
