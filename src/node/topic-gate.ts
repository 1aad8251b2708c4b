// The door of the topic: only members publish, and only of partitions that they hold.
import type { TopicHandler } from '../mesh/mesh.ts'
import { decodeTopicMessage, type TopicMessage } from '../pubsub/topic-message.ts'

export interface TopicGateInit {
  readonly clusterId: () => string
  readonly isMember: (peerId: string) => boolean
  /** True if this peer holds the partition, or may while replicas move. */
  readonly mayHold: (peerId: string, partition: number) => boolean
  readonly receive: (from: string, message: TopicMessage) => void
}

export function createTopicGate(init: TopicGateInit): TopicHandler {
  /** The same bytes are validated and then handled: they are decoded once. */
  const accepted = new WeakMap<Uint8Array, TopicMessage>()

  return {
    validate(from, data) {
      let message: TopicMessage
      try {
        message = decodeTopicMessage(data)
      } catch {
        return 'reject'
      }
      if (message.clusterId !== init.clusterId() || !init.isMember(from)) return 'ignore'
      const named = [...message.heads, ...message.groups]
      if (!named.every(({ partition }) => init.mayHold(from, partition))) return 'ignore'
      accepted.set(data, message)
      return 'accept'
    },
    handle(from, data) {
      init.receive(from, accepted.get(data) ?? decodeTopicMessage(data))
    },
  }
}
