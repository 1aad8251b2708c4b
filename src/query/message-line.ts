// The messages of one query on their way to its runner: bounded, dropped past the bound, never sent twice.
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { QueryMessage } from '../core/query-message.ts'
import type { MessageCounts } from './query.ts'
import type { QueryLimits } from './query-limits.ts'
import type { FromRunner, ToRunner } from './runner-messages.ts'

/** What goes wrong is told at most so often. */
const tellMs = 10_000

export interface MessageLineInit {
  readonly clock: Clock
  readonly log: Log
  readonly limits: Pick<QueryLimits, 'messagesMax' | 'messageBytesMax'>
  /** Of the query, for the log. */
  fields(): { readonly query: string; readonly file: string | null }
  post(message: ToRunner): void
}

export interface MessageLine {
  /** Whether the query has an `onMessage`; known when it is loaded. */
  setWanted(isWanted: boolean): void
  /** Sends it, or drops and counts it. */
  deliver(message: QueryMessage, options: { readonly isPaused: boolean }): void
  /** The runner is done with one. */
  settle(done: Extract<FromRunner, { type: 'message-done' }>): void
  /** The runner takes messages. */
  open(): void
  /** The runner is gone: what it had not finished is lost. */
  close(): void
  /** Null for a query that wants none. */
  counts(): MessageCounts | null
}

export function createMessageLine(init: MessageLineInit): MessageLine {
  const { clock, log, limits } = init
  /** Sent and not finished: bytes by id. */
  const underWay = new Map<number, number>()
  let bytesUnderWay = 0
  let isWanted = false
  let isOpen = false
  let lastId = 0
  let handled = 0
  let failed = 0
  let dropped = 0
  let droppedUntold = 0
  let droppedToldAt = Number.NEGATIVE_INFINITY
  let failureToldAt = Number.NEGATIVE_INFINITY

  /** Many are dropped at once: they share a line, the last of them with the next one. */
  function drop(count: number, { isFull }: { readonly isFull: boolean }): void {
    dropped += count
    droppedUntold += count
    if (clock.now() - droppedToldAt < tellMs) return
    droppedToldAt = clock.now()
    const { query } = init.fields()
    const why = isFull ? `it is behind its bound of ${limits.messagesMax} messages` : 'it does not run now'
    const text = `query ${query}: ${droppedUntold} messages were dropped, because ${why}`
    log.warn({ ...init.fields(), dropped: droppedUntold }, text)
    droppedUntold = 0
  }

  return {
    setWanted(wanted) {
      isWanted = wanted
    },
    deliver(message, { isPaused }) {
      if (!isWanted) return
      const text = JSON.stringify(message)
      const isFull =
        underWay.size >= limits.messagesMax || bytesUnderWay + text.length > limits.messageBytesMax
      if (!isOpen || isPaused || isFull) return drop(1, { isFull })
      lastId += 1
      underWay.set(lastId, text.length)
      bytesUnderWay += text.length
      init.post({ type: 'message', id: lastId, message: text })
    },
    settle({ id, isRepeated, error }) {
      const bytes = underWay.get(id)
      if (bytes === undefined) return
      underWay.delete(id)
      bytesUnderWay -= bytes
      if (error === null) {
        if (!isRepeated) handled += 1
        return
      }
      failed += 1
      if (clock.now() - failureToldAt < tellMs) return
      failureToldAt = clock.now()
      const { query } = init.fields()
      log.warn({ ...init.fields(), stack: error.stack }, `query ${query}: onMessage failed: ${error.message}`)
    },
    open() {
      isOpen = true
    },
    close() {
      isOpen = false
      if (underWay.size > 0) drop(underWay.size, { isFull: false })
      underWay.clear()
      bytesUnderWay = 0
    },
    counts: () => (isWanted ? { handled, failed, dropped } : null),
  }
}
