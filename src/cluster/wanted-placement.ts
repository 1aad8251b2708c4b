// What the controller wants: the placement of every partition over the active nodes, and of its own group.

import { controllerPartition } from '../core/partition-of.ts'
import { oddAtMost, type Placement, placePartition, rankNodes } from '../core/placement.ts'
import { type ClusterState, placeableNodes, replicaIdOfNode } from './cluster-state.ts'

/** The controller's group has at most this many voters; all other nodes listen. */
const controllerVotersMax = 5

/** Partitions whose wanted placement differs from what the nodes call for now; empty when all is as it should be. */
export function placementChanges(state: ClusterState): Readonly<Record<string, Placement>> {
  const { settings } = state
  if (settings === undefined) return {}
  const nodes = placeableNodes(state).map(replicaIdOfNode)
  if (nodes.length === 0) return {}
  const changes: Record<string, Placement> = {}
  for (let partition = 1; partition <= settings.partitions; partition += 1) {
    const placement = placePartition(partition, nodes, settings.replicas)
    const current = state.wanted.get(partition)
    if (current === undefined || !isSamePlacement(current, placement)) changes[String(partition)] = placement
  }
  return changes
}

/** Every node that is not removed learns the controller's log; up to five of the full ones vote. */
export function controllerPlacement(state: ClusterState): Placement {
  const nodes = placeableNodes(state).map(replicaIdOfNode)
  const others = [...state.nodes.values()]
    .filter(node => node.state !== 'removed')
    .map(replicaIdOfNode)
    .filter(id => !nodes.includes(id))
  const ranked = rankNodes(controllerPartition, nodes)
  const voters = oddAtMost(Math.min(ranked.length, controllerVotersMax))
  return { voters: ranked.slice(0, voters), learners: [...ranked.slice(voters), ...others] }
}

function isSamePlacement(a: Placement, b: Placement): boolean {
  return a.voters.join() === b.voters.join() && a.learners.join() === b.learners.join()
}
