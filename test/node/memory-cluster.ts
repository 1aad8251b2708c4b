// Several nodes in one process on a memory mesh and memory stores: the real cluster code, without libp2p and disk.
import type { ClusterSettings } from '../../src/cluster/cluster-state.ts'
import { type AnyAggregate, defineAggregate, reject } from '../../src/core/aggregate.ts'
import type { Command } from '../../src/core/command.ts'
import type { GlynError } from '../../src/core/errors.ts'
import type { DomainEvent } from '../../src/core/event.ts'
import { type Log, silentLog } from '../../src/core/log.ts'
import type { Outcome } from '../../src/core/outcome.ts'
import { partitionOf } from '../../src/core/partition-of.ts'
import { createRpc } from '../../src/mesh/create-rpc.ts'
import { createMemoryNetwork, type MemoryNetwork } from '../../src/mesh/memory/memory-mesh.ts'
import { assembleNode, type NodeParts, type NodePartsInit } from '../../src/node/node-parts.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import type { KeyStore } from '../../src/store/key-store.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import type { SharedStore } from '../../src/store/shared-store.ts'
import type { LocalStore } from '../../src/store/store.ts'

/** Fast enough for tests, slow enough for a busy machine. */
export const testTiming = { tickMs: 20, electionTicks: 10, heartbeatTicks: 1 }

interface CounterState {
  readonly total: number
}

export const counter = defineAggregate<CounterState, Command, DomainEvent<'Added', { by: number }>>({
  type: 'counter',
  emptyState: { total: 0 },
  snapshotEvery: 50,
  handle(state, command) {
    const { by } = command.data as { by: number }
    if (command.type === 'Look') return []
    if (state.total + by < 0) return reject('below_zero', `total is ${state.total}, asked to add ${by}`)
    return { type: 'Added', data: { by } }
  },
  apply: (state, event) => ({ total: state.total + event.data.by }),
})

export interface MemoryNode {
  readonly peerId: string
  readonly role: 'full' | 'query'
  readonly parts: NodeParts
  readonly store: LocalStore
  readonly failures: Error[]
  /** What it was told when it was removed. Its process would end; a test ends it with `crash`. */
  readonly removals: { readonly error: GlynError; readonly hasLeft: boolean }[]
  execute(
    id: string,
    command: Command,
    options?: { commandId?: string; timeoutMs?: number },
  ): Promise<Outcome>
  load(id: string): Promise<{ readonly state: unknown; readonly sequence: number }>
  crash(): void
}

export interface MemoryCluster {
  readonly network: MemoryNetwork
  readonly nodes: MemoryNode[]
  start(
    peerId: string,
    options?: {
      store?: LocalStore
      join?: boolean
      aggregates?: readonly AnyAggregate[]
      role?: 'full' | 'query'
      log?: Log
      /** As the joiner asks for it. */
      wanted?: { readonly topic: string; readonly scope: string }
      signal?: AbortSignal
      /** In place of those of the mesh. */
      addresses?: readonly string[]
      noContact?: NodePartsInit['noContact']
      /** Opened; where the events rest, in place of `store`. */
      shared?: SharedStore
      handlers?: NodePartsInit['handlers']
      processes?: NodePartsInit['processes']
      /** New ones in memory when left out. */
      keys?: KeyStore
    },
  ): Promise<MemoryNode>
  stop(): Promise<void>
}

