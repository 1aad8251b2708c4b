// What the controller's log says: the settings of the cluster, its nodes, and the wanted replicas of every partition.
// A pure fold over the committed entries of group 0; every node holds the same state at the same index.
import type { Placement } from '../core/placement.ts'
import type { ReplicaId } from '../core/replica-id.ts'

export interface ClusterSettings {
  readonly clusterId: string
  readonly topic: string
  readonly scope: string
  readonly partitions: number
  /** Wanted replicas of each partition. */
  readonly replicas: number
  /** Events rest in a store that all nodes reach, and Raft only elects. Left out: on the disks of the nodes. */
  readonly store?: 'shared'
}

export interface ClusterNode {
  readonly peerId: string
  readonly storageId: string
  readonly name: string
  readonly role: 'full' | 'query'
  readonly state: 'active' | 'draining' | 'removed'
  /** Multiaddrs with `/p2p/<peer id>`. */
  readonly addresses: readonly string[]
}

/** The commands of the controller's log, as JSON. Unknown types are passed over: a newer node may write them. */
export type ControllerCommand =
  | { readonly type: 'form'; readonly settings: ClusterSettings }
  | { readonly type: 'put-node'; readonly node: ClusterNode }
  /** `isLeaving`: only if it still wants to go; it may have been told to stay in the meantime. */
  | { readonly type: 'remove-node'; readonly peerId: string; readonly isLeaving?: boolean }
  /** The node leaves: nothing new is placed on it, and what it has moves away. False calls that off. */
  | { readonly type: 'drain-node'; readonly peerId: string; readonly isDraining: boolean }
  | { readonly type: 'place'; readonly wanted: Readonly<Record<string, Placement>> }

export interface ClusterState {
  readonly settings: ClusterSettings | undefined
  /** By peer id; removed ones stay, so that they are refused for ever. */
  readonly nodes: ReadonlyMap<string, ClusterNode>
  /** By partition; the members are replica ids. */
  readonly wanted: ReadonlyMap<number, Placement>
}

export const emptyClusterState: ClusterState = { settings: undefined, nodes: new Map(), wanted: new Map() }

export function applyControllerCommand(state: ClusterState, command: ControllerCommand): ClusterState {
  switch (command.type) {
    case 'form':
      return state.settings === undefined ? { ...state, settings: command.settings } : state
    case 'put-node': {
      const known = state.nodes.get(command.node.peerId)?.state
      if (known === 'removed') return state
      // Where a node is says nothing about whether it leaves.
      return withNode(state, { ...command.node, state: known ?? command.node.state })
    }
    case 'drain-node': {
      const node = state.nodes.get(command.peerId)
      if (node === undefined || node.state === 'removed') return state
      return withNode(state, { ...node, state: command.isDraining ? 'draining' : 'active' })
    }
    case 'remove-node': {
      const node = state.nodes.get(command.peerId)
      if (node === undefined || (command.isLeaving === true && node.state === 'active')) return state
      return withNode(state, { ...node, state: 'removed' })
    }
    case 'place': {
      const wanted = new Map(state.wanted)
      for (const [partition, placement] of Object.entries(command.wanted))
        wanted.set(Number(partition), placement)
      return { ...state, wanted }
    }
    default:
      return state
  }
}

const withNode = (state: ClusterState, node: ClusterNode): ClusterState => ({
  ...state,
  nodes: new Map(state.nodes).set(node.peerId, node),
})

export const replicaIdOfNode = (node: ClusterNode): ReplicaId => `${node.peerId}/${node.storageId}`

/** Nodes that hold replicas, or will. */
export const placeableNodes = (state: ClusterState): readonly ClusterNode[] =>
  [...state.nodes.values()].filter(node => node.state === 'active' && node.role === 'full')
