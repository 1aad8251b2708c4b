// The questions that one query has to answer: those that wait for it, and those that it has.
import { closest } from 'fastest-levenshtein'
import type { Cancel, Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { Positions } from '../core/position.ts'
import type { AskKind } from './runner-messages.ts'

export interface AskOptions {
  /** A question of the plugin when left out; for the others, `question` is a name for messages. */
  readonly kind?: AskKind
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** Answered when the query has seen these positions. */
  readonly after?: Positions | undefined
}

export interface AskQueueInit {
  readonly clock: Clock
  readonly asksMax: number
  /** The state of the query, for messages. */
  describe(): string
  send(ask: {
    readonly id: number
    readonly kind: AskKind
    readonly question: string
    readonly parameters: string
  }): void
  hasReached(partition: number, index: number): boolean
}

export interface AskQueue {
  /** Throws UNKNOWN_QUESTION, INVALID_ARGUMENT, OVERLOADED, QUERY_LAGGING, TIMEOUT, QUERY_FAILED, the signal's reason. */
  ask(question: string, parameters: Readonly<Record<string, unknown>>, options: AskOptions): Promise<unknown>
  setQuestions(name: string, questions: readonly string[]): void
  /** The query is ready: sends what waits. */
  open(): void
  /** Positions moved: sends what may go now. */
  maybeSend(): void
  /** The query has begun with this one. */
  begin(id: number): void
  /** What takes so long, for messages. */
  workOf(id: number): string
  settle(id: number, result: { readonly value: unknown } | { readonly error: Error }): void
  /** The query crashed: what it had begun fails with `error`, what it had not waits for the next one. */
  suspend(error: Error): void
  /** Everything fails with `error`. */
  reject(error: Error): void
  /** What the query has not been sent yet waits in the other queue from now on. */
  moveWaiting(to: AskQueue): void
  accept(ask: Ask): void
  /** Resolves when the query has answered everything that it was sent. */
  whenAnswered(): Promise<void>
}

/** One question on its way; it may move from the queue of one version to that of the next. */
export interface Ask {
  id: number
  readonly kind: AskKind
  /** Of the queue that it waits in. */
  home: Map<number, Ask>
  /** What to say when its time is up. */
  late: (ask: Ask, timeoutMs: number) => GlynError
  readonly question: string
  readonly parameters: string
  readonly after: Positions
  phase: 'waiting' | 'sent' | 'begun'
  settle(result: { readonly value: unknown } | { readonly error: unknown }): void
}

export function createAskQueue(init: AskQueueInit): AskQueue {
  const asks = new Map<number, Ask>()
  const onAnswered = new Set<() => void>()
  let lastId = 0
  let isOpen = false
  let name = ''
  let questions: readonly string[] | undefined

  const missing = (after: Positions): string | undefined => {
    for (const [partition, index] of after) {
      if (!init.hasReached(partition, index)) return `${partition}:${index}`
    }
    return undefined
  }

  const maybeSend = (): void => {
    if (!isOpen) return
    for (const ask of asks.values()) {
      if (ask.phase !== 'waiting') continue
      if (ask.kind === 'question' && questions?.includes(ask.question) === false) {
        ask.settle({ error: unknownQuestion(name, ask.question, questions) })
      } else if (missing(ask.after) === undefined) {
        ask.phase = 'sent'
        init.send(ask)
      }
    }
  }

  const late = (ask: Ask, timeoutMs: number): GlynError => {
    const position = missing(ask.after)
    if (position !== undefined && ask.phase === 'waiting') {
      const text = `query ${name} has not seen ${position} within ${timeoutMs} ms; it is ${init.describe()}`
      return new GlynError('QUERY_LAGGING', text, { details: { missing: position } })
    }
    const text = `query ${name} did not answer ${ask.question} within ${timeoutMs} ms; it is ${init.describe()}`
    return new GlynError('TIMEOUT', text)
  }

  const maybeAnswered = (): void => {
    if ([...asks.values()].some(ask => ask.phase !== 'waiting')) return
    for (const resolve of onAnswered) resolve()
    onAnswered.clear()
  }

  return {
    ask(question, parameters, { timeoutMs, signal, after = new Map(), kind = 'question' }) {
      return new Promise((resolve, reject) => {
        signal?.throwIfAborted()
        if (asks.size >= init.asksMax) {
          throw new GlynError(
            'OVERLOADED',
            `query ${name} has ${asks.size} questions waiting, the most it takes`,
          )
        }
        lastId += 1
        const id = lastId
        let cancel: Cancel = () => {}
        const onAbort = (): void => ask.settle({ error: signal?.reason })
        const ask: Ask = {
          id,
          kind,
          home: asks,
          late,
          question,
          parameters: toJson(parameters),
          after,
          phase: 'waiting',
          settle(result) {
            if (!ask.home.delete(ask.id)) return
            maybeAnswered()
            cancel()
            signal?.removeEventListener('abort', onAbort)
            if ('value' in result) resolve(result.value)
            else reject(result.error)
          },
        }
        asks.set(id, ask)
        cancel = init.clock.after(timeoutMs, () => ask.settle({ error: ask.late(ask, timeoutMs) }))
        signal?.addEventListener('abort', onAbort)
        maybeSend()
      })
    },
    setQuestions(newName, newQuestions) {
      name = newName
      questions = newQuestions
    },
    open() {
      isOpen = true
      maybeSend()
    },
    maybeSend,
    begin(id) {
      const ask = asks.get(id)
      if (ask !== undefined) ask.phase = 'begun'
    },
    workOf(id) {
      const ask = asks.get(id)
      if (ask === undefined) return 'its answer to a question that nobody waits for any more'
      return ask.kind === 'question' ? `its answer to ${ask.question}` : 'its handler'
    },
    settle: (id, result) => asks.get(id)?.settle(result),
    suspend(error) {
      isOpen = false
      for (const ask of [...asks.values()]) {
        if (ask.phase === 'begun') ask.settle({ error })
        else ask.phase = 'waiting'
      }
      maybeAnswered()
    },
    reject(error) {
      isOpen = false
      for (const ask of [...asks.values()]) ask.settle({ error })
    },
    moveWaiting(to) {
      isOpen = false
      for (const ask of [...asks.values()]) {
        if (ask.phase !== 'waiting') continue
        asks.delete(ask.id)
        to.accept(ask)
      }
    },
    accept(ask) {
      lastId += 1
      ask.id = lastId
      ask.home = asks
      ask.late = late
      asks.set(lastId, ask)
      maybeSend()
    },
    whenAnswered() {
      return new Promise(resolve => {
        onAnswered.add(resolve)
        maybeAnswered()
      })
    },
  }
}

/** `UNKNOWN_QUESTION`: names what there is, the nearest first. */
function unknownQuestion(name: string, question: string, questions: readonly string[]): GlynError {
  const allowed = nearestFirst(question, questions)
  const text =
    allowed.length === 0
      ? `query ${name} answers no questions`
      : `query ${name} has no question ${JSON.stringify(question)}; allowed: ${allowed.join(', ')}`
  return new GlynError('UNKNOWN_QUESTION', text, { details: { allowed } })
}

export function nearestFirst(name: string, names: readonly string[]): readonly string[] {
  if (names.length === 0) return []
  const nearest = closest(name, names)
  return [nearest, ...names.filter(other => other !== nearest)]
}

function toJson(parameters: Readonly<Record<string, unknown>>): string {
  try {
    return JSON.stringify(parameters)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new GlynError('INVALID_ARGUMENT', `parameters are not JSON: ${why}`, { cause })
  }
}
