// Looks after one version of one query from the main thread: feeds it, hears it, hands it its questions and messages.
import type { Clock } from '../core/clock.ts'
import { fromErrorBody } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { QueryMessage } from '../core/query-message.ts'
import { type AskOptions, type AskQueue, createAskQueue } from './ask-queue.ts'
import type { HeadHistory } from './head-history.ts'
import { createHeadsToSend, type HeadsToSend } from './heads-to-send.ts'
import { createLastError, type LastError } from './last-error.ts'
import { createMessageLine, type MessageLine } from './message-line.ts'
import type { ParkedCounts } from './parked-entries.ts'
import type { EventSource } from './query.ts'
import { createQueryFailures, type QueryFailures } from './query-failures.ts'
import { createQueryHolds, type HoldReason, type QueryHolds } from './query-holds.ts'
import { type CodeParts, createQueryIdentity, type QueryIdentity } from './query-identity.ts'
import type { QueryLimits } from './query-limits.ts'
import { createQueryProgress, type QueryProgress } from './query-progress.ts'
import { createQueryThread, type QueryThread } from './query-thread.ts'
import type { ReadModelPlaces } from './read-model-files.ts'
import type { FromRunner, ToRunner } from './runner-messages.ts'
import { type ReadRequest, serveRead } from './serve-read.ts'
import type { SpawnRunner } from './spawn-runner.ts'
import { describeState, type VersionStatus, versionStatus } from './version-status.ts'

export interface SupervisorInit {
  /** For status and logs until the file has said its name. */
  readonly name: string
  readonly file: string | null
  /** Of a definition given in code. That of a file is known when it is loaded, with what it imports. */
  readonly contentHash: string
  readonly history: string
  readonly spawn: SpawnRunner
  /** Inline runners read through the host. */
  readonly mayReadLog: boolean
  /** Where the read model of this name rests. Throws when another query has the name. */
  claim(name: string): Pick<ReadModelPlaces, 'path'> & { readonly nextPath: string | null }
  /** False while it is built beside the version that answers: it takes no questions then. */
  readonly isServing: boolean
  /** Something that {@link QuerySupervisor} tells has changed. */
  onChange(): void
  readonly source: EventSource
  readonly headHistory: HeadHistory
  readonly clock: Clock
  readonly log: Log
  readonly limits: QueryLimits
}

export interface QuerySupervisor {
  /** Resolves when the query has loaded for the first time, or failed to. */
  start(): Promise<void>
  ask(question: string, parameters: Readonly<Record<string, unknown>>, options: AskOptions): Promise<unknown>
  status(): VersionStatus
  readonly name: string
  readonly version: number
  /** SHA-256, hex; of the code that is loaded, or was last. */
  readonly contentHash: string
  /** The files that it was loaded from, or those that were loaded until it failed; empty when that is not known. */
  parts(): CodeParts
  /** It has a thread that has loaded its code, or it can be given one. */
  isLoaded(): boolean
  /** It has seen what there was to see, or nearly so, and goes on. */
  isCaughtUp(): boolean
  /** It has seen everything that the other has. */
  isAbreastOf(other: QuerySupervisor): boolean
  positions(): ReadonlyMap<number, number>
  /** The same version was being built beside it when the node ended. */
  readonly hasNext: boolean
  /** It begins no further batch for this reason, and keeps answering. Resolves when none is under way. */
  hold(why: HoldReason): Promise<void>
  release(why: HoldReason): void
  /** It takes questions from now on; they wait until its read model is open. */
  serve(): void
  /** The same code lies in these files now. */
  learnParts(parts: CodeParts): void
  /** Its read model takes the place that `claim` names now, and it answers. After `serve`. */
  takeOver(): Promise<void>
  /** What it has not begun to answer is answered by the other. */
  handOver(to: QuerySupervisor): void
  accept(queue: AskQueue): void
  whenAnswered(): Promise<void>
  /** Tries to load again now what failed to. */
  retryNow(): void
  /** Ends the runner: the query cannot run for a reason outside of its code. Tried again after the long backoff. */
  fail(message: string): void
  /** Heads moved. */
  advance(): void
  /** For its `onMessage`; dropped and counted when it cannot take it now. */
  deliver(message: QueryMessage): void
  /** Questions that were not answered fail: with SHUTTING_DOWN, as the node stops, or UNAVAILABLE and why it closes else. */
  close(why?: string): Promise<void>
}

export function createQuerySupervisor(init: SupervisorInit): QuerySupervisor {
  return new Supervisor(init)
}

