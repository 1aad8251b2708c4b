// Breaks things, as the seed says, and heals them: one kind of fault after another, each seed with its own mix.
import type { Dice } from './seeded-random.ts'
import { healthyDisk } from './simulated-disk.ts'
import type { SimulatedNetwork } from './simulated-network.ts'
import type { SimulatedNode } from './simulated-node.ts'
import type { Story } from './story.ts'
import type { VirtualTime } from './virtual-time.ts'

/** The kinds of faults there are. */
export const faultKinds = [
  'crash',
  'power-failure',
  'restart',
  'pause',
  'partition',
  'one-way',
  'flapping',
  'left-behind',
  'slow-link',
  'gossip',
  'slow-disk',
  'failing-disk',
  'full-disk',
  'plugin',
  'join',
  'leave',
  'lost-disk',
] as const

/** What may break: one of `faultKinds`. */
export type FaultKind = (typeof faultKinds)[number]

export interface NemesisInit {
  readonly time: VirtualTime
  readonly dice: Dice
  readonly story: Story
  readonly network: SimulatedNetwork
  /** Those that belong to the cluster, or will. */
  readonly nodes: () => readonly SimulatedNode[]
  readonly addNode: (role: 'full' | 'query') => SimulatedNode
  readonly start: (node: SimulatedNode) => void
  /** The machine is gone for ever: it is removed from the cluster as soon as that is possible. */
  readonly lose: (node: SimulatedNode) => void
  readonly nodesMax: number
  readonly setPluginsThrow: (chance: number) => void
  readonly kinds: readonly FaultKind[]
  /** How often a node crashes right after it was elected, 0 to 1: half of what it began may be done. */
  readonly crashElected: number
  /** Milliseconds between two faults, on average. */
  readonly paceMs: number
}

export interface Nemesis {
  start(): void
  /** This node has just been elected somewhere. */
  elected(peerId: string): void
  /** Ends every fault; the machines that are lost stay lost. */
  heal(): void
}

