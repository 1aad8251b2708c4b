// Runs one query: pulls batches, applies them, answers questions. The same code in a worker thread and on the main one.
import type { QueryMessage } from '../core/query-message.ts'
import type { KeptCode } from '../plugin/resolve-hook.ts'
import { applyBatch, parkBatch } from './apply-batch.ts'
import { applyMessage } from './apply-message.ts'
import type { Batch, BatchFailure } from './batch.ts'
import type { NormalQuery } from './define-query.ts'
import type { ParkedFailure } from './parked-entries.ts'
import { nameOf } from './parked-operations.ts'
import type { LogFileReader } from './query.ts'
import type { ConnectReadModel, ReadModel } from './read-model.ts'
import { type AskMessage, createRunnerAsks, type RunnerAsks } from './runner-asks.ts'
import {
  type BatchUnderWay,
  type FromRunner,
  type RunnerPort,
  type ToRunner,
  toErrorText,
} from './runner-messages.ts'
import { createRunnerModel, type RunnerModel } from './runner-model.ts'
import { createRunnerPartitions, type RunnerPartitions } from './runner-partitions.ts'
import { createRunnerReads, type RunnerReads } from './runner-reads.ts'

export interface RunnerInit {
  readonly port: RunnerPort
  /** Imports the file, or has the definition already. */
  load(): Promise<NormalQuery>
  /** What `load` has loaded, from files. */
  code?(): KeptCode
  /** Goes on after what is waiting (messages, I/O) was taken in. */
  soon(action: () => void): void
  now(): number
  /** Milliseconds since 1970. */
  wallTime(): number
  openReader(localLog: { readonly path: string; readonly readerModule: string }): Promise<LogFileReader>
  /** Files when left out. */
  readonly connect?: ConnectReadModel | undefined
}

type Open = Extract<ToRunner, { type: 'open' }>

/** What the plugin's code is called for: a batch, an ask, or a message; none of them when dead letters follow by themselves. */
interface Work {
  readonly batch: BatchUnderWay | null
  readonly ask: number | null
  readonly isMessage?: boolean
}

/** Says `loaded` or `load-failed`; then waits for `open`, and works until `close`. */
export function startQueryRunner(init: RunnerInit): void {
  const { port } = init
  let runner: Runner | undefined
  let query: NormalQuery | undefined
  port.onMessage(message => {
    if (runner !== undefined) runner.receive(message)
    else if (message.type === 'close') port.close()
    else if (message.type === 'open' && query !== undefined) {
      const opening = new Runner(init, query, message)
      runner = opening
      void opening.open()
    }
  })
  init.load().then(
    loaded => {
      query = loaded
      const { name, version, questions, onError, attempts } = loaded
      const takesMessages = loaded.definition?.onMessage !== undefined
      const code = init.code?.() ?? null
      port.post({ type: 'loaded', name, version, questions, onError, attempts, takesMessages, code })
    },
    error => {
      const code = init.code?.()
      port.post({ type: 'load-failed', error: toErrorText(error), ...(code === undefined ? {} : { code }) })
    },
  )
}

class Runner {
  readonly #init: RunnerInit
  readonly #query: NormalQuery
  readonly #settings: Open
  readonly #model: RunnerModel
  readonly #partitions: RunnerPartitions
  readonly #reads: RunnerReads
  readonly #asks: RunnerAsks
  #lastId = 0
  #isPumping = false
  #isClosed = false
  #isApplying = false
  /** Begins no batch until it is released. */
  #isHeld = false

