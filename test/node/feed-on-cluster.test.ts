// Feeds on a real cluster: on nodes with and without a replica, with and without gossip, while replicas move.
import t, { type Test } from 'tap'
import { subscribeToFeed } from '../../src/node/subscription.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import { eventually, type MemoryCluster, type MemoryNode } from './memory-cluster.ts'
import { settle } from './settle.ts'
import { add, idIn, required, startCluster } from './steering.ts'

const partitions = 3
const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']

interface Followed {
  readonly events: { readonly id: string; readonly partition: number; readonly index: number }[]
}

function follow(t: Test, node: MemoryNode): Followed {
  const leaving = new AbortController()
  const events: Followed['events'] = []
  const done = (async () => {
    const options = {
      from: 'start',
      signal: leaving.signal,
      partitions: node.parts.dataPartitions(),
      clock: systemClock,
    }
    for await (const { id, position } of subscribeToFeed(node.parts.feed, options))
      events.push({ id, ...position })
  })()
  t.teardown(() => {
    leaving.abort()
    return done
  })
  return { events }
}

/** Every event of the cluster once, and each partition in order. */
function checkWhole(t: Test, { events }: Followed, what: string, count: number): void {
  t.equal(events.length, count, `${what}: as many events as commands`)
  t.equal(new Set(events.map(({ id }) => id)).size, count, `${what}: none twice`)
  const last = new Map<number, number>()
  for (const { partition, index } of events) {
    if (index < (last.get(partition) ?? 0)) t.fail(`${what}: partition ${partition} goes back to ${index}`)
    last.set(partition, index)
  }
}

async function addRounds(cluster: MemoryCluster, rounds: number): Promise<number> {
  for (let round = 0; round < rounds; round += 1) {
    await Promise.all(
      ids.map((id, n) => required(cluster.nodes[n % cluster.nodes.length]).execute(id, add(1))),
    )
  }
  return rounds * ids.length
}

t.test(
  'five nodes, three replicas: every node sees every event once, in the order of its partition',
  async t => {
    const cluster = await startCluster(5, { partitions })
    t.teardown(() => cluster.stop())
    const early = cluster.nodes.map(node => follow(t, node))
    const remote = cluster.nodes.filter(node =>
      node.parts.dataPartitions().some(partition => !node.parts.isLocal(partition)),
    )
    t.ok(remote.length >= 2, 'some nodes hold not every partition')
    const count = await addRounds(cluster, 20)
    const late = cluster.nodes.map(node => follow(t, node))
    for (const [place, followed] of [...early, ...late].entries()) {
      await eventually(() => followed.events.length >= count, `follower ${place} has seen all`)
      checkWhole(t, followed, `follower ${place}`, count)
    }
  },
)

t.test('a query node sees every event while gossip is lost or late', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  const query = await cluster.start('query-1', { role: 'query' })
  const { network } = cluster
  let count = await addRounds(cluster, 1)
  const followed = follow(t, query)
  network.setFate(({ kind }) =>
    kind === 'gossip' ? (Math.random() < 0.5 ? 'lost' : Math.floor(Math.random() * 60)) : 0,
  )
  count += await addRounds(cluster, 15)
  network.setFate(({ kind }) => (kind === 'gossip' ? 'lost' : 0))
  count += await addRounds(cluster, 2)
  await eventually(() => followed.events.length >= count, 'all are seen without any gossip')
  checkWhole(t, followed, 'query node', count)
})

t.test('a follower sees no gap when its node becomes a replica, or ceases to be one', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  let count = await addRounds(cluster, 30)
  const fourth = await cluster.start('node-4')
  const followers = cluster.nodes.map(node => follow(t, node))
  count += await addRounds(cluster, 10)
  await cluster.start('node-5')
  count += await addRounds(cluster, 10)
  await settle(cluster)
  count += await addRounds(cluster, 2)
  t.ok(
    fourth.parts.dataPartitions().some(partition => fourth.parts.isLocal(partition)),
    'the newcomer holds replicas',
  )
  for (const [place, followed] of followers.entries()) {
    await eventually(() => followed.events.length >= count, `follower ${place} has seen all`)
    checkWhole(t, followed, `follower ${place}`, count)
  }
})

t.test(
  'a follower on a node that was cut off catches up, without a gap and without a repetition',
  async t => {
    const cluster = await startCluster(3, { partitions })
    t.teardown(() => cluster.stop())
    const cutOff = required(cluster.nodes[2])
    const others = cluster.nodes.slice(0, 2)
    const followed = follow(t, cutOff)
    let count = await addRounds(cluster, 2)
    for (const { peerId } of others) cluster.network.cut(cutOff.peerId, peerId)
    const id = idIn(1, partitions)
    for (let n = 0; n < 10; n += 1) await required(others[n % 2]).execute(id, add(1))
    count += 10
    for (const { peerId } of others) cluster.network.heal(cutOff.peerId, peerId)
    count += await addRounds(cluster, 2)
    await eventually(() => followed.events.length >= count, 'all are seen')
    checkWhole(t, followed, 'the node that was cut off', count)
  },
)
