// The controller's log as a fold, and the placement it calls for.
import t from 'tap'
import {
  applyControllerCommand,
  type ClusterNode,
  type ClusterState,
  type ControllerCommand,
  emptyClusterState,
  placeableNodes,
} from '../../src/cluster/cluster-state.ts'
import { controllerPlacement, placementChanges } from '../../src/cluster/wanted-placement.ts'

const settings = { clusterId: 'c1', topic: 't', scope: 's', partitions: 16, replicas: 3 }
const nodeOf = (peerId: string, more: Partial<ClusterNode> = {}): ClusterNode => ({
  peerId,
  storageId: `${peerId}-disk`,
  name: peerId,
  role: 'full',
  state: 'active',
  addresses: [`/memory/${peerId}`],
  ...more,
})
const fold = (
  commands: readonly ControllerCommand[],
  state: ClusterState = emptyClusterState,
): ClusterState => commands.reduce(applyControllerCommand, state)
const put = (...nodes: ClusterNode[]): ControllerCommand[] => nodes.map(node => ({ type: 'put-node', node }))
const placed = (state: ClusterState): ClusterState =>
  fold([{ type: 'place', wanted: placementChanges(state) }], state)

t.test('a cluster is formed once; a second forming changes nothing', async t => {
  const once = fold([{ type: 'form', settings }])
  t.same(once.settings, settings)
  t.equal(fold([{ type: 'form', settings: { ...settings, clusterId: 'c2' } }], once), once)
})

t.test('a node is what was put last', async t => {
  const moved = nodeOf('a', { addresses: ['/memory/elsewhere'], name: 'renamed' })
  t.same([...fold(put(nodeOf('a'), nodeOf('b'), moved)).nodes.values()], [moved, nodeOf('b')])
})

t.test('a removed identity stays, and nothing brings it back', async t => {
  const state = fold([...put(nodeOf('a'), nodeOf('b')), { type: 'remove-node', peerId: 'b' }])
  t.equal(state.nodes.get('b')?.state, 'removed')
  t.equal(fold(put(nodeOf('b', { storageId: 'new' })), state), state)
  t.equal(fold([{ type: 'remove-node', peerId: 'nobody' }], state), state)
})

t.test(
  'a node that leaves stays what it is wherever it is put, and one that stays after all is not removed',
  async t => {
    const drain = (isDraining: boolean) => ({ type: 'drain-node', peerId: 'b', isDraining }) as const
    const left = { type: 'remove-node', peerId: 'b', isLeaving: true } as const
    const draining = fold([...put(nodeOf('a'), nodeOf('b')), drain(true)])
    t.equal(draining.nodes.get('b')?.state, 'draining')
    t.equal(fold(put(nodeOf('b', { addresses: ['/new'] })), draining).nodes.get('b')?.state, 'draining')
    t.equal(fold([left], draining).nodes.get('b')?.state, 'removed')
    const staying = fold([drain(false)], draining)
    t.equal(fold([left], staying).nodes.get('b')?.state, 'active')
    t.equal(fold([drain(true)], fold([left], draining)).nodes.get('b')?.state, 'removed', 'too late')
  },
)

t.test('a command of a newer version is passed over', async t => {
  const state = fold([{ type: 'form', settings }])
  t.equal(applyControllerCommand(state, { type: 'dance' } as unknown as ControllerCommand), state)
})

t.test('the fold leaves the state it was given as it is', async t => {
  const state = placed(fold([{ type: 'form', settings }, ...put(nodeOf('a'))]))
  const copy = structuredClone(state)
  fold(
    [
      ...put(nodeOf('b')),
      { type: 'remove-node', peerId: 'a' },
      { type: 'place', wanted: { 1: { voters: [], learners: [] } } },
    ],
    state,
  )
  t.same(state, copy)
})

t.test('only active full nodes hold replicas', async t => {
  const state = fold(
    put(
      nodeOf('a'),
      nodeOf('b', { state: 'draining' }),
      nodeOf('c', { role: 'query' }),
      nodeOf('d', { state: 'removed' }),
    ),
  )
  t.same(
    placeableNodes(state).map(({ peerId }) => peerId),
    ['a'],
  )
})

t.test('every partition is placed, and a placement that stands is not repeated', async t => {
  const formed = fold([
    { type: 'form', settings },
    ...put(nodeOf('a'), nodeOf('b'), nodeOf('c'), nodeOf('d')),
  ])
  t.equal(Object.keys(placementChanges(formed)).length, 16)
  const state = placed(formed)
  t.equal(state.wanted.size, 16)
  for (const { voters, learners } of state.wanted.values()) {
    t.same([new Set(voters).size, learners.length], [3, 0])
    t.ok(voters.every(id => /^([abcd])\/\1-disk$/.test(id)))
  }
  t.same(placementChanges(state), {})
})

t.test('without settings or without nodes nothing is placed', async t => {
  t.same(placementChanges(emptyClusterState), {})
  t.same(placementChanges(fold([{ type: 'form', settings }])), {})
  t.same(placementChanges(fold([{ type: 'form', settings }, ...put(nodeOf('a', { role: 'query' }))])), {})
})

t.test('a removed node loses its replicas, and only those move', async t => {
  const before = placed(
    fold([{ type: 'form', settings }, ...put(nodeOf('a'), nodeOf('b'), nodeOf('c'), nodeOf('d'))]),
  )
  const after = fold([{ type: 'remove-node', peerId: 'd' }], before)
  const changes = placementChanges(after)
  for (const [partition, { voters }] of before.wanted) {
    t.equal(String(partition) in changes, voters.includes('d/d-disk'), `partition ${partition}`)
    t.notOk(changes[String(partition)]?.voters.includes('d/d-disk'))
  }
})

t.test('the controller has an odd number of voters, at most five; all other nodes listen', async t => {
  for (const [count, voters] of [
    [1, 1],
    [2, 1],
    [3, 3],
    [4, 3],
    [5, 5],
    [6, 5],
    [9, 5],
  ] as const) {
    const nodes = Array.from({ length: count }, (_, n) => nodeOf(`n${n}`))
    const placement = controllerPlacement(
      fold(put(...nodes, nodeOf('q', { role: 'query' }), nodeOf('gone', { state: 'removed' }))),
    )
    t.equal(placement.voters.length, voters, `${count} nodes`)
    t.equal(placement.learners.length, count - voters + 1)
    t.ok(placement.learners.includes('q/q-disk'), 'a query node listens')
    t.notOk([...placement.voters, ...placement.learners].includes('gone/gone-disk'))
    t.notOk(placement.voters.includes('q/q-disk'), 'a query node never votes')
  }
})
