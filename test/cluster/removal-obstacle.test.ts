// No node is removed while the leaders' next steps, taken before they hear of it, could leave a group without a majority.
import t from 'tap'
import { type ClusterNode, type ClusterState, emptyClusterState } from '../../src/cluster/cluster-state.ts'
import { removalObstacle } from '../../src/cluster/removal-obstacle.ts'
import { placementChanges } from '../../src/cluster/wanted-placement.ts'

const partitions = 4

const nodeOf = (peerId: string, state: ClusterNode['state']): ClusterNode => ({
  peerId,
  storageId: 's',
  name: peerId,
  role: 'full',
  state,
  addresses: [],
})

/** As it is once everything is planned. */
function stateOf(nodes: Readonly<Record<string, ClusterNode['state']>>): ClusterState {
  const state: ClusterState = {
    ...emptyClusterState,
    settings: { clusterId: 'c', topic: 't', scope: 's', partitions, replicas: 3 },
    nodes: new Map(Object.entries(nodes).map(([peerId, is]) => [peerId, nodeOf(peerId, is)])),
  }
  const wanted = Object.entries(placementChanges(state)).map(([key, value]) => [Number(key), value] as const)
  return { ...state, wanted: new Map(wanted) }
}

function obstacle(
  state: ClusterState,
  { voters, down = [] }: { voters: readonly string[]; down?: readonly string[] },
) {
  const configuration = { voters: voters.map(peerId => `${peerId}/s` as const), learners: [] }
  const seats = new Map(
    Array.from({ length: partitions + 1 }, (_, partition) => [
      partition,
      [{ partition, term: 1, isSure: true, leader: voters[0] ?? null, index: 1, configuration }],
    ]),
  )
  return removalObstacle({ state, peerId: 'x', seats, isReachable: peerId => !down.includes(peerId) })
}

t.test('while another leaves, three voters become one: a node that works waits until they have', async t => {
  const state = stateOf({ a: 'draining', b: 'active', x: 'active' })
  // Without a, whose seat goes first, {b, x} would be left for a moment; b alone is no majority of it.
  t.match(obstacle(state, { voters: ['a', 'b', 'x'] }), {
    isPassing: true,
    text: /until replicas have moved/,
  })
  t.equal(
    obstacle(state, { voters: ['a', 'b', 'x'], down: ['x'] }),
    null,
    'one that is down takes no vote away',
  )
})

t.test('while one voter becomes three, the second waits for the third', async t => {
  const state = stateOf({ a: 'active', b: 'active', x: 'active' })
  t.match(obstacle(state, { voters: ['a'] }), { isPassing: true })
  t.equal(obstacle(state, { voters: ['a', 'b', 'x'] }), null)
})

t.test('where enough others are left on every step, nothing is waited for', async t => {
  const state = stateOf({ a: 'active', b: 'active', c: 'active', d: 'active', x: 'active' })
  t.equal(obstacle(state, { voters: ['a', 'b', 'x'] }), null)
  t.equal(obstacle(state, { voters: ['a', 'b', 'c'] }), null)
})
