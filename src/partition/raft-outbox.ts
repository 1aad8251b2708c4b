// What one turn sends: all groups in one frame per peer, on the channel that fits its size.
import type { Clock } from '../core/clock.ts'
import { peerIdOf, type ReplicaId, storageIdOf } from '../core/replica-id.ts'
import type { Channel, Mesh } from '../mesh/mesh.ts'
import type { RaftMessage } from '../raft/message.ts'
import { encodeRaftFrame, type PartitionMessage } from './raft-frame.ts'

/** Past this size the appends of a turn travel on the bulk channel, so that heartbeats do not queue behind them. */
const bulkBytesMin = 32 * 1024
/** How long after a large append. */
const bulkMs = 1000
/** Bound of one frame: a follower's in-flight bytes bound what there can be, this cuts it into pieces. */
const frameBytesMax = 256 * 1024

export interface RaftOutbox {
  post(partition: number, messages: readonly RaftMessage[]): void
  /** Sends what was posted, to those who are connected. */
  flush(): void
}

export function createRaftOutbox(init: {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly clusterId: () => string
  readonly storageId: string
}): RaftOutbox {
  const { mesh, clock, clusterId, storageId } = init
  /** Messages of this turn by receiver. */
  let queues = new Map<ReplicaId, PartitionMessage[]>()
  /** Groups and receivers whose appends travel on the bulk channel, and how long. */
  const bulkUntil = new Map<string, number>()

  function post(partition: number, messages: readonly RaftMessage[]): void {
    for (const message of messages) {
      const queue = queues.get(message.to)
      if (queue === undefined) queues.set(message.to, [{ partition, message }])
      else queue.push({ partition, message })
    }
  }

  function flush(): void {
    if (queues.size === 0) return
    const full = queues
    queues = new Map()
    for (const [to, messages] of full) {
      if (!mesh.isConnected(peerIdOf(to))) continue
      const light: PartitionMessage[] = []
      const heavy: PartitionMessage[] = []
      for (const message of messages) (isBulk(to, message) ? heavy : light).push(message)
      for (const piece of inPieces(light)) send(to, 'raft', piece)
      for (const piece of inPieces(heavy)) send(to, 'bulk', piece)
    }
  }

  /**
   * Appends of one group stay on one channel: a small one that overtook a large one would be refused, and all of the
   * window be sent again.
   */
  function isBulk(to: ReplicaId, message: PartitionMessage): boolean {
    if (message.message.type !== 'append') return false
    const way = `${message.partition} ${to}`
    const isHeavy = entryBytes(message) > bulkBytesMin
    if (isHeavy) bulkUntil.set(way, clock.now() + bulkMs)
    else if (bulkUntil.size === 0) return false
    const until = bulkUntil.get(way)
    if (until === undefined) return false
    if (until >= clock.now()) return true
    bulkUntil.delete(way)
    return false
  }

  function send(to: ReplicaId, channel: Channel, messages: readonly PartitionMessage[]): void {
    const frame = encodeRaftFrame({
      clusterId: clusterId(),
      fromStorage: storageId,
      toStorage: storageIdOf(to),
      messages,
    })
    // A frame that is dropped is a lost message, and consensus is made for those.
    mesh.send(peerIdOf(to), channel, frame)
  }

  return { post, flush }
}

function entryBytes({ message }: PartitionMessage): number {
  if (message.type !== 'append') return 0
  let bytes = 0
  for (const entry of message.entries) bytes += entry.payload.length + 64
  return bytes
}

function* inPieces(messages: readonly PartitionMessage[]): Iterable<readonly PartitionMessage[]> {
  let piece: PartitionMessage[] = []
  let bytes = 0
  for (const message of messages) {
    const size = entryBytes(message) + 64
    if (bytes + size > frameBytesMax && piece.length > 0) {
      yield piece
      piece = []
      bytes = 0
    }
    piece.push(message)
    bytes += size
  }
  if (piece.length > 0) yield piece
}
