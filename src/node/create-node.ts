// The way in for programs. The mesh and the stores are loaded with the first node, not before: whatever imports the library
// for its definitions alone, above all the thread of each query and handler, has none of them.
import type { GlynNode } from './glyn-node.ts'
import type { NodeOptions } from './node-options.ts'

/**
 * Starts a node. Resolves when it belongs to a cluster and takes commands. Throws GlynError: INVALID_ARGUMENT,
 * INSECURE_LISTEN, ALREADY_RUNNING, IDENTITY_MISMATCH, CLUSTER_MISMATCH, MEMBER_REMOVED, and those of the store.
 */
export async function createNode(options: NodeOptions): Promise<GlynNode> {
  const { startNode } = await import('./start-node.ts')
  return await startNode(options)
}
