// A node whose disk is full, fails or stands still gives up what it leads, and takes nothing with it.
import t, { type Test } from 'tap'
import { GlynError } from '../../src/core/errors.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { type HeldStore, holdable } from '../partition/single-host.ts'
import { createMemoryCluster, eventually, type MemoryNode } from './memory-cluster.ts'
import { settle } from './settle.ts'

const diskFull = new GlynError('STORE_FULL', 'store memory: the disk is full')

async function threeNodes(t: Test): Promise<{ nodes: MemoryNode[]; stores: HeldStore[] }> {
  const cluster = createMemoryCluster({ partitions: 6 })
  t.teardown(() => cluster.stop())
  const stores: HeldStore[] = []
  for (const name of ['a', 'b', 'c']) {
    const store = holdable(createMemoryStore())
    stores.push(store)
    await cluster.start(name, { store })
  }
  await settle(cluster)
  return { nodes: [...cluster.nodes], stores }
}

const ledBy = ({ parts }: MemoryNode): readonly number[] =>
  parts.engine.partitions().filter(partition => parts.engine.status(partition)?.role === 'leader')

/** The node that leads most, and its store. */
function busiest({ nodes, stores }: Awaited<ReturnType<typeof threeNodes>>) {
  const place = [0, 1, 2].sort((a, b) => ledBy(at(nodes, b)).length - ledBy(at(nodes, a)).length)[0] ?? 0
  const others = nodes.filter((_, other) => other !== place)
  return { node: at(nodes, place), store: at(stores, place), others }
}

function at<T>(list: readonly T[], place: number): T {
  const found = list[place]
  if (found === undefined) throw new Error(`there is no ${place}`)
  return found
}

t.test('a full disk: leaderships are handed over before the node stops, and no command fails', async t => {
  const cluster = await threeNodes(t)
  const { node, store, others } = busiest(cluster)
  t.ok(ledBy(node).length > 0, 'it leads something')
  const ids = Array.from({ length: 30 }, (_, n) => `acc-${n}`)
  const add = (from: MemoryNode) =>
    Promise.all(ids.map(id => from.execute(id, { type: 'Add', data: { by: 1 } })))
  await add(node)
  store.fail(diskFull)
  const outcomes = await add(at(others, 0))
  t.ok(outcomes.every(({ type }) => type === 'accepted'))
  await eventually(() => node.failures.length > 0, 'it wants to stop')
  t.same(node.failures, [diskFull], 'once, with the reason')
  t.same(ledBy(node), [], 'it leads nothing when it stops')
  t.equal(node.parts.failure(), diskFull)
  await eventually(
    () => at(others, 0).parts.membership.lastWordsOf(node.peerId) === diskFull.message,
    'others know why',
  )
  for (const id of ids) {
    const { state, sequence } = await at(others, 1).load(id)
    t.same({ id, state, sequence }, { id, state: { total: 2 }, sequence: 2 })
  }
  t.same(
    others.map(({ failures }) => failures),
    [[], []],
    'the others do not notice more',
  )
})

t.test('a disk that stands still: others lead until it moves again, and nothing is lost', async t => {
  const cluster = await threeNodes(t)
  const { node, store, others } = busiest(cluster)
  store.hold()
  t.teardown(() => store.release())
  const ids = Array.from({ length: 30 }, (_, n) => `acc-${n}`)
  const outcomes = await Promise.all(
    ids.map((id, n) =>
      at(others, n % 2).execute(id, { type: 'Add', data: { by: 1 } }, { timeoutMs: 30_000 }),
    ),
  )
  t.ok(
    outcomes.every(({ type }) => type === 'accepted'),
    'commands are answered by nodes whose disks work',
  )
  t.same(node.failures, [], 'slow is not failed')
  store.release()
  await Promise.all(ids.map(id => node.execute(id, { type: 'Add', data: { by: 1 } })))
  for (const id of ids) t.same((await node.load(id)).state, { total: 2 })
  await eventually(() => ledBy(node).length > 0, 'it gets its share again')
})