export function createMemoryCluster(
  options: { partitions?: number; replicas?: number; clusterId?: string; network?: MemoryNetwork } = {},
): MemoryCluster {
  const network = options.network ?? createMemoryNetwork({ clock: systemClock })
  const nodes: MemoryNode[] = []
  const known = new Map<string, ClusterSettings>()
  let commands = 0
  let stores = 0
  // Where replicas go depends on it: the same placement in every run, and none that a test meets once in twenty.
  const nextStorageId = (): string => `00000000-0000-4000-8000-${String(++stores).padStart(12, '0')}`

  return {
    network,
    nodes,
    async start(
      peerId,
      {
        store = createMemoryStore({ storageId: nextStorageId() }),
        join = nodes.length > 0,
        aggregates = [counter],
        role = 'full',
        log = silentLog,
        wanted = { topic: 'test', scope: 'default' },
        signal = AbortSignal.timeout(60_000),
        addresses,
        noContact,
        shared,
        handlers = [],
        processes = [],
        keys,
      } = {},
    ) {
      const real = network.createMesh({ peerId })
      const mesh = addresses === undefined ? real : { ...real, addresses: () => addresses }
      await mesh.start()
      const rpc = createRpc({ mesh, clock: systemClock })
      let settings = known.get(store.storageId)
      const failures: Error[] = []
      const removals: MemoryNode['removals'] = []
      const parts = assembleNode({
        mesh,
        rpc,
        store,
        ...(shared === undefined ? {} : { shared }),
        handlers,
        processes,
        clock: systemClock,
        random: Math.random,
        log,
        timing: testTiming,
        topic: 'test',
        scope: 'default',
        name: peerId,
        role,
        aggregates: new Map(
          aggregates.map(definition => [definition.type, { definition, definitionId: 'test' }]),
        ),
        settings: () => settings,
        ...(noContact === undefined ? {} : { noContact }),
        ...(keys === undefined ? {} : { keys }),
        onFatal: error => {
          failures.push(error)
        },
        onRemoved(error, { hasLeft }) {
          removals.push({ error, hasLeft })
        },
      })
      await parts.reactions.start()
      parts.start()
      if (settings === undefined && join) {
        const contact = nodes[0]
        if (contact === undefined) throw new Error('nobody to join')
        const found = await parts.membership
          .join([`/memory/${contact.peerId}`], wanted, {
            signal,
            onProgress: () => {},
          })
          .catch(async (error: unknown) => {
            // It ends as its process would.
            await parts.stop()
            network.crash(peerId)
            throw error
          })
        settings = found.settings
        parts.membership.learn(found.nodes)
        parts.startMembership()
      } else if (settings === undefined) {
        settings = {
          clusterId: options.clusterId ?? 'test-cluster',
          topic: 'test',
          scope: 'default',
          partitions: options.partitions ?? 4,
          replicas: options.replicas ?? 3,
        }
        const configuration = { voters: [parts.engine.id], learners: [] }
        const groups = Array.from({ length: settings.partitions + 1 }, (_, partition) => ({
          partition,
          configuration,
        }))
        await parts.engine.bootstrap(groups, {})
        parts.startMembership()
        await parts.controller.submit({ type: 'form', settings }, { timeoutMs: 30_000 })
        await parts.membership.putSelf()
      } else {
        parts.startMembership()
      }
      known.set(store.storageId, settings)
      const { partitions } = settings
      const node: MemoryNode = {
        peerId,
        role,
        parts,
        store,
        failures,
        removals,
        execute(id, command, { commandId = `c-${++commands}`, timeoutMs = 60_000 } = {}) {
          const aggregate = { type: 'counter', id }
          const partition = partitionOf(aggregate, partitions)
          const envelope = { aggregate, command, commandId, metadata: {} }
          return parts.router.route({
            partition,
            timeoutMs,
            here: () => parts.host.execute(partition, envelope),
            there: (peer, attempt) => parts.remote.execute(peer, partition, envelope, attempt.timeoutMs),
          })
        },
        load(id) {
          const aggregate = { type: 'counter', id }
          const partition = partitionOf(aggregate, partitions)
          return parts.router.route({
            partition,
            timeoutMs: 60_000,
            here: () => parts.host.load(partition, aggregate),
            there: (peer, attempt) => parts.remote.load(peer, partition, aggregate, attempt.timeoutMs),
          })
        },
        crash() {
          network.crash(peerId)
          void parts.stop()
          nodes.splice(nodes.indexOf(node), 1)
        },
      }
      nodes.push(node)
      return node
    },
    async stop() {
      for (const node of nodes) {
        await node.parts.stop()
        network.crash(node.peerId)
      }
    },
  }
}

/** Waits until the claim holds; after the deadline it throws, and says what was waited for. */
export async function eventually(
  claim: () => boolean | Promise<boolean>,
  what: string | (() => string),
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await claim())) {
    if (performance.now() > deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${typeof what === 'string' ? what : what()}`)
    }
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
