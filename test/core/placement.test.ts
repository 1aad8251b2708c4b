// Rendezvous placement: the same for everybody, even, and little moves when nodes come and go.
import t from 'tap'
import { oddAtMost, placePartition, rankNodes } from '../../src/core/placement.ts'

const partitions = 1024
const nodesOf = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => `12D3KooW${n}x/${n}-storage`)
const replicasOf = (partition: number, nodes: readonly string[], replicas: number): readonly string[] => {
  const { voters, learners } = placePartition(partition, nodes, replicas)
  return [...voters, ...learners]
}

t.test('the ranking is part of the data format', async t => {
  const nodes = ['peer-a/1', 'peer-b/1', 'peer-c/1', 'peer-d/1', 'peer-e/1']
  const letters = (partition: number): string =>
    rankNodes(partition, nodes)
      .map(node => node[5])
      .join('')
  t.equal(letters(0), 'bdcae')
  t.equal(letters(1), 'ecbad')
  t.equal(letters(2), 'daebc')
  t.equal(letters(31), 'acdbe')
})

t.test('the order in which nodes are given does not matter', async t => {
  const nodes = nodesOf(7)
  const shuffled = [...nodes].sort((a, b) => (a.charCodeAt(8) % 3) - (b.charCodeAt(8) % 3))
  t.notSame(nodes, shuffled)
  for (let partition = 1; partition <= 64; partition += 1) {
    t.same(placePartition(partition, [...nodes].reverse(), 3), placePartition(partition, nodes, 3))
    t.same(placePartition(partition, shuffled, 3), placePartition(partition, nodes, 3))
  }
})

t.test('voters are odd, the rest listen, nobody stands twice', async t => {
  const expected: readonly (readonly [nodes: number, replicas: number, voters: number, learners: number])[] =
    [
      [0, 3, 0, 0],
      [1, 3, 1, 0],
      [2, 3, 1, 1],
      [3, 3, 3, 0],
      [9, 3, 3, 0],
      [9, 4, 3, 1],
      [9, 5, 5, 0],
      [9, 1, 1, 0],
      [9, 2, 1, 1],
      [9, 7, 7, 0],
    ]
  for (const [nodes, replicas, voters, learners] of expected) {
    const placement = placePartition(5, nodesOf(nodes), replicas)
    t.same(
      [placement.voters.length, placement.learners.length],
      [voters, learners],
      `${nodes} nodes, ${replicas} replicas`,
    )
    t.equal(new Set([...placement.voters, ...placement.learners]).size, voters + learners)
  }
  t.same([0, 1, 2, 3, 4, 5, 6, 7].map(oddAtMost), [0, 1, 1, 3, 3, 5, 5, 7])
})

t.test('replicas and preferred leaders are spread evenly', async t => {
  for (const count of [3, 5, 10]) {
    const nodes = nodesOf(count)
    const held = new Map<string, number>()
    const led = new Map<string, number>()
    for (let partition = 1; partition <= partitions; partition += 1) {
      const replicas = replicasOf(partition, nodes, 3)
      for (const id of replicas) held.set(id, (held.get(id) ?? 0) + 1)
      const [leader] = replicas
      if (leader !== undefined) led.set(leader, (led.get(leader) ?? 0) + 1)
    }
    for (const node of nodes) {
      const holds = ((held.get(node) ?? 0) * count) / (partitions * 3)
      const leads = ((led.get(node) ?? 0) * count) / partitions
      if (Math.abs(holds - 1) > 0.25) t.fail(`${node} of ${count} holds ${holds} of its share`)
      if (Math.abs(leads - 1) > 0.4) t.fail(`${node} of ${count} leads ${leads} of its share`)
    }
    t.pass(`${count} nodes`)
  }
})

t.test('one more of n nodes takes about 1/n of the replicas, and only the newcomer takes any', async t => {
  for (const count of [4, 5, 8, 16]) {
    const before = nodesOf(count - 1)
    const after = nodesOf(count)
    const newcomer = after.at(-1)
    let moved = 0
    for (let partition = 1; partition <= partitions; partition += 1) {
      const old = replicasOf(partition, before, 3)
      const fresh = replicasOf(partition, after, 3).filter(id => !old.includes(id))
      if (fresh.some(id => id !== newcomer)) t.fail(`partition ${partition} moves to a node that was there`)
      moved += fresh.length
    }
    const share = (moved * count) / (partitions * 3)
    t.ok(share > 0.8 && share < 1.2, `${count} nodes: ${share.toFixed(2)} of the share of one`)
  }
})

t.test('a node that goes leaves the replicas of the others where they are', async t => {
  const nodes = nodesOf(6)
  const [gone] = nodes
  for (let partition = 1; partition <= partitions; partition += 1) {
    const old = replicasOf(partition, nodes, 3)
    const next = replicasOf(partition, nodes.slice(1), 3)
    const kept = old.filter(id => id !== gone)
    if (!kept.every(id => next.includes(id)))
      t.fail(`partition ${partition} moves a replica of a node that stays`)
  }
  t.pass('over all partitions')
})
