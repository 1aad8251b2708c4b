// The faults: what is broken, for how long, in an order that the seed decides, and how it is put right again.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../src/core/clock.ts'
import type { ChaosNode } from './chaos-node.ts'
import type { Cluster } from './cluster.ts'
import { type History, isNemesis } from './history.ts'
import type { Network, Way } from './network.ts'

export const faultKinds = [
  'isolate',
  'isolate-leader',
  'one-way',
  'flap',
  'slow',
  'loss',
  'kill',
  'kill-all',
  'pause',
  'full-disk',
  'restart',
  'replace',
  'leave',
] as const
export type FaultKind = (typeof faultKinds)[number]

/** Of each of these groups one may be in force beside one of another: they do not touch the same things. */
export const combinable: readonly (readonly FaultKind[])[] = [
  ['isolate', 'isolate-leader', 'one-way', 'flap'],
  ['slow', 'loss'],
  ['kill', 'pause', 'full-disk', 'restart'],
]

export interface NemesisInit {
  readonly history: History
  readonly cluster: Cluster
  readonly network: Network
  readonly random: Random
  readonly faultMs: { readonly min: number; readonly max: number }
  readonly calmMs: number
  readonly print: (line: string) => void
  readonly signal: AbortSignal
}

/** How one fault went. */
export interface FaultReport {
  /** Several at once, joined by `+`. */
  readonly kind: string
  readonly beganAt: number
  readonly endedAt: number
  /** From the end of the fault until a write was accepted again that began after it; null when none was in time. */
  readonly recoveryMs: number | null
}

/** How long a fault may take to be put right before the next one comes all the same. */
const recoveryMsMax = 60_000

/** How long moving all replicas of a node may take. */
const moveMsMax = 300_000

export interface Nemesis {
  /** Breaks something, holds it (as long as chance wants, unless it is said), puts it right, waits for an accepted write. */
  strike(kinds: FaultKind | readonly FaultKind[], forMs?: number): Promise<FaultReport>
  /** All ways open, all processes up. */
  heal(): Promise<void>
}

