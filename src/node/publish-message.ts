// `publish`: a message to the queries of all nodes, this one among them.
import type { Clock } from '../core/clock.ts'
import { checkMessage, type NewQueryMessage } from '../core/query-message.ts'
import type { MessageInbox } from '../pubsub/message-inbox.ts'
import type { Publisher } from '../pubsub/publisher.ts'
import { createCommandId } from './command-id.ts'
import type { PublishedMessage } from './node-api.ts'

/** Throws what `NodeApi.publish` throws; then no query has it. */
export async function publishMessage(
  parts: {
    readonly self: string
    readonly publisher: Pick<Publisher, 'publish'>
    readonly inbox: MessageInbox
    readonly clock: Clock
  },
  given: NewQueryMessage,
): Promise<PublishedMessage> {
  const { self, publisher, inbox, clock } = parts
  const message = { id: createCommandId(), ...checkMessage(given), timeMs: Math.floor(clock.wallTime()) }
  const peers = await publisher.publish(message)
  // Gossip brings nobody what he said himself.
  inbox.receive(self, [message])
  return { id: message.id, peers }
}
