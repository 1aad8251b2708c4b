// A network of meshes inside one process: who exists, who can reach whom, and what becomes of each transfer.
import type { Clock, Random } from '../../core/clock.ts'
import { GlynError } from '../../core/errors.ts'
import type { Mesh } from '../mesh.ts'
import { createMemoryNode } from './memory-node.ts'
import type { Fate, MemoryNode, NetworkView, Transfer } from './network-view.ts'

export type { Fate, Transfer }

export interface MemoryNetworkInit {
  readonly clock: Clock
  /** Spreads redials. Always 0.5 when left out. */
  readonly random?: Random
  /** Decides about every transfer that no cut stops. Everything arrives in the next turn when left out. */
  readonly fate?: (transfer: Transfer) => Fate
  /** Milliseconds between the dials of a member that is not connected; half to one and a half of it. 100 when left out. */
  readonly redialMs?: number
}

export interface MemoryMeshInit {
  /** `peer-1`, `peer-2`, … when left out. */
  readonly peerId?: string
  /** Meshes of different scopes never connect. `default` when left out. */
  readonly scope?: string
  /** A client cannot be dialled and keeps no records. `node` when left out. */
  readonly mode?: 'node' | 'client'
}

export interface MemoryNetwork {
  /** Throws INVALID_ARGUMENT when a mesh of that peer id runs. */
  createMesh(init?: MemoryMeshInit): Mesh
  /** Breaks the connection of two peers, as both notice, and lets none be made until `heal`. */
  cut(a: string, b: string): void
  /** From now on all that `from` sends to `to` vanishes; nobody notices, the connection stays. */
  mute(from: string, to: string): void
  /** Ends `cut` and `mute` between the two, in both directions. */
  heal(a: string, b: string): void
  /** Ends a mesh as a killed process ends: others see the connections break, it does nothing any more. */
  crash(peerId: string): void
  setFate(fate: (transfer: Transfer) => Fate): void
}

export function createMemoryNetwork(init: MemoryNetworkInit): MemoryNetwork {
  const { clock, random = () => 0.5, redialMs = 100 } = init
  let fate = init.fate ?? (() => 0)
  const running = new Map<string, MemoryNode>()
  const cuts = new Set<string>()
  const muted = new Set<string>()
  let created = 0

  const view: NetworkView = {
    clock,
    random,
    redialMs,
    find: peerId => running.get(peerId),
    isCut: (a, b) => cuts.has(pairOf(a, b)),
    delayOf: transfer => {
      if (cuts.has(pairOf(transfer.from, transfer.to))) return undefined
      if (muted.has(wayOf(transfer.from, transfer.to))) return undefined
      const decided = fate(transfer)
      return decided === 'lost' ? undefined : decided
    },
    later: (delayMs, action) => (delayMs > 0 ? clock.after(delayMs, action) : clock.soon(action)),
    secretOf: peerId => `the key of ${peerId}`,
    join: node => {
      if (running.has(node.peerId)) {
        throw new GlynError('INVALID_ARGUMENT', `a mesh of peer ${node.peerId} runs already on this network`)
      }
      running.set(node.peerId, node)
    },
    leave: node => {
      if (running.get(node.peerId) === node) running.delete(node.peerId)
    },
  }

  return {
    createMesh: ({ peerId, scope = 'default', mode = 'node' } = {}) => {
      created += 1
      return createMemoryNode({ network: view, peerId: peerId ?? `peer-${created}`, scope, mode }).mesh
    },
    cut: (a, b) => {
      cuts.add(pairOf(a, b))
      running.get(a)?.disconnect(b)
    },
    mute: (from, to) => {
      muted.add(wayOf(from, to))
    },
    heal: (a, b) => {
      cuts.delete(pairOf(a, b))
      muted.delete(wayOf(a, b))
      muted.delete(wayOf(b, a))
    },
    crash: peerId => running.get(peerId)?.halt(),
    setFate: next => {
      fate = next
    },
  }
}

const pairOf = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`)
const wayOf = (from: string, to: string): string => `${from} ${to}`