  constructor(init: RunnerInit, query: NormalQuery, settings: Open) {
    this.#init = init
    this.#query = query
    this.#settings = settings
    const post = (message: FromRunner): void => this.#post(message)
    this.#model = createRunnerModel({
      query,
      settings,
      connect: init.connect,
      post,
      onOpened: () => void this.#asks.resume(),
    })
    this.#partitions = createRunnerPartitions({
      ...settings,
      positionOf: partition => this.#model.positionOf(partition),
    })
    this.#reads = createRunnerReads({
      post,
      nextId: () => this.#nextId(),
      eventsMax: settings.batchEventsMax,
    })
    this.#asks = createRunnerAsks({
      query,
      model: () => (this.#isClosed ? undefined : this.#model.is),
      begin: ask => this.#begin({ batch: null, ask }),
      soon: init.soon,
      time: () => this.#time(),
      changed: () => this.#tellParked(),
      repair: error => this.#model.repair(error),
    })
  }

  async open(): Promise<void> {
    const { localLog } = this.#settings
    try {
      const reader = localLog === null ? undefined : await this.#init.openReader(localLog)
      if (this.#isClosed) {
        reader?.close()
        return
      }
      if (reader !== undefined) this.#reads.use(reader)
      this.#model.open()
    } catch (error) {
      this.#post({ type: 'load-failed', error: toErrorText(error) })
    }
  }

  receive(message: ToRunner): void {
    switch (message.type) {
      case 'heads':
        this.#partitions.learn(message.heads)
        void this.#pump()
        break
      case 'events':
      case 'read-failed':
        this.#reads.receive(message)
        break
      case 'park':
        this.#partitions.park(message.partition, message.afterIndex, message.failure)
        void this.#pump()
        break
      case 'retry':
        this.#partitions.wake(message.partition)
        void this.#pump()
        break
      case 'ask':
        void this.#reply(message)
        break
      case 'hold':
        this.#isHeld = true
        if (!this.#isPumping) this.#post({ type: 'held' })
        break
      case 'release':
        this.#isHeld = false
        void this.#pump()
        break
      case 'adopt':
        this.#model.adopt(message.path)
        break
      case 'message':
        this.#handleMessage(message)
        break
      case 'close':
        this.#close(message.isUrgent)
        break
      case 'open':
        break
    }
  }

  /** Invariant: at most one runs, so batches of one query never overlap. */
  async #pump(): Promise<void> {
    if (this.#isPumping || this.#isClosed || this.#isHeld || this.#model.is === undefined) return
    this.#isPumping = true
    for (;;) {
      const partition = this.#isHeld ? undefined : this.#partitions.next()
      if (partition === undefined) break
      await this.#advance(partition)
      await new Promise<void>(resolve => this.#init.soon(resolve))
      if (this.#isClosed) return
    }
    this.#isPumping = false
    this.#post({ type: this.#isHeld ? 'held' : 'idle' })
  }

  async #advance(partition: number): Promise<void> {
    const model = this.#model.is
    if (model === undefined) return
    const partitions = this.#partitions
    const afterIndex = this.#model.positionOf(partition)
    const parking = partitions.toPark(partition)
    const limit = partitions.limitOf(partition)
    const readable = partitions.readableOf(partition)
    let batch: Batch
    try {
      batch = await this.#reads.read(partition, { afterIndex, readable, limit })
    } catch (error) {
      this.#fail(partition, { by: 'source', error: this.#explainRead(partition, error) })
      return
    }
    if (this.#isClosed) return
    if (parking === undefined) await this.#apply(model, batch, afterIndex)
    else this.#park(model, batch, parking)
  }

  async #apply(model: ReadModel, batch: Batch, afterIndex: number): Promise<void> {
    const { partition, throughIndex, events } = batch
    const isAlone = events.every(({ position }) => position.index === events[0]?.position.index)
    const held = model.parked.counts().held
    const end = this.#begin({ batch: { partition, throughIndex, isAlone }, ask: null })
    this.#isApplying = true
    const { index, failure } = await applyBatch(this.#run(model), batch)
    this.#isApplying = false
    if (this.#isClosed) {
      this.#release()
      return
    }
    end()
    if (index > afterIndex) this.#post({ type: 'progress', partition, index, ...handledOf(batch, index) })
    if (model.db.open && model.parked.counts().held !== held) this.#tellParked()
    if (failure === null) {
      this.#partitions.grow(partition)
    } else {
      this.#failAt(partition, failure)
    }
  }

  /** The next entry, at which the handler fails for good, becomes a dead letter. */
  #park(model: ReadModel, batch: Batch, why: ParkedFailure): void {
    const { partition, throughIndex, events } = batch
    this.#partitions.forgetToPark(partition)
    const failure = parkBatch(this.#run(model), batch, why)
    if (failure !== null) {
      this.#failAt(partition, failure)
      return
    }
    this.#post({ type: 'progress', partition, index: throughIndex, ...handledOf(batch, throughIndex) })
    const first = events[0]
    const name = nameOf({ partition, index: throughIndex })
    const of = first === undefined ? '' : ` of ${first.aggregate.type} ${first.aggregate.id}`
    this.#tellParked(`${name}${of} is parked after ${why.attempts} attempts: ${why.message}`)
  }

  #run(model: ReadModel) {
    const { batchMs, parkedMax } = this.#settings
    const budget = { now: this.#init.now, batchMs }
    return { query: this.#query, model, budget, parkedMax, time: () => this.#time() }
  }

  async #reply(message: AskMessage): Promise<void> {
    this.#post(await this.#asks.reply(message))
  }

  /** Comes between batches: a batch of the full form holds the thread. */
  #handleMessage({ id, message }: Extract<ToRunner, { type: 'message' }>): void {
    const { definition } = this.#query
    const model = this.#model.is
    if (definition === null || model === undefined) {
      const error = toErrorText(new Error('its read model is not open'))
      this.#post({ type: 'message-done', id, isRepeated: false, error })
      return
    }
    const end = this.#begin({ batch: null, ask: null, isMessage: true })
    const applied = applyMessage({ definition, model }, JSON.parse(message) as QueryMessage)
    end()
    if (typeof applied === 'string') {
      this.#post({ type: 'message-done', id, isRepeated: applied === 'repeated', error: null })
      return
    }
    this.#post({ type: 'message-done', id, isRepeated: false, error: toErrorText(applied.error) })
    this.#model.repair(applied.error)
  }

  #failAt(partition: number, failure: BatchFailure): void {
    this.#fail(partition, failure)
    this.#model.repair(failure.error)
  }

  #fail(partition: number, { by, error }: { by: 'handler' | 'source' | 'read-model'; error: unknown }): void {
    this.#partitions.rest(partition)
    this.#post({ type: 'failed', partition, by, error: toErrorText(error) })
  }

  #explainRead(partition: number, error: unknown): Error {
    const why = error instanceof Error ? error.message : String(error)
    return new Error(`cannot read partition ${partition}: ${why}`, { cause: error })
  }

  /** Returns how to say that it is over. */
  #begin(what: Work): () => void {
    const work = this.#nextId()
    this.#post({ type: 'begin', work, ...what })
    return () => this.#post({ type: 'end', work })
  }

  #tellParked(note: string | null = null): void {
    const model = this.#model.is
    if (model?.db.open === true) this.#post({ type: 'parked', counts: model.parked.counts(), note })
  }

  #time(): string {
    return new Date(this.#init.wallTime()).toISOString()
  }

  #close(isUrgent: boolean): void {
    this.#isClosed = true
    this.#reads.cancel()
    if (isUrgent || !this.#isApplying) this.#release()
  }

  #release(): void {
    this.#model.close()
    this.#reads.close()
    this.#init.port.close()
  }

  #post(message: FromRunner): void {
    if (!this.#isClosed) this.#init.port.post(message)
  }

  #nextId(): number {
    this.#lastId += 1
    return this.#lastId
  }
}

/** What of a batch was handled when the query stands at `index`. */
function handledOf({ events }: Batch, index: number): { events: number; timeMs: number | null } {
  const isWhole = (events.at(-1)?.position.index ?? 0) <= index
  const count = isWhole ? events.length : events.findLastIndex(({ position }) => position.index <= index) + 1
  const last = events[count - 1]
  return { events: count, timeMs: last === undefined ? null : Date.parse(last.time) }
}
