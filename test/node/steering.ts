// What tests of a memory cluster do again and again: find leaders, cut nodes off, compare logs.
import type { Log } from '../../src/core/log.ts'
import { partitionOf } from '../../src/core/partition-of.ts'
import type { Entry } from '../../src/raft/entry.ts'
import { createMemoryCluster, eventually, type MemoryCluster, type MemoryNode } from './memory-cluster.ts'
import { settle } from './settle.ts'

/** `node-1`, `node-2`, …, with every replica in its place. */
export async function startCluster(
  count: number,
  { log, ...options }: { partitions?: number; replicas?: number; log?: Log } = {},
): Promise<MemoryCluster> {
  const cluster = createMemoryCluster(options)
  for (let n = 1; n <= count; n += 1) {
    await cluster.start(`node-${n}`, log === undefined ? {} : { log })
  }
  await settle(cluster)
  return cluster
}

/** The id of a counter that lives in this partition; the next one `after` another. */
export function idIn(partition: number, partitions: number, options: { after?: string } = {}): string {
  for (let n = 1 + Number(options.after?.replace('counter-', '') ?? 0); ; n += 1) {
    const id = `counter-${n}`
    if (partitionOf({ type: 'counter', id }, partitions) === partition) return id
  }
}

/** The node that leads the partition and may serve, of the highest term. */
export function leaderOf(
  cluster: { readonly nodes: readonly MemoryNode[] },
  partition: number,
): MemoryNode | undefined {
  let best: MemoryNode | undefined
  let bestTerm = 0
  for (const node of cluster.nodes) {
    const status = node.parts.engine.status(partition)
    if (status?.role !== 'leader' || !status.canServe || status.term <= bestTerm) continue
    best = node
    bestTerm = status.term
  }
  return best
}

/** The leader that follows `old`, once it serves. */
export async function nextLeader(
  cluster: MemoryCluster,
  partition: number,
  old: MemoryNode,
): Promise<MemoryNode> {
  const others = { nodes: cluster.nodes.filter(node => node !== old) }
  await eventually(
    () => leaderOf(others, partition) !== undefined,
    `another leader of partition ${partition}`,
  )
  return required(leaderOf(others, partition))
}

export function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('it is missing')
  return value
}

/** All that this node sends and gets vanishes, and nobody is told. */
export function isolate(cluster: MemoryCluster, node: MemoryNode): void {
  for (const { peerId } of cluster.nodes) {
    if (peerId === node.peerId) continue
    cluster.network.mute(node.peerId, peerId)
    cluster.network.mute(peerId, node.peerId)
  }
}

export function healAll(cluster: MemoryCluster): void {
  for (const a of cluster.nodes)
    for (const b of cluster.nodes) if (a !== b) cluster.network.heal(a.peerId, b.peerId)
}

export const entriesOf = (node: MemoryNode, partition: number): readonly Entry[] => {
  const through = node.parts.engine.status(partition)?.commitIndex ?? 0
  return through === 0 ? [] : node.store.log(partition).entries(1, through, Number.MAX_SAFE_INTEGER)
}

/** Every replica has committed the same entries, told by their hashes. */
export function logsAgree(cluster: MemoryCluster, partition: number): boolean {
  const logs = cluster.nodes
    .filter(node => node.parts.isLocal(partition))
    .map(node => entriesOf(node, partition))
  const [first] = logs
  return (
    first !== undefined &&
    logs.every(
      log =>
        log.length === first.length &&
        log.every((entry, place) => Buffer.compare(entry.hash, first[place]?.hash ?? new Uint8Array()) === 0),
    )
  )
}

export const add = (by: number): { readonly type: string; readonly data: { readonly by: number } } => ({
  type: 'Add',
  data: { by },
})
