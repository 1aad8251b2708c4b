// A history in memory behind the port that queries read through.
import type { StoredEvent } from '../../src/core/record.ts'
import type { EventSource, LocalLog } from '../../src/query/query.ts'

export interface MemorySource extends EventSource {
  /** Commits one entry. Returns its index. */
  append(
    partition: number,
    entry: {
      readonly id: string
      readonly type?: string
      readonly events: readonly (readonly [string, unknown])[]
      /** Of the key that their data rest encrypted with. */
      readonly key?: string
    },
  ): number
  /** Commits an entry without events. */
  appendNoop(partition: number): number
  readonly reads: { count: number }
  /** Thrown by reads, when set. */
  failure: Error | null
  all(): readonly StoredEvent[]
}

export function createMemorySource(localLog: LocalLog | null = null): MemorySource {
  const logs = new Map<number, (readonly StoredEvent[])[]>()
  const sequences = new Map<string, number>()
  const listeners = new Set<() => void>()
  const reads = { count: 0 }
  let isTold = false
  const advance = (): void => {
    if (isTold) return
    isTold = true
    setImmediate(() => {
      isTold = false
      for (const listener of listeners) listener()
    })
  }
  const logOf = (partition: number) => {
    const log = logs.get(partition) ?? []
    logs.set(partition, log)
    return log
  }
  return {
    reads,
    failure: null,
    append(partition, { id, type = 'bank_account', events, key }) {
      const log = logOf(partition)
      const index = log.length + 1
      const first = sequences.get(`${type}/${id}`) ?? 0
      sequences.set(`${type}/${id}`, first + events.length)
      log.push(
        events.map(([eventType, data], offset) => ({
          partition,
          index,
          offset,
          aggregateType: type,
          aggregateId: id,
          sequence: first + offset + 1,
          type: eventType,
          version: 1,
          data: JSON.stringify(data),
          metadata: '{}',
          commandId: `command-${partition}-${index}`,
          timeMs: 1_700_000_000_000 + index,
          ...(key === undefined ? {} : { key }),
        })),
      )
      advance()
      return index
    },
    appendNoop(partition) {
      const log = logOf(partition)
      log.push([])
      advance()
      return log.length
    },
    all: () => [...logs.values()].flat(2),
    heads: () => new Map([...logs].map(([partition, log]) => [partition, log.length])),
    onAdvance(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async read(partition, { afterIndex, limit }) {
      reads.count += 1
      if (this.failure !== null) throw this.failure
      const events: StoredEvent[] = []
      let throughIndex = afterIndex
      for (const entry of logOf(partition).slice(afterIndex)) {
        if (events.length >= limit) break
        events.push(...entry)
        throughIndex += 1
      }
      return { events, throughIndex }
    },
    localLog,
  }
}
