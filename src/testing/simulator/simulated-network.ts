// The network between the nodes: every transfer takes a while that the seed chooses, links slow down, stall one way or both,
// break and come back. Streams keep their order while they live; what is on a link that breaks is lost.

import type { Clock } from '../../core/clock.ts'
import { createMemoryNetwork, type MemoryNetwork, type Transfer } from '../../mesh/memory/memory-mesh.ts'
import type { Dice } from './seeded-random.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface SimulatedNetwork {
  readonly mesh: MemoryNetwork
  /** What gossip and records suffer, 0 to 1. */
  gossipLoss: number
  gossipDelayMsMax: number
  /** Every transfer from one to the other takes so much longer; 0 ends it. */
  slow(from: string, to: string, extraMs: number): void
  /** What `from` sends waits until the time is over: nobody notices, nothing is lost. One way only. */
  stall(from: string, to: string, untilMs: number): void
  /** What `from` sends vanishes, nobody notices; when it heals the link is made anew. One way only. */
  swallow(from: string, to: string): void
  /** Both notice that the link is broken, and none can be made until it heals. */
  cut(a: string, b: string): void
  /** The link breaks, and can be made again at once. */
  reset(a: string, b: string): void
  /** Ends everything between the two. */
  heal(a: string, b: string): void
  isWhole(a: string, b: string): boolean
  gossipDelaysMs(): readonly number[]
}

export function createSimulatedNetwork(init: {
  readonly time: VirtualTime
  readonly dice: Dice
}): SimulatedNetwork {
  const { time, dice } = init
  const clock: Clock = {
    now: time.now,
    wallTime: time.now,
    after: time.after,
    soon: action => time.after(0, action),
  }
  const slowed = new Map<string, number>()
  const stalled = new Map<string, number>()
  const swallowed = new Set<string>()
  const cuts = new Set<string>()
  const fate = (transfer: Transfer): number | 'lost' => {
    const way = `${transfer.from}>${transfer.to}`
    const { kind } = transfer
    if ((kind === 'gossip' || kind === 'record') && dice.chance(network.gossipLoss)) return 'lost'
    const waitMs = Math.max(0, (stalled.get(way) ?? 0) - time.now())
    // Nobody waits so long for an answer to a dial.
    if (kind === 'dial' && (waitMs > 0 || stalled.has(`${transfer.to}>${transfer.from}`))) {
      if (waitMs > 0 || (stalled.get(`${transfer.to}>${transfer.from}`) ?? 0) > time.now()) return 'lost'
    }
    return waitMs + (slowed.get(way) ?? 0) + dice.between(0.1, 1.5)
  }
  const mesh = createMemoryNetwork({ clock, random: dice.random, redialMs: 100, fate })

  const network: SimulatedNetwork = {
    mesh,
    gossipLoss: 0,
    gossipDelayMsMax: 0,
    slow(from, to, extraMs) {
      if (extraMs === 0) slowed.delete(`${from}>${to}`)
      else slowed.set(`${from}>${to}`, extraMs)
    },
    stall(from, to, untilMs) {
      stalled.set(`${from}>${to}`, untilMs)
    },
    swallow(from, to) {
      swallowed.add(`${from}>${to}`)
      mesh.mute(from, to)
    },
    cut(a, b) {
      cuts.add(pairOf(a, b))
      mesh.cut(a, b)
    },
    reset(a, b) {
      if (cuts.has(pairOf(a, b))) return
      mesh.cut(a, b)
      mesh.heal(a, b)
      // `heal` ends what swallows too.
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const)
        if (swallowed.has(`${from}>${to}`)) mesh.mute(from, to)
    },
    heal(a, b) {
      const isMute = swallowed.delete(`${a}>${b}`) || swallowed.delete(`${b}>${a}`)
      swallowed.delete(`${b}>${a}`)
      cuts.delete(pairOf(a, b))
      for (const way of [`${a}>${b}`, `${b}>${a}`]) {
        slowed.delete(way)
        stalled.delete(way)
      }
      // A stream with a hole in it does not live on.
      if (isMute) mesh.cut(a, b)
      mesh.heal(a, b)
    },
    isWhole: (a, b) => !cuts.has(pairOf(a, b)) && !swallowed.has(`${a}>${b}`) && !swallowed.has(`${b}>${a}`),
    gossipDelaysMs() {
      if (network.gossipDelayMsMax === 0) return onceAtOnce
      const delayMs = dice.between(0, network.gossipDelayMsMax)
      return dice.chance(0.1) ? [delayMs, delayMs + dice.between(0, network.gossipDelayMsMax)] : [delayMs]
    },
  }
  return network
}

const onceAtOnce = [0]
const pairOf = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`)
