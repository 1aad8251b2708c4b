// Whose history a shared store holds: nodes of one cluster must have one store, or they answer from two histories.
import { GlynError } from '../core/errors.ts'
import type { SharedStore } from '../store/shared-store.ts'

type Located = Pick<SharedStore, 'location'>

/** For a node that joins or comes back: only the node that forms a cluster claims a store. Throws CLUSTER_MISMATCH. */
export function checkBelongs({ location }: Located, clusterId: string): (found: string | null) => void {
  return found => {
    if (found === clusterId) return
    const whose = found === null ? 'belongs to no cluster yet' : `belongs to cluster ${found}`
    throw new GlynError(
      'CLUSTER_MISMATCH',
      `store ${location}: it ${whose}, and this node to cluster ${clusterId}, whose events rest in another one; start it with the --store of its other nodes: the same database and ?schema=`,
      { details: { found, wanted: clusterId } },
    )
  }
}

/**
 * For a node that forms a cluster: the store must belong to none. `forming` is the cluster of an earlier start of this node
 * that was cut off. Throws CLUSTER_MISMATCH.
 */
export function checkUnclaimed(
  { location }: Located,
  forming: string | undefined,
): (found: string | null) => void {
  return found => {
    if (found === null || found === forming) return
    throw new GlynError(
      'CLUSTER_MISMATCH',
      `store ${location}: it belongs to cluster ${found}, and this node, which has no --bootstrap and no data of that cluster, would form ${forming === undefined ? 'a new one' : `cluster ${forming}`}; join with --bootstrap, come back with the data directory, or take another --store or ?schema=. If all nodes of cluster ${found} are lost for good, docs/stores.md, "One cluster, one store", says how to hand the store over`,
      { details: { found, wanted: forming ?? null } },
    )
  }
}
