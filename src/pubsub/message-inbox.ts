// Messages for queries as they come in: each once, whatever the network repeats, and never one that cannot be read.
import type { Log } from '../core/log.ts'
import type { QueryMessage } from '../core/query-message.ts'
import type { WireMessage } from './topic-message.ts'

/** Ids remembered to know a message that comes again; gossip repeats within seconds, if at all. */
const idsMax = 10_000

export interface MessageInbox {
  /** From a member, or from this node itself. */
  receive(publisher: string, messages: readonly WireMessage[]): void
  /** Called for each message, in the order of coming. Returns how to stop. */
  onMessage(listener: (message: QueryMessage) => void): () => void
}

export function createMessageInbox({ log }: { readonly log: Log }): MessageInbox {
  /** In the order of coming. */
  const seen = new Set<string>()
  const listeners = new Set<(message: QueryMessage) => void>()

  function isNew(id: string): boolean {
    if (seen.has(id)) return false
    seen.add(id)
    const [oldest] = seen
    if (seen.size > idsMax && oldest !== undefined) seen.delete(oldest)
    return true
  }

  return {
    receive(publisher, messages) {
      for (const wire of messages) {
        if (!isNew(`${publisher}/${wire.id}`)) continue
        let message: QueryMessage
        try {
          message = toQueryMessage(publisher, wire)
        } catch (error) {
          log.warn(
            { peer: publisher, id: wire.id, error: String(error) },
            'pubsub: a message of a member cannot be read',
          )
          continue
        }
        for (const listener of [...listeners]) listener(message)
      }
    },
    onMessage(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

const toQueryMessage = (publisher: string, wire: WireMessage): QueryMessage => ({
  id: wire.id,
  type: wire.type,
  data: JSON.parse(wire.data) as unknown,
  aggregate: wire.aggregate,
  time: new Date(wire.timeMs).toISOString(),
  publisher,
})
