// The nodes of a run: started, replaced, and waited for until all of them agree that all is well.
import { setTimeout as sleep } from 'node:timers/promises'
import type { NodeStatus } from '../../src/node/node-api.ts'
import { type ChaosNode, type ChaosNodeInit, createChaosNode, type UnexpectedEnd } from './chaos-node.ts'

/** Generous: a busy machine is no finding. */
const readyMsMax = 240_000
const stopMsMax = 60_000
const leadersMsMax = 60_000
const removeMsMax = 120_000

export interface Cluster {
  /** Members, dead ones too. */
  members(): readonly ChaosNode[]
  /** Every node that ever was. */
  all(): readonly ChaosNode[]
  /** Makes a node that joins. Resolves when it is ready. */
  add(): Promise<ChaosNode>
  /** Starts a node that is down; resolves when it is ready. */
  restart(node: ChaosNode): Promise<void>
  stop(node: ChaosNode): Promise<void>
  /** Kills the node and removes it from the cluster through the others. */
  remove(node: ChaosNode): Promise<void>
  /** The node that leads the most partitions, as the first that answers knows. */
  busiest(): Promise<ChaosNode>
  /**
   * Resolves with how every member sees the cluster once all see it whole and, unless commands go on, have seen
   * everything. Throws what was missing last.
   */
  settled(timeoutMs: number, load?: { readonly goesOn: boolean }): Promise<ReadonlyMap<ChaosNode, NodeStatus>>
  readonly unexpectedEnds: readonly UnexpectedEnd[]
  close(): Promise<void>
}

export type ClusterInit = Omit<ChaosNodeInit, 'name' | 'onUnexpectedEnd'> & {
  readonly signal: AbortSignal
  readonly print: (line: string) => void
}

/** How often whoever waits says what for. */
const sayEveryMs = 10_000

export function createCluster(init: ClusterInit): Cluster {
  const { signal } = init
  const nodes: ChaosNode[] = []
  let names = 0
  const unexpectedEnds: UnexpectedEnd[] = []
  const members = (): ChaosNode[] => nodes.filter(node => node.state() !== 'removed')
  const addressesBut = (self: ChaosNode): string[] =>
    members()
      .filter(node => node !== self && node.peerId() !== null)
      .map(node => node.address())

  async function launch(node: ChaosNode): Promise<void> {
    node.start(addressesBut(node))
    await node.ready(readyMsMax)
  }

  async function until<Value>(
    what: string,
    timeoutMs: number,
    attempt: () => Promise<Value>,
  ): Promise<Value> {
    const deadline = performance.now() + timeoutMs
    let nextSaidAt = performance.now() + sayEveryMs
    for (;;) {
      signal.throwIfAborted()
      try {
        return await attempt()
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error)
        if (performance.now() > nextSaidAt) {
          nextSaidAt += sayEveryMs
          init.print(`           waiting for ${what}: ${text}`)
        }
        if (performance.now() > deadline)
          throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: error })
      }
      await sleep(250)
    }
  }

  const up = (): ChaosNode[] => members().filter(node => node.state() === 'up')

  return {
    members,
    all: () => nodes,
    unexpectedEnds,
    async add() {
      const name = `n${++names}`
      const node = await createChaosNode({ ...init, name, onUnexpectedEnd: end => unexpectedEnds.push(end) })
      nodes.push(node)
      await launch(node)
      return node
    },
    restart: launch,
    async stop(node) {
      await node.stop(stopMsMax)
    },
    async remove(node) {
      const peerId = node.peerId()
      if (peerId === null) throw new Error(`${node.name} was never ready`)
      await node.remove()
      let turn = 0
      await until(`the removal of ${node.name}`, removeMsMax, async () => {
        const others = up()
        const asked = others[turn++ % others.length]
        if (asked === undefined) throw new Error('no node is up')
        const { members: known } = await asked.client.status()
        if (known.some(member => member.peerId === peerId && member.state === 'removed')) return
        if (!known.some(member => member.peerId === peerId)) return
        await asked.client.removeMember(peerId)
      })
    },
    busiest: () =>
      until('somebody who knows the leaders', leadersMsMax, async () => {
        const led = new Map<string, number>()
        for (const { leader } of (await firstStatus(up())).partitions) {
          if (leader !== null) led.set(leader, (led.get(leader) ?? 0) + 1)
        }
        const leads = (node: ChaosNode): number => led.get(node.peerId() ?? '') ?? 0
        const [first] = up().toSorted((a, b) => leads(b) - leads(a))
        if (first === undefined) throw new Error('no node is up')
        return first
      }),
    settled: (timeoutMs, { goesOn } = { goesOn: false }) =>
      until('a cluster that all its members see whole', timeoutMs, async () => {
        const statuses = await Promise.all(
          members().map(async node => [node, await node.client.status()] as const),
        )
        for (const [node, status] of statuses) checkSettled(node, { status, members: members(), goesOn })
        if (!goesOn) checkAlike(statuses.map(([, status]) => status))
        return new Map(statuses)
      }),
    async close() {
      await Promise.all(nodes.map(node => node.close()))
    },
  }
}

async function firstStatus(nodes: readonly ChaosNode[]): Promise<NodeStatus> {
  return await Promise.any(nodes.map(node => node.client.status()))
}

/** Throws what this node misses. */
function checkSettled(
  node: ChaosNode,
  seen: {
    readonly status: NodeStatus
    readonly members: readonly ChaosNode[]
    readonly goesOn: boolean
  },
): void {
  const { problems, partitions, queries, cluster, members } = seen.status
  const miss = (what: string): never => {
    throw new Error(`${node.name}: ${what}`)
  }
  if (problems.length > 0) miss(problems.join('; '))
  const names = seen.members.map(member => member.peerId()).toSorted()
  const known = members.filter(({ state }) => state !== 'removed').map(({ peerId }) => peerId)
  if (known.toSorted().join() !== names.join()) miss(`it knows the members ${known.join(', ')}`)
  const voters = Math.min(cluster.replicas, names.length % 2 === 1 ? names.length : names.length - 1)
  for (const { id, leader, voters: own, learners } of partitions) {
    if (leader === null) miss(`partition ${id} has no leader`)
    const isController = id === 0
    if (!isController && own.length !== voters) miss(`partition ${id} has ${own.length} voters`)
    if (own.some(voter => !names.includes(voter))) miss(`partition ${id} has a voter that is gone`)
    if (!isController && learners.length > 0 && names.length >= cluster.replicas)
      miss(`partition ${id} has learners`)
  }
  for (const { name, state, lag, lastError } of queries) {
    const isFine = state === 'running' || (seen.goesOn && state === 'catching-up')
    if (!isFine) miss(`query ${name} is ${state}: ${lastError?.message ?? ''}`)
    if (lag > 0 && !seen.goesOn) miss(`query ${name} lags by ${lag}`)
  }
}

/** Throws where two nodes see a partition differently. */
function checkAlike(statuses: readonly NodeStatus[]): void {
  const views = statuses.map(
    ({ partitions }) => new Map(partitions.map(partition => [partition.id, partition])),
  )
  for (const [id, first] of views[0] ?? []) {
    for (const view of views) {
      const other = view.get(id)
      if (other?.leader === first.leader && other.commitIndex === first.commitIndex) continue
      throw new Error(
        `partition ${id}: led by ${first.leader} and ${other?.leader}, committed up to ${first.commitIndex} and ${other?.commitIndex}`,
      )
    }
  }
}
