// Calls that come while others are written wait a moment and share a statement: the database commits once for all of them.
import { GlynError } from '../../core/errors.ts'
import type { Append, AppendResult } from '../shared-store.ts'
import { charactersOf } from './write-appends.ts'

/** Statements under way at once. They never share a partition: that would only wait for its lock. */
const lanesMax = 3
/** What one statement gathers from several calls. */
const gatheredEventsMax = 1000
const gatheredCharactersMax = 2 * 1024 * 1024
/** What may wait before callers are turned away: more means that the database does not keep up. */
const waitingEventsMax = 100_000
const waitingCharactersMax = 256 * 1024 * 1024

interface Call {
  readonly appends: readonly Append[]
  readonly isAtomic: boolean
  readonly partitions: ReadonlySet<number>
  readonly events: number
  readonly characters: number
  readonly resolve: (results: readonly AppendResult[]) => void
  readonly reject: (error: unknown) => void
}

export interface AppendQueue {
  append(
    appends: readonly Append[],
    options: { readonly isAtomic: boolean; readonly signal: AbortSignal | undefined },
  ): Promise<readonly AppendResult[]>
  /** Resolves when nothing waits and nothing is written. */
  idle(): Promise<void>
}

export function createAppendQueue(options: {
  readonly location: string
  readonly write: (appends: readonly Append[], isAtomic: boolean) => Promise<readonly AppendResult[]>
}): AppendQueue {
  const { location, write } = options
  const waiting = new Set<Call>()
  const busy = new Set<number>()
  const idling = new Set<() => void>()
  let lanes = 0
  let waitingEvents = 0
  let waitingCharacters = 0
  let isAwake = false

  function leave(call: Call): void {
    if (!waiting.delete(call)) return
    waitingEvents -= call.events
    waitingCharacters -= call.characters
  }

  /** The next calls for one statement: those that came first, of partitions that are free, and never past one that waits. */
  function gather(): Call[] {
    const gathered: Call[] = []
    const blocked = new Set(busy)
    let events = 0
    let characters = 0
    for (const call of waiting) {
      const isFree = !call.partitions.values().some(partition => blocked.has(partition))
      const fits =
        gathered.length === 0 ||
        (!call.isAtomic &&
          events + call.events <= gatheredEventsMax &&
          characters + call.characters <= gatheredCharactersMax)
      if (isFree && fits) {
        gathered.push(call)
        events += call.events
        characters += call.characters
        if (call.isAtomic) break
      } else {
        for (const partition of call.partitions) blocked.add(partition)
      }
      if (events >= gatheredEventsMax) break
    }
    return gathered
  }

  function start(): void {
    isAwake = false
    while (lanes < lanesMax) {
      const calls = gather()
      if (calls.length === 0) break
      const partitions = new Set(calls.flatMap(call => [...call.partitions]))
      for (const call of calls) leave(call)
      for (const partition of partitions) busy.add(partition)
      lanes += 1
      run(calls).finally(() => {
        for (const partition of partitions) busy.delete(partition)
        lanes -= 1
        start()
      })
    }
    if (lanes > 0 || waiting.size > 0) return
    for (const wake of idling) wake()
    idling.clear()
  }

  async function run(calls: readonly Call[]): Promise<void> {
    try {
      const isAtomic = calls.length === 1 && calls[0]?.isAtomic === true
      const results = await write(
        calls.flatMap(call => call.appends),
        isAtomic,
      )
      let from = 0
      for (const { appends, resolve } of calls) {
        resolve(results.slice(from, from + appends.length))
        from += appends.length
      }
    } catch (error) {
      for (const { reject } of calls) reject(error)
    }
  }

  return {
    append(appends, { isAtomic, signal }) {
      const events = appends.reduce((sum, append) => sum + append.events.length, 0)
      const characters = appends.reduce((sum, append) => sum + charactersOf(append), 0)
      if (
        waiting.size > 0 &&
        (waitingEvents + events > waitingEventsMax || waitingCharacters + characters > waitingCharactersMax)
      ) {
        throw new GlynError(
          'OVERLOADED',
          `store ${location}: ${waitingEvents} events wait to be written; nothing of this call was taken`,
        )
      }
      const { promise, resolve, reject } = Promise.withResolvers<readonly AppendResult[]>()
      const partitions = new Set(appends.map(({ partition }) => partition))
      const call: Call = { appends, isAtomic, partitions, events, characters, resolve, reject }
      waiting.add(call)
      waitingEvents += events
      waitingCharacters += characters
      const give = (): void => {
        // What is under way goes on; who waits for it is let go.
        leave(call)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', give, { once: true })
      if (!isAwake) {
        isAwake = true
        // The calls of one turn of the event loop belong together.
        setImmediate(start)
      }
      return promise.finally(() => signal?.removeEventListener('abort', give))
    },
    idle() {
      if (lanes === 0 && waiting.size === 0) return Promise.resolve()
      return new Promise(resolve => idling.add(resolve))
    },
  }
}