class Supervisor implements QuerySupervisor {
  readonly #init: SupervisorInit
  readonly #identity: QueryIdentity
  readonly #progress: QueryProgress
  readonly #lastError: LastError
  readonly #asks: AskQueue
  readonly #messages: MessageLine
  readonly #heads: HeadsToSend
  readonly #holds: QueryHolds
  readonly #thread: QueryThread
  readonly #failures: QueryFailures
  #hasNext = false
  #parked: ParkedCounts = { failed: 0, held: 0 }

  constructor(init: SupervisorInit) {
    this.#init = init
    const { source, mayReadLog, clock, log, limits, spawn } = init
    const post = (message: ToRunner): void => this.#thread.post(message)
    const onChange = (): void => init.onChange()
    const identity = createQueryIdentity(init)
    const progress = createQueryProgress(init)
    const lastError = createLastError(clock)
    const asks = createAskQueue({
      clock,
      asksMax: limits.asksMax,
      describe: () => describeState(this.#aspects()),
      send: ({ id, kind, question, parameters }) => post({ type: 'ask', id, kind, question, parameters }),
      hasReached: (partition, index) => progress.indexOf(partition) >= index,
    })
    const holds = createQueryHolds({ isOpen: () => this.#thread.phase === 'open', post })
    const shared = { identity, progress, lastError, holds, asks, clock, log, limits, onChange }
    const thread = createQueryThread({
      ...shared,
      spawn,
      onMessage: message => this.#receive(message),
      onCrash: error => this.#failures.crashed(error),
      onDown: () => this.#onDown(),
    })
    this.#identity = identity
    this.#progress = progress
    this.#lastError = lastError
    this.#asks = asks
    this.#messages = createMessageLine({ clock, log, limits, fields: () => identity.fields(), post })
    this.#heads = createHeadsToSend({ source, mayReadLog, post })
    this.#holds = holds
    this.#thread = thread
    this.#failures = createQueryFailures({ ...shared, thread })
  }

  start(): Promise<void> {
    return this.#thread.start()
  }

  async ask(
    question: string,
    parameters: Readonly<Record<string, unknown>>,
    options: AskOptions,
  ): Promise<unknown> {
    const { phase } = this.#thread
    if (phase === 'failed' || phase === 'stopped') throw this.#thread.refusal()
    return this.#asks.ask(question, parameters, options)
  }

  status(): VersionStatus {
    return versionStatus(this.#aspects(), { parked: this.#parked, messages: this.#messages })
  }

  get name(): string {
    return this.#identity.name
  }

  get version(): number {
    return this.#identity.version
  }

  get contentHash(): string {
    return this.#identity.contentHash
  }

  get hasNext(): boolean {
    return this.#hasNext
  }

  parts(): CodeParts {
    return this.#identity.parts
  }

  learnParts(parts: CodeParts): void {
    this.#identity.learnParts(parts)
  }

  positions(): ReadonlyMap<number, number> {
    return this.#progress.positions
  }

  isLoaded(): boolean {
    const { phase } = this.#thread
    if (phase === 'failed' || phase === 'stopped') return false
    return phase === 'open' || this.#identity.kept !== null
  }

  isCaughtUp(): boolean {
    const isWell = this.#thread.phase === 'open' && this.#failures.resting().length === 0
    return isWell && this.#progress.isNearlyThere()
  }

  isAbreastOf(other: QuerySupervisor): boolean {
    return this.#progress.isAbreastOf(other.positions())
  }

  advance(): void {
    this.#heads.advance()
    this.#failures.watch()
  }

  deliver(message: QueryMessage): void {
    this.#messages.deliver(message, { isPaused: this.#holds.has('pause') })
  }

  hold(why: HoldReason): Promise<void> {
    return this.#holds.hold(why)
  }

  release(why: HoldReason): void {
    if (this.#holds.release(why)) this.#failures.watch()
  }

  serve(): void {
    this.#identity.serve()
  }

  async takeOver(): Promise<void> {
    await this.hold('swap')
    this.#holds.drop('swap')
    // A thread that is being started finds its place by itself.
    if (this.#thread.phase !== 'open') return
    const { path } = this.#init.claim(this.#identity.name)
    this.#thread.expectOpen(this.#init.limits.openMsMax, 'did not take the place of the old read model')
    this.#thread.post({ type: 'adopt', path })
  }

  handOver(to: QuerySupervisor): void {
    to.accept(this.#asks)
  }

  accept(queue: AskQueue): void {
    queue.moveWaiting(this.#asks)
  }

  whenAnswered(): Promise<void> {
    return this.#asks.whenAnswered()
  }

  retryNow(): void {
    this.#thread.retryNow()
  }

  fail(message: string): void {
    const { phase } = this.#thread
    if (phase === 'loading' || phase === 'open') this.#thread.failToLoad({ message, stack: null })
  }

  close(why?: string): Promise<void> {
    return this.#thread.close(why)
  }

  #receive(message: FromRunner): void {
    switch (message.type) {
      case 'loaded':
        this.#onLoaded(message)
        return
      case 'load-failed':
        if (message.code !== undefined) this.#identity.learnParts(message.code.parts)
        this.#thread.failToLoad(message.error)
        return
      case 'opened':
        this.#onOpened(message)
        return
      case 'begin':
        if (message.ask !== null) this.#asks.begin(message.ask)
        this.#failures.begin(message)
        return
      case 'end':
        this.#failures.end(message.work)
        return
      case 'read':
        void this.#thread.postResult(ended => this.#read(message, ended))
        return
      case 'progress':
        this.#progress.move(message)
        this.#failures.progressed(message.partition, message.index)
        this.#thread.forgetCrashes()
        this.#asks.maybeSend()
        this.#init.onChange()
        return
      case 'held':
        this.#holds.settle()
        return
      case 'parked':
        this.#parked = message.counts
        if (message.note !== null) this.#say('error', message.note)
        return
      case 'failed':
        this.#failures.failed(message)
        return
      case 'idle':
        if (this.#heads.becomeIdle()) this.#progress.catchUp()
        this.#init.onChange()
        return
      case 'message-done':
        this.#messages.settle(message)
        if (message.error !== null) this.#lastError.remember(message.error)
        return
      case 'answer':
        this.#asks.settle(message.id, { value: JSON.parse(message.json) as unknown })
        return
      case 'answer-failed':
        this.#asks.settle(message.id, { error: fromErrorBody(message.error) })
        return
    }
  }

  #onLoaded(message: Extract<FromRunner, { type: 'loaded' }>): void {
    const { limits, source, history, mayReadLog } = this.#init
    this.#identity.learn(message)
    let places: ReturnType<SupervisorInit['claim']>
    try {
      places = this.#init.claim(message.name)
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error))
      return
    }
    this.#failures.setPolicy(message)
    this.#asks.setQuestions(message.name, message.questions)
    this.#messages.setWanted(message.takesMessages)
    this.#thread.expectOpen(limits.openMsMax, 'did not open its read model')
    const { localLog } = source
    this.#thread.post({
      type: 'open',
      ...places,
      contentHash: this.#identity.contentHash,
      history,
      localLog:
        localLog === null || !mayReadLog
          ? null
          : { path: localLog.path, readerModule: localLog.readerModule },
      batchEventsMax: limits.batchEventsMax,
      resting: this.#failures.resting(),
      suspects: this.#failures.suspects(),
      batchMs: limits.batchMs,
      parkedMax: limits.parkedMax,
    })
  }

  #onOpened({ positions, note, parked, hasNext }: Extract<FromRunner, { type: 'opened' }>): void {
    this.#hasNext = hasNext
    this.#parked = parked
    if (note === null) this.#init.log.debug(this.#identity.fields(), `${this.#identity.label()} runs`)
    else this.#say('warn', note)
    const before = this.#progress.positions
    this.#progress.open(positions)
    this.#thread.becomeOpen()
    this.#failures.resume(before)
    if (this.#holds.isHeld()) this.#thread.post({ type: 'hold' })
    this.#heads.open()
    // One that has taken over a place was held for it. After the heads: without them it would believe that it is done.
    if (!this.#holds.isHeld()) this.#thread.post({ type: 'release' })
    if (this.#identity.isServing) this.#asks.open()
    this.#messages.open()
    this.#init.onChange()
  }

  /** The thread is gone, or is told to go. */
  #onDown(): void {
    this.#messages.close()
    this.#holds.settle()
    this.#failures.pause()
    this.#heads.close()
  }

  #read(request: ReadRequest, ended: AbortSignal): Promise<ToRunner | null> {
    const { source, clock, limits } = this.#init
    return serveRead({ source, clock, readMsMax: limits.readMsMax, ended }, request)
  }

  #say(level: 'warn' | 'error', note: string): void {
    this.#init.log[level](this.#identity.fields(), `${this.#identity.label()}: ${note}`)
  }

  #aspects() {
    return {
      identity: this.#identity,
      progress: this.#progress,
      thread: this.#thread,
      holds: this.#holds,
      failures: this.#failures,
      lastError: this.#lastError,
    }
  }
}
