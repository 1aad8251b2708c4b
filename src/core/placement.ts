// Where the replicas of a partition belong: rendezvous hashing (Thaler and Ravishankar, 1998).
// Adding or removing one of n nodes moves about 1/n of the replicas.
import { hash32 } from './hash.ts'

export interface Placement {
  /** An odd number of them. The first is the preferred leader. */
  readonly voters: readonly string[]
  readonly learners: readonly string[]
}

/** The nodes in the order in which this partition prefers them. The order of the input does not matter. */
export function rankNodes(partition: number, nodes: readonly string[]): readonly string[] {
  return nodes
    .map(node => ({ node, weight: hash32(`${partition}\u0000${node}`) }))
    .sort((a, b) => b.weight - a.weight || (a.node < b.node ? -1 : 1))
    .map(ranked => ranked.node)
}

/** Up to `replicas` of the nodes; the largest odd number of those vote, the rest listen. */
export function placePartition(partition: number, nodes: readonly string[], replicas: number): Placement {
  const chosen = rankNodes(partition, nodes).slice(0, replicas)
  const voters = oddAtMost(chosen.length)
  return { voters: chosen.slice(0, voters), learners: chosen.slice(voters) }
}

/** The largest odd number that is not above `count`; 0 for 0. */
export const oddAtMost = (count: number): number => (count % 2 === 0 ? Math.max(0, count - 1) : count)
