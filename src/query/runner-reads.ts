// Where a runner gets its batches: from the log file where it can read that by itself, and else from the host.
import type { StoredEvent } from '../core/record.ts'
import { toEventEnvelope } from '../store/event-envelope.ts'
import type { Batch } from './batch.ts'
import { createBatchSize } from './batch-size.ts'
import type { LogFileReader } from './query.ts'
import type { FromRunner, ToRunner } from './runner-messages.ts'

export interface RunnerReads {
  /** From now on what is readable there is read there. It is closed with these reads. */
  use(reader: LogFileReader): void
  /**
   * The next entries of a partition, about `limit` events, one entry for 1. What is up to `readable` is in the log file.
   * Rejects with what the source failed with, or when these reads are closed.
   */
  read(
    partition: number,
    range: { readonly afterIndex: number; readonly readable: number; readonly limit: number },
  ): Promise<Batch>
  /** What the host says. */
  receive(message: Extract<ToRunner, { type: 'events' | 'read-failed' }>): void
  /** Nothing is read any more. */
  cancel(): void
  close(): void
}

interface Range {
  readonly events: readonly StoredEvent[]
  readonly throughIndex: number
}

/** Events asked of the host at once: it may have to get them from another node. */
const askedEventsMax = 500

export function createRunnerReads(init: {
  post(message: FromRunner): void
  nextId(): number
  /** Per batch; fewer where they are large. */
  readonly eventsMax: number
}): RunnerReads {
  const size = createBatchSize({ eventsMax: init.eventsMax })
  const waiting = new Map<number, { resolve(range: Range): void; reject(error: unknown): void }>()
  let reader: LogFileReader | undefined

  const readRange = async (
    partition: number,
    { afterIndex, readable, limit }: Parameters<RunnerReads['read']>[1],
  ): Promise<Range> => {
    if (reader !== undefined && readable > afterIndex) {
      const events = reader.readPartition(partition, { afterIndex, throughIndex: readable, limit })
      // A full answer may have left entries out; only an empty one says that there are none.
      return { events, throughIndex: events.at(-1)?.index ?? readable }
    }
    const id = init.nextId()
    const range = new Promise<Range>((resolve, reject) => waiting.set(id, { resolve, reject }))
    init.post({ type: 'read', id, partition, afterIndex, limit: Math.min(limit, askedEventsMax) })
    return range
  }

  return {
    use(opened) {
      reader = opened
    },
    async read(partition, range) {
      const limit = Math.min(range.limit, size.limit())
      const found = await readRange(partition, { ...range, limit })
      size.learn(found.events)
      const batch = toBatch(partition, found, limit)
      if (batch.throughIndex > range.afterIndex) return batch
      throw new Error(`nothing beyond ${range.afterIndex} can be read, though more is committed`)
    },
    receive(message) {
      const read = waiting.get(message.id)
      waiting.delete(message.id)
      if (message.type === 'events') read?.resolve(message)
      else read?.reject(new Error(message.error.message))
    },
    cancel() {
      for (const read of waiting.values()) read.reject(new Error('the query is closing'))
      waiting.clear()
    },
    close: () => reader?.close(),
  }
}

/** A batch of one entry has no second one, however generous the source was. */
function toBatch(partition: number, { events, throughIndex }: Range, limit: number): Batch {
  const firstIndex = events[0]?.index
  const isCut = limit === 1 && firstIndex !== undefined
  const own = isCut ? events.filter(({ index }) => index === firstIndex) : events
  return { partition, events: own.map(toEventEnvelope), throughIndex: isCut ? firstIndex : throughIndex }
}
