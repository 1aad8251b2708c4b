// Tells the topic what the partitions led here have committed: few and full messages, because a signed message costs
// about a millisecond of CPU on every node. Past the budget a message says only how far the partitions are. Messages to
// queries travel along.
import type { Cancel, Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Mesh } from '../mesh/mesh.ts'
import type { Entry } from '../raft/entry.ts'
import { encodeTopicMessage, type PartitionEntries, type WireMessage } from './topic-message.ts'

/** An idle node tells at once, a busy one at most so often. */
const flushMsMin = 4
const flushGapMs = 100
/** Bytes of entries in one message at most, and how many come back in a second: some hundred small events. */
const budgetBytesMax = 48 * 1024
const budgetBytesPerSecond = 64 * 1024
/** With less than this left, nothing is read to see whether it fits. */
const entryBytesMin = 1024
/** Of messages to queries in one flush, and of those that wait for theirs: about a second's worth. */
const messagesBytesMax = 256 * 1024
const waitingBytesMax = 2 * 1024 * 1024
/** For the fields of a message beside its data and its names. */
const messageBytesMin = 64

export interface PublisherInit {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  readonly topic: string
  readonly clusterId: () => string
  /** Entries from..to of a partition held here, at least one, within `bytesMax`; empty when it is held no more. */
  readonly entries: (
    partition: number,
    range: { readonly from: number; readonly to: number; readonly bytesMax: number },
  ) => readonly Entry[]
}

export interface Publisher {
  /** The partition is led here, and entries from..to were committed. Only ever called after the commit. */
  committed(
    partition: number,
    range: { readonly from: number; readonly to: number; readonly term: number },
  ): void
  /**
   * Sends a message to queries with the next flush. Resolves when it is sent, with the number of peers that it was handed
   * to; those pass it on. Throws OVERLOADED when too many wait, SHUTTING_DOWN, and what the mesh throws.
   */
  publish(message: WireMessage): Promise<number>
  stop(): void
}

interface Waiting {
  readonly message: WireMessage
  readonly bytes: number
  resolve(recipients: number): void
  reject(error: unknown): void
}

export function createPublisher(init: PublisherInit): Publisher {
  const { clock, mesh, log } = init
  let waiting = new Map<number, { from: number; to: number; term: number }>()
  let cancel: Cancel | undefined
  let lastFlushAt = Number.NEGATIVE_INFINITY
  let budgetBytes = budgetBytesMax
  let isStopped = false
  let messages: Waiting[] = []
  let waitingBytes = 0

  /** The oldest, as many as one flush takes; one at least, if there is any. */
  function takeMessages(): readonly Waiting[] {
    let bytes = 0
    const end = messages.findIndex(waits => {
      bytes += waits.bytes
      return bytes > messagesBytesMax
    })
    const taken = messages.splice(0, end === -1 ? messages.length : Math.max(1, end))
    for (const waits of taken) waitingBytes -= waits.bytes
    return taken
  }

  function schedule(): void {
    cancel ??= clock.after(Math.max(flushMsMin, lastFlushAt + flushGapMs - clock.now()), flush)
  }

  function flush(): void {
    cancel = undefined
    const now = clock.now()
    const earned = Math.max(0, now - lastFlushAt) * (budgetBytesPerSecond / 1000)
    budgetBytes = Math.min(budgetBytesMax, budgetBytes + earned)
    lastFlushAt = now
    const ranges = waiting
    waiting = new Map()
    // Who comes later asks for heads, and fetches.
    if (messages.length === 0 && !mesh.hasSubscribers(init.topic)) return
    const heads = [...ranges].map(([partition, { to, term }]) => ({ partition, term, index: to }))
    const groups: PartitionEntries[] = []
    for (const [partition, { from, to }] of ranges) {
      if (budgetBytes < entryBytesMin) break
      const entries = init.entries(partition, { from, to, bytesMax: budgetBytes })
      const bytes = entries.reduce((sum, entry) => sum + entry.payload.length + 64, 0)
      // The read yields at least one entry, which may be larger than what is left.
      if (entries.length === 0 || bytes > budgetBytes) continue
      budgetBytes -= bytes
      groups.push({ partition, entries })
    }
    const taken = takeMessages()
    const message = encodeTopicMessage({
      clusterId: init.clusterId(),
      heads,
      groups,
      messages: taken.map(waits => waits.message),
    })
    mesh.publish(init.topic, message).then(
      ({ recipients }) => {
        for (const waits of taken) waits.resolve(recipients)
      },
      (error: unknown) => {
        // Gossip only wakes: readers find out by their watchdog, and fetch.
        log.warn(
          { topic: init.topic, bytes: message.length, error: String(error) },
          'pubsub: a message could not be published',
        )
        for (const waits of taken) waits.reject(error)
      },
    )
    if (messages.length > 0) schedule()
  }

  return {
    committed(partition, { from, to, term }) {
      if (isStopped) return
      const known = waiting.get(partition)
      if (known !== undefined && known.to + 1 === from) {
        known.to = to
        known.term = term
      } else {
        waiting.set(partition, { from, to, term })
      }
      schedule()
    },
    publish(message) {
      if (isStopped) return Promise.reject(stopping())
      const { data, type, aggregate } = message
      const names = type.length + (aggregate === null ? 0 : aggregate.type.length + aggregate.id.length)
      // UTF-8 takes three bytes for a unit of UTF-16 at most.
      const bytes = 3 * (data.length + names) + messageBytesMin
      if (waitingBytes + bytes > waitingBytesMax) {
        const text = `${messages.length} messages wait to be published, with ${waitingBytes} bytes; allowed: ${waitingBytesMax}`
        return Promise.reject(new GlynError('OVERLOADED', text))
      }
      waitingBytes += bytes
      const sent = new Promise<number>((resolve, reject) =>
        messages.push({ message, bytes, resolve, reject }),
      )
      schedule()
      return sent
    },
    stop() {
      isStopped = true
      cancel?.()
      for (const waits of messages) waits.reject(stopping())
      messages = []
    },
  }
}

const stopping = (): GlynError => new GlynError('SHUTTING_DOWN', 'this node is stopping')
