// The mesh secret for those above node/, which the adapters of the mesh are private to.
export { createSwarmKey, parseSwarmKey } from '../mesh/libp2p/swarm-key.ts'
