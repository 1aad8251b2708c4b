// Readers of the feed: they follow it on one node, move to another one now and then, and go on where they stopped.
import { formatToken } from '../../core/token.ts'
import { subscribeToFeed } from '../../node/subscription.ts'
import type { FeedReader } from './event-watch.ts'
import type { RunningNode } from './running-node.ts'
import type { Dice } from './seeded-random.ts'
import type { SimulatedNode } from './simulated-node.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface FeedReaderInit {
  readonly reader: FeedReader
  readonly time: VirtualTime
  readonly dice: Dice
  readonly nodes: () => readonly SimulatedNode[]
  readonly violated: (text: string) => void
}

/** Reads until the simulation ends. */
export function startFeedReader(init: FeedReaderInit): void {
  const { reader, time, dice } = init
  /** Only the newest connection is listened to: what an old one still says was not asked for. */
  let connection = 0

  function connect(): void {
    const nodes = init.nodes()
    connection += 1
    const own = connection
    const leaving = new AbortController()
    const moveOn = (): void => {
      if (own !== connection) return
      leaving.abort()
      connect()
    }
    time.after(dice.between(500, 6000), moveOn)
    if (nodes.length === 0) return
    const node = dice.pick(nodes)
    node
      .call(running => follow(running, leaving.signal, () => own === connection))
      .catch(() => {
        // The node does not serve, or died: another one is tried when it is time.
      })
  }

  async function follow(running: RunningNode, signal: AbortSignal, isCurrent: () => boolean): Promise<void> {
    const { parts, clock } = running
    const { positions } = reader
    const from = positions.size === 0 ? 'start' : formatToken(positions)
    const partitions = parts.dataPartitions()
    for await (const event of subscribeToFeed(parts.feed, { from, signal, partitions, clock })) {
      if (!isCurrent()) return
      reader.reads(event)
    }
  }

  connect()
}
