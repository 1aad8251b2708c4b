// The life of the thread of one version of a query: it is started, loads and opens within a deadline, is started again when
// it crashed or did not load, and is ended.
import type { Cancel, Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { AskQueue } from './ask-queue.ts'
import type { LastError } from './last-error.ts'
import { backoffMs } from './partition-retries.ts'
import type { QueryIdentity } from './query-identity.ts'
import type { QueryLimits } from './query-limits.ts'
import type { ErrorText, FromRunner, RunnerHandle, ToRunner } from './runner-messages.ts'
import type { SpawnRunner } from './spawn-runner.ts'

/**
 * `loading` → `open` → … A thread that ends unasked is started again after a backoff, as `restarting`; one that did not
 * load is `failed` and tried again after a longer one. `stopped` is final: `onError: 'stop'`, or `close()`.
 */
export type ThreadPhase = 'loading' | 'open' | 'restarting' | 'failed' | 'stopped'

export interface QueryThreadInit {
  readonly identity: QueryIdentity
  readonly lastError: LastError
  /** Told what becomes of them when the thread ends. */
  readonly asks: Pick<AskQueue, 'suspend' | 'reject'>
  readonly spawn: SpawnRunner
  readonly clock: Clock
  readonly log: Log
  readonly limits: QueryLimits
  /** Of the thread that is; what those say that were is not heard. */
  onMessage(message: FromRunner): void
  /** It was open, and ended unasked: to be answered by `restart` or `stopAfter`. */
  onCrash(error: ErrorText): void
  /** Whatever it was at is over. */
  onDown(): void
  onChange(): void
}

export interface QueryThread {
  readonly phase: ThreadPhase
  /** In a row, without progress. */
  readonly crashes: number
  /** Resolves when it has loaded for the first time, or failed to. */
  start(): Promise<void>
  /** To the thread that is here, if one is. */
  post(message: ToRunner): void
  /** Posts the result, unless it is null, to the thread that is here now, and to no later one. Not to reject. */
  postResult(work: (ended: AbortSignal) => Promise<ToRunner | null>): Promise<void>
  /** From now on it has so long to open a read model, else it fails with this. */
  expectOpen(waitMs: number, elseSay: string): void
  /** It has. */
  becomeOpen(): void
  /** It made progress: the next crash is the first again. */
  forgetCrashes(): void
  /**
   * Ends it, dead or useless as it is, and starts another one with the same code. The partition whose batch was under way
   * rests for its backoff, so that the others can go on meanwhile; without such a culprit the start itself waits.
   */
  restart(error: ErrorText, culprit: number | null): void
  /** Ends it: it does not load. Tried again after the long backoff, with the code that is on the disk then. */
  failToLoad(error: ErrorText): void
  /** Tries to load again now what failed to. */
  retryNow(): void
  /** Ends it for good, as its `onError` says. */
  stopAfter(error: ErrorText): void
  /** Why it takes no questions. */
  refusal(): GlynError
  /** It may finish its batch. Resolves when it is gone, or cannot be ended. `why`: as that of the supervisor. */
  close(why?: string): Promise<void>
}

export function createQueryThread(init: QueryThreadInit): QueryThread {
  return new Thread(init)
}

class Thread implements QueryThread {
  readonly #init: QueryThreadInit
  #phase: ThreadPhase = 'loading'
  #crashes = 0
  #runner: RunnerHandle | undefined
  /** Distinguishes the messages of the runner that is from those of runners that were. */
  #generation = 0
  #openDeadline: Cancel | undefined
  #restart: Cancel | undefined
  #aborter = new AbortController()
  #ending: Promise<void> | undefined
  #onFirstLoad: (() => void) | undefined
  #onGone: (() => void) | undefined

  constructor(init: QueryThreadInit) {
    this.#init = init
  }

  get phase(): ThreadPhase {
    return this.#phase
  }

  get crashes(): number {
    return this.#crashes
  }

  start(): Promise<void> {
    const loaded = new Promise<void>(resolve => {
      this.#onFirstLoad = resolve
    })
    this.#spawn()
    return loaded
  }

  post(message: ToRunner): void {
    this.#runner?.post(message)
  }

  async postResult(work: (ended: AbortSignal) => Promise<ToRunner | null>): Promise<void> {
    const runner = this.#runner
    const result = await work(this.#aborter.signal)
    if (result !== null) runner?.post(result)
  }

  expectOpen(waitMs: number, elseSay: string): void {
    this.#openDeadline?.()
    this.#openDeadline = this.#init.clock.after(waitMs, () => {
      const { file } = this.#init.identity
      const where = file === null ? '' : `${file}: `
      this.failToLoad({ message: `${where}${elseSay} within ${waitMs} ms`, stack: null })
    })
  }

  becomeOpen(): void {
    this.#openDeadline?.()
    this.#phase = 'open'
    this.#firstLoadIsOver()
  }

  forgetCrashes(): void {
    this.#crashes = 0
  }

  restart(error: ErrorText, culprit: number | null): void {
    const { identity, asks, log, limits } = this.#init
    this.#crashes += 1
    const delayMs = culprit === null ? backoffMs(limits, this.#crashes) : limits.backoffMsMin
    const text = `${identity.label()}: ${error.message}; its thread is started again in ${delayMs} ms`
    const fields = { ...identity.fields(), partition: culprit, attempt: this.#crashes, stack: error.stack }
    log.error(fields, text)
    this.#phase = 'restarting'
    asks.suspend(new GlynError('QUERY_FAILED', `${identity.label()}: ${error.message}`))
    void this.#end().then(() => this.#spawnAfter(delayMs))
  }

  failToLoad(error: ErrorText): void {
    const { identity, lastError, asks, log, limits } = this.#init
    const isNews = lastError.is?.message !== error.message
    lastError.remember(error)
    this.#phase = 'failed'
    identity.forgetCode()
    const text = `${identity.label()}: ${error.message}; tried again in ${limits.loadBackoffMs} ms`
    log[isNews ? 'error' : 'debug']({ ...identity.fields(), stack: error.stack }, text)
    asks.reject(this.refusal())
    void this.#end().then(() => {
      this.#spawnAfter(limits.loadBackoffMs)
      this.#firstLoadIsOver()
      this.#init.onChange()
    })
  }

  retryNow(): void {
    if (this.#phase !== 'failed' || this.#ending !== undefined) return
    this.#restart?.()
    this.#spawn()
  }

  stopAfter(error: ErrorText): void {
    const { identity, log } = this.#init
    const text = `${identity.label()} is stopped, as its onError says: ${error.message}`
    log.error({ ...identity.fields(), stack: error.stack }, text)
    this.#stop(new GlynError('QUERY_FAILED', text))
    void this.#end()
  }

  refusal(): GlynError {
    const { identity, lastError } = this.#init
    const why = lastError.is?.message ?? 'it was closed'
    return new GlynError('QUERY_FAILED', `${identity.label()} is ${this.#phase}: ${why}`)
  }

  async close(why?: string): Promise<void> {
    const { identity, limits, log } = this.#init
    const code = why === undefined ? 'SHUTTING_DOWN' : 'UNAVAILABLE'
    this.#stop(new GlynError(code, `${identity.label()}: ${why ?? 'the node is stopping'}`))
    this.post({ type: 'close', isUrgent: false })
    await this.#isGoneWithin(limits.closeMsMax)
    if (this.#runner !== undefined) void this.#end()
    // A thread cannot be ended inside of a statement of SQLite that has no end: it is left behind.
    const isGone = await this.#isGoneWithin(limits.closeMsMax)
    if (!isGone) log.error(identity.fields(), `${identity.label()}: its thread did not end`)
  }

  #spawn(): void {
    this.#generation += 1
    const generation = this.#generation
    const { identity, limits, clock } = this.#init
    this.#phase = 'loading'
    this.#aborter = new AbortController()
    this.expectOpen(limits.loadMsMax, 'did not load')
    try {
      this.#runner = this.#init.spawn(
        {
          onMessage: message => {
            if (generation === this.#generation && this.#phase !== 'stopped') this.#init.onMessage(message)
          },
          onExit: error => {
            if (generation === this.#generation) this.#onExit(error)
          },
        },
        identity.kept,
      )
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      clock.soon(() => this.failToLoad({ message: `its thread cannot start: ${why}`, stack: null }))
    }
  }

  #spawnAfter(delayMs: number): void {
    if (this.#phase === 'stopped') return
    this.#restart?.()
    this.#restart = this.#init.clock.after(delayMs, () => this.#spawn())
  }

  #onExit(error: ErrorText | null): void {
    this.#runner = undefined
    if (this.#phase === 'stopped') {
      this.#onGone?.()
      return
    }
    const reason = error ?? { message: 'its thread ended by itself', stack: null }
    if (this.#phase === 'loading') this.failToLoad(reason)
    else if (this.#phase === 'open') this.#init.onCrash(reason)
  }

  #stop(reason: GlynError): void {
    this.#phase = 'stopped'
    this.#restart?.()
    this.#quieten()
    this.#init.asks.reject(reason)
    this.#firstLoadIsOver()
    this.#init.onChange()
  }

  /** Ends the runner at once. The generation moves on: nothing it still says is heard. */
  #end(): Promise<void> {
    const runner = this.#runner
    this.#generation += 1
    this.#runner = undefined
    this.#quieten()
    // A thread cannot be ended inside of a statement of SQLite: while it lasts, the query cannot go on.
    const late = this.#init.clock.after(this.#init.limits.closeMsMax, () => this.#sayItDoesNotEnd())
    const ending = (runner?.terminate() ?? Promise.resolve()).then(() => {
      late()
      if (this.#ending === ending) this.#ending = undefined
    })
    this.#ending = ending
    return ending
  }

  #sayItDoesNotEnd(): void {
    if (this.#phase === 'stopped') return
    const { identity, lastError, asks, log } = this.#init
    const before = lastError.is?.message ?? 'it was ended'
    const message =
      `${before}; its thread does not end either, so it is inside of one SQL statement: the query goes on when ` +
      'that ends, when its file changes, or when the node is started again'
    lastError.remember({ message, stack: lastError.is?.stack ?? null })
    log.error(identity.fields(), `${identity.label()}: ${message}`)
    asks.reject(new GlynError('QUERY_FAILED', `${identity.label()}: ${message}`))
  }

  #quieten(): void {
    this.#aborter.abort()
    this.#openDeadline?.()
    this.#init.onDown()
  }

  /** Waits until the runner has ended, by itself or because it was told to. */
  #isGoneWithin(waitMs: number): Promise<boolean> {
    if (this.#runner === undefined && this.#ending === undefined) return Promise.resolve(true)
    return new Promise(resolve => {
      const cancel = this.#init.clock.after(waitMs, () => resolve(false))
      const onGone = (): void => {
        cancel()
        resolve(true)
      }
      this.#onGone = onGone
      void this.#ending?.then(onGone)
    })
  }

  #firstLoadIsOver(): void {
    this.#onFirstLoad?.()
    this.#onFirstLoad = undefined
  }
}