export function createNemesis(init: NemesisInit): Nemesis {
  const { history, cluster, network, random, signal } = init
  const pick = <Value>(values: readonly Value[]): Value => {
    const value = values[Math.floor(random() * values.length)]
    if (value === undefined) throw new Error('nothing to choose from')
    return value
  }
  const between = (min: number, max: number): number => Math.round(min + random() * (max - min))
  const hold = (ms: number): Promise<unknown> => sleep(ms, undefined, { signal })

  function note(
    op: string,
    phase: 'begin' | 'end' | 'note',
    nodes: readonly ChaosNode[],
    more: { readonly text?: string; readonly cutOff?: readonly string[] } = {},
  ): void {
    const names = nodes.map(({ name }) => name)
    const line = { process: 'nemesis', type: 'info', op, aggregate: null, commandId: null } as const
    history.add({ ...line, time: history.now(), value: { phase, nodes: names, ...more } })
    const seconds = (history.now() / 1000).toFixed(1).padStart(7)
    init.print(
      `${seconds} s  ${op} ${phase} ${names.join(' ')}${more.text === undefined ? '' : ` (${more.text})`}`,
    )
  }

  const others = (node: ChaosNode): ChaosNode[] => cluster.members().filter(other => other !== node)
  const inAndOut = (node: ChaosNode): Way[] =>
    others(node).flatMap(({ name }) => [
      { from: name, to: node.name },
      { from: node.name, to: name },
    ])
  /** A single node is no majority of three voters; of fewer it may be. */
  const cutOffIf = (node: ChaosNode): { cutOff?: readonly string[] } =>
    cluster.members().length >= 3 ? { cutOff: [node.name] } : {}

  async function isolate(op: FaultKind, node: ChaosNode, ms: number): Promise<void> {
    await network.cut(inAndOut(node))
    note(op, 'begin', [node], cutOffIf(node))
    await hold(ms)
    note(op, 'end', [node])
    await network.cut([])
  }

  /** Waits for the process, not only for its start. A node that cannot start is a finding, so it is thrown. */
  const revive = async (nodes: readonly ChaosNode[]): Promise<void> => {
    await Promise.all(nodes.map(node => cluster.restart(node)))
  }

  const faults: Readonly<Record<FaultKind, (ms: number) => Promise<void>>> = {
    isolate: async ms => isolate('isolate', pick(cluster.members()), ms),
    'isolate-leader': async ms => isolate('isolate-leader', await cluster.busiest(), ms),
    async 'one-way'(ms) {
      const node = pick(cluster.members())
      const isDeaf = random() < 0.5
      // Deaf to all or heard by none; or only between two.
      const ways = inAndOut(node).filter(way => (isDeaf ? way.to === node.name : way.from === node.name))
      const chosen = random() < 0.5 ? ways : [pick(ways)]
      await network.cut(chosen)
      note('one-way', 'begin', [node], {
        text: chosen.map(({ from, to }) => `${from} to ${to} cut`).join(', '),
      })
      await hold(ms)
      note('one-way', 'end', [node])
      await network.cut([])
    },
    async flap(ms) {
      const node = pick(cluster.members())
      note('flap', 'begin', [node])
      const until = history.now() + ms
      while (history.now() < until) {
        await network.cut(inAndOut(node))
        await hold(between(100, 900))
        await network.cut([])
        await hold(between(100, 900))
      }
      note('flap', 'end', [node])
    },
    async slow(ms) {
      const nodes = random() < 0.5 ? cluster.members() : [pick(cluster.members())]
      const delayMs = between(50, 400)
      for (const node of nodes) await network.slow(node.name, delayMs)
      note('slow', 'begin', nodes, { text: `${network.slowdownTool}, ${delayMs} ms` })
      await hold(ms)
      note('slow', 'end', nodes)
      for (const node of nodes) await network.slow(node.name, 0)
    },
    async loss(ms) {
      const nodes = random() < 0.5 ? cluster.members() : [pick(cluster.members())]
      const percent = between(3, 30)
      for (const node of nodes) await network.lose(node.name, percent / 100)
      note('loss', 'begin', nodes, { text: `${percent} % of packets` })
      await hold(ms)
      note('loss', 'end', nodes)
      for (const node of nodes) await network.lose(node.name, 0)
    },
    async kill(ms) {
      const node = random() < 0.6 ? await cluster.busiest() : pick(cluster.members())
      await node.kill()
      note('kill', 'begin', [node])
      await hold(ms)
      note('kill', 'end', [node])
      await revive([node])
    },
    async 'kill-all'(ms) {
      const nodes = cluster.members()
      await Promise.all(nodes.map(node => node.kill()))
      note('kill-all', 'begin', nodes)
      await hold(Math.min(ms, 2000))
      note('kill-all', 'end', nodes)
      await revive(nodes)
    },
    async pause(ms) {
      const node = random() < 0.6 ? await cluster.busiest() : pick(cluster.members())
      node.pause()
      note('pause', 'begin', [node])
      await hold(ms)
      note('pause', 'end', [node])
      node.resume()
    },
    async 'full-disk'(ms) {
      const node = random() < 0.6 ? await cluster.busiest() : pick(cluster.members())
      node.fillDisk()
      note('full-disk', 'begin', [node])
      await hold(ms)
      note('full-disk', 'end', [node], { text: `the process is ${node.state()}` })
      node.freeDisk()
      // A store that failed once is not trusted again: whoever frees the disk starts the node anew.
      if (node.state() === 'up') await cluster.stop(node)
      await revive([node])
    },
    async restart() {
      const node = pick(cluster.members())
      note('restart', 'begin', [node])
      await cluster.stop(node)
      await revive([node])
      note('restart', 'end', [node])
    },
    async replace() {
      const leaving = pick(cluster.members())
      note('replace', 'begin', [leaving])
      const added = await cluster.add()
      note('replace', 'note', [added], { text: 'joined' })
      await cluster.settled(moveMsMax, { goesOn: true })
      note('replace', 'note', [added], { text: 'settled' })
      await cluster.remove(leaving)
      note('replace', 'note', [leaving], { text: 'removed' })
      await cluster.settled(moveMsMax, { goesOn: true })
      note('replace', 'end', [leaving, added])
    },
    async leave() {
      const leaving = pick(cluster.members())
      note('leave', 'begin', [leaving])
      const added = await cluster.add()
      note('leave', 'note', [added], { text: 'joined' })
      await leaving.leave(moveMsMax)
      note('leave', 'end', [leaving, added])
    },
  }

  /** Resolves with the time until a command was accepted that was sent after `since`. */
  async function recovery(since: number): Promise<number | null> {
    let looked = history.lines.length
    const sent = new Set<number>()
    while (history.now() - since < recoveryMsMax) {
      for (; looked < history.lines.length; looked += 1) {
        const line = history.lines[looked]
        if (line === undefined || isNemesis(line) || line.commandId === null) continue
        if (line.type === 'invoke') sent.add(line.process)
        else if (line.type === 'ok' && sent.has(line.process)) return line.time - since
      }
      await hold(20)
    }
    return null
  }

  return {
    async strike(given, forMs) {
      const kinds = typeof given === 'string' ? [given] : given
      const beganAt = history.now()
      const ms = (): number => forMs ?? between(init.faultMs.min, init.faultMs.max)
      await Promise.all(kinds.map(kind => faults[kind](ms())))
      const endedAt = history.now()
      const recoveryMs = await recovery(endedAt)
      await hold(init.calmMs)
      return { kind: kinds.toSorted().join('+'), beganAt, endedAt, recoveryMs }
    },
    async heal() {
      await network.cut([])
      for (const node of cluster.members()) {
        await network.slow(node.name, 0)
        await network.lose(node.name, 0)
        node.freeDisk()
        if (node.state() === 'paused') node.resume()
      }
      await revive(cluster.members().filter(node => node.state() === 'down'))
    },
  }
}