export function createNemesis(init: NemesisInit): Nemesis {
  const { time, dice, story, network } = init
  /** Also before it begins. */
  let isOver = true
  let hasDeparted = false
  let hasJoined = 0

  const up = (): readonly SimulatedNode[] =>
    init.nodes().filter(node => node.state !== 'down' && node.state !== 'failed')
  const leaders = (): readonly SimulatedNode[] =>
    up().filter(({ parts }) =>
      parts?.dataPartitions().some(partition => parts.engine.status(partition)?.role === 'leader'),
    )
  /** Leaders are where it hurts. */
  const victim = (): SimulatedNode => {
    const leading = leaders()
    return dice.pick(leading.length > 0 && dice.chance(0.6) ? leading : init.nodes())
  }
  const later = (delayMs: number, action: () => void): void => {
    time.after(delayMs, () => {
      if (!isOver) action()
    })
  }
  const others = (node: SimulatedNode): readonly SimulatedNode[] =>
    init.nodes().filter(other => other !== node)
  const startLater = (node: SimulatedNode, delayMs = dice.between(1, 4000)): void =>
    later(delayMs, () => init.start(node))

  function crash(node: SimulatedNode): void {
    node.crash()
    startLater(node)
  }

  function repair(node: SimulatedNode): void {
    node.disk.health = healthyDisk
    startLater(node, dice.between(50, 1500))
  }

  function breakDisk(failure: 'fails' | 'full'): void {
    const node = victim()
    story.tell(failure === 'full' ? `the disk of ${node.peerId} is full` : `the disk of ${node.peerId} fails`)
    node.disk.health = { ...healthyDisk, failure }
    later(dice.between(200, 5000), () => repair(node))
  }

  /** One, two or all links of a node, or a line between two halves. */
  function sides(): readonly (readonly [SimulatedNode, SimulatedNode])[] {
    const nodes = init.nodes()
    if (dice.chance(0.6)) {
      const node = victim()
      return others(node)
        .filter(() => dice.chance(0.75))
        .map(other => [node, other] as const)
    }
    const left = nodes.filter(() => dice.chance(0.5))
    return left.flatMap(a => nodes.filter(b => !left.includes(b)).map(b => [a, b] as const))
  }

  const pairs = (list: readonly (readonly [SimulatedNode, SimulatedNode])[], arrow: string): string =>
    list.map(([a, b]) => `${a.peerId}${arrow}${b.peerId}`).join(' ')

  const faults: Readonly<Record<FaultKind, () => void>> = {
    crash: () => crash(victim()),
    'power-failure'() {
      story.tell('the power fails everywhere')
      for (const node of init.nodes()) crash(node)
    },
    restart() {
      const node = victim()
      node.stop()
      const startWhenDown = (): void => {
        if (node.state === 'down' || node.state === 'failed') init.start(node)
        else later(200, startWhenDown)
      }
      later(500, startWhenDown)
    },
    pause() {
      const node = victim()
      node.pause()
      later(dice.between(50, dice.chance(0.3) ? 8000 : 2000), () => node.resume())
    },
    partition() {
      const links = sides()
      if (links.length === 0) return
      story.tell(`the network is cut: ${pairs(links, '|')}`)
      const cut = (): void => {
        for (const [a, b] of links) network.cut(a.peerId, b.peerId)
      }
      const isSilent = dice.chance(0.5)
      if (isSilent) {
        // Packets vanish, and only after a while both notice that the link is dead.
        for (const [a, b] of links) {
          network.swallow(a.peerId, b.peerId)
          network.swallow(b.peerId, a.peerId)
        }
        if (dice.chance(0.7)) later(dice.between(500, 3000), cut)
      } else cut()
      later(dice.between(3000, 6000), () => healLinks(links))
    },
    'one-way'() {
      const links = sides().map(([a, b]) => (dice.chance(0.5) ? ([a, b] as const) : ([b, a] as const)))
      if (links.length === 0) return
      const durationMs = dice.between(200, 5000)
      const isStalled = dice.chance(0.5)
      story.tell(`${isStalled ? 'stalled' : 'lost'} one way: ${pairs(links, '>')}`)
      for (const [from, to] of links) {
        if (isStalled) network.stall(from.peerId, to.peerId, time.now() + durationMs)
        else network.swallow(from.peerId, to.peerId)
      }
      later(durationMs, () => healLinks(links))
    },
    flapping() {
      const node = victim()
      story.tell(`the links of ${node.peerId} flap`)
      for (let round = 0, atMs = 0; round < 8; round += 1, atMs += dice.between(20, 400)) {
        later(atMs, () => {
          for (const other of others(node)) if (dice.chance(0.7)) network.reset(node.peerId, other.peerId)
        })
      }
    },
    'left-behind'() {
      const [node] = init.nodes().filter(one => !leaders().includes(one))
      if (node === undefined) return
      const links = others(node).map(other => [node, other] as const)
      story.tell(`${node.peerId} is left behind`)
      for (const [a, b] of links) network.cut(a.peerId, b.peerId)
      later(dice.between(300, 3000), () => {
        healLinks(links)
        // Who leads is gone before the one that comes back has caught up: somebody else has to know better.
        later(dice.between(0, 200), () => {
          for (const leader of leaders()) if (leader !== node && dice.chance(0.7)) crash(leader)
        })
      })
    },
    'slow-link'() {
      const links = sides()
      const extraMs = dice.pick([5, 30, 200, 800])
      story.tell(`slow by ${extraMs} ms: ${pairs(links, '>')}`)
      for (const [a, b] of links) {
        network.slow(a.peerId, b.peerId, extraMs)
        if (dice.chance(0.5)) network.slow(b.peerId, a.peerId, extraMs)
      }
      later(dice.between(500, 5000), () => {
        for (const [a, b] of links) {
          network.slow(a.peerId, b.peerId, 0)
          network.slow(b.peerId, a.peerId, 0)
        }
      })
    },
    gossip() {
      network.gossipLoss = dice.pick([0.1, 0.5, 1])
      network.gossipDelayMsMax = dice.pick([0, 50, 2000])
      story.tell(
        `gossip: ${network.gossipLoss * 100} % are lost, the rest comes up to ${network.gossipDelayMsMax} ms late`,
      )
      later(dice.between(500, 5000), () => {
        network.gossipLoss = 0
        network.gossipDelayMsMax = 0
      })
    },
    'slow-disk'() {
      const node = victim()
      const syncMsMax = dice.pick([20, 200, 2000])
      story.tell(`the disk of ${node.peerId} takes up to ${syncMsMax} ms`)
      node.disk.health = { ...node.disk.health, syncMsMin: syncMsMax / 4, syncMsMax }
      later(dice.between(500, 5000), () => {
        node.disk.health = {
          ...node.disk.health,
          syncMsMin: healthyDisk.syncMsMin,
          syncMsMax: healthyDisk.syncMsMax,
        }
      })
    },
    'failing-disk': () => breakDisk('fails'),
    'full-disk': () => breakDisk('full'),
    plugin() {
      story.tell('plugins throw now and then')
      init.setPluginsThrow(dice.pick([0.05, 0.3]))
      later(dice.between(500, 4000), () => init.setPluginsThrow(0))
    },
    join() {
      if (hasJoined >= 2 || init.nodes().length >= init.nodesMax) return
      hasJoined += 1
      init.start(init.addNode(dice.chance(0.3) ? 'query' : 'full'))
    },
    leave() {
      if (hasDeparted) return
      hasDeparted = true
      const node = victim()
      story.tell(`${node.peerId} is told to leave`)
      node
        .call(({ parts }) => parts.leaving.leave({}))
        .catch((error: unknown) => story.tell(`${node.peerId} leaves later or never: ${String(error)}`))
    },
    'lost-disk'() {
      // What one disk alone holds is lost with it: at most one goes, of all the machines of a seed.
      if (hasDeparted) return
      hasDeparted = true
      const node = victim()
      story.tell(`${node.peerId} is lost, with its disk`)
      init.lose(node)
      later(dice.between(100, 3000), () => init.start(init.addNode('full')))
    },
  }

  function healLinks(links: readonly (readonly [SimulatedNode, SimulatedNode])[]): void {
    story.tell(`healed: ${pairs(links, '-')}`)
    for (const [a, b] of links) network.heal(a.peerId, b.peerId)
  }

  function strike(): void {
    if (isOver || init.kinds.length === 0) return
    faults[dice.pick(init.kinds)]()
    // Troubles come in crowds.
    time.after(dice.chance(0.25) ? dice.between(0, 60) : dice.between(0, 2 * init.paceMs), strike)
  }

  return {
    start() {
      isOver = false
      strike()
    },
    elected(peerId) {
      const node = init.nodes().find(one => one.peerId === peerId)
      if (isOver || node === undefined || !dice.chance(init.crashElected)) return
      later(dice.pick([0, 1, 5, 30]) * dice.random(), () => crash(node))
    },
    heal() {
      isOver = true
      network.gossipLoss = 0
      network.gossipDelayMsMax = 0
      init.setPluginsThrow(0)
      const nodes = init.nodes()
      for (const a of nodes) for (const b of nodes) if (a.peerId < b.peerId) network.heal(a.peerId, b.peerId)
      for (const node of nodes) {
        node.disk.health = healthyDisk
        node.resume()
        init.start(node)
      }
    },
  }
}
