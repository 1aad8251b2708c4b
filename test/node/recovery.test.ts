// Recovery on the memory cluster: who is furthest ahead goes on, whole; what has its majority is left alone; and those
// that come back or join are in one history again.
import t from 'tap'
import type { ClusterSettings } from '../../src/cluster/cluster-state.ts'
import { peerIdOf } from '../../src/core/replica-id.ts'
import { clusterSettingsRow, readHistory } from '../../src/node/node-settings.ts'
import { recover } from '../../src/node/recover.ts'
import { planRecovery, type Survivor } from '../../src/node/recovery-plan.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import type { LocalStore } from '../../src/store/store.ts'
import { createMemoryCluster, eventually, type MemoryCluster, type MemoryNode } from './memory-cluster.ts'
import { settle } from './settle.ts'
import { idIn, leaderOf } from './steering.ts'

const settings: ClusterSettings = {
  clusterId: 'test-cluster',
  topic: 'test',
  scope: 'default',
  partitions: 4,
  replicas: 3,
}
const ids = Array.from({ length: 12 }, (_, n) => `acc-${n}`)

/** A store that knows its cluster, as that of a node does. */
async function newStore(): Promise<LocalStore> {
  const store = createMemoryStore()
  await store.write({ partitions: [], snapshots: [], settings: clusterSettingsRow(settings) })
  return store
}

async function start(cluster: MemoryCluster, names: readonly string[]): Promise<Map<string, LocalStore>> {
  const stores = new Map<string, LocalStore>()
  for (const name of names) {
    const store = await newStore()
    stores.set(name, store)
    await cluster.start(name, { store })
  }
  await settle(cluster)
  return stores
}

async function stopAll(cluster: MemoryCluster): Promise<void> {
  for (const node of [...cluster.nodes]) {
    await node.parts.stop()
    node.crash()
  }
}

const survivor = (stores: ReadonlyMap<string, LocalStore>, peerId: string): Survivor => {
  const store = stores.get(peerId)
  if (store === undefined) throw new Error(`no ${peerId}`)
  return { path: peerId, peerId, store }
}

/** Every replica of every partition holds, durably, all that its leader has. */
function isLevel(cluster: MemoryCluster): boolean {
  return Array.from({ length: settings.partitions + 1 }, (_, partition) => partition).every(partition => {
    const statuses = cluster.nodes.flatMap(({ parts }) => parts.engine.status(partition) ?? [])
    const leader = statuses.find(({ role, canServe }) => role === 'leader' && canServe)
    if (leader === undefined) return false
    const { voters, learners } = leader.configuration
    const members = statuses.filter(({ id }) => voters.includes(id) || learners.includes(id))
    return (
      members.length === voters.length + learners.length &&
      leader.commitIndex === leader.lastIndex &&
      members.every(({ durableIndex, term }) => durableIndex === leader.lastIndex && term === leader.term)
    )
  })
}

const add = (node: MemoryNode, by: number) =>
  Promise.all(ids.map(id => node.execute(id, { type: 'Add', data: { by } }, { timeoutMs: 30_000 })))

t.test(
  'of five nodes two are left: what they have goes on, spreads to new nodes, and the lost stay out',
  async t => {
    const cluster = createMemoryCluster({ partitions: 4 })
    t.teardown(() => cluster.stop())
    const stores = await start(cluster, ['a', 'b', 'c', 'd', 'e'])
    const [first] = cluster.nodes
    if (first === undefined) throw new Error('nobody')
    await add(first, 2)
    await eventually(() => isLevel(cluster), 'every replica has everything')
    await stopAll(cluster)

    const survivors = [survivor(stores, 'a'), survivor(stores, 'b')]
    const plan = planRecovery(survivors)
    t.same(plan.lost.map(({ peerId }) => peerId).sort(), ['c', 'd', 'e'])
    t.match(plan.groups[0], { partition: 0, action: 'recover', voters: 5, votersLeft: 2 })
    for (const group of plan.groups) {
      const isMajority = group.votersLeft * 2 > group.voters
      if (group.action === 'keep')
        t.ok(isMajority, `${group.partition}: ${group.votersLeft} of ${group.voters}`)
      else t.ok(!isMajority || group.isFormer)
      t.ok(group.lastIndex >= group.commitIndex)
    }
    const lostAll = plan.groups
      .filter(({ action, isFormer }) => action === 'begin-anew' || isFormer)
      .map(({ partition }) => partition)
    await recover(plan, survivors, { timeMs: 0 })
    t.match(
      readHistory(survivors[0]?.store ?? createMemoryStore(), 'test-cluster'),
      /^test-cluster, recovered 1970/,
    )
    t.ok(
      planRecovery(survivors).groups.every(({ action }) => action === 'keep'),
      'a second time there is nothing to do',
    )

    const a = await cluster.start('a', { store: survivor(stores, 'a').store })
    await cluster.start('b', { store: survivor(stores, 'b').store })
    await cluster.start('f', { store: await newStore(), join: true })
    await settle(cluster)
    await add(a, 1)
    for (const id of ids) {
      const { state, sequence } = await a.load(id)
      const { partition } = await positionOf(a, id)
      const before = lostAll.includes(partition) ? 0 : 2
      t.same({ id, state, sequence }, { id, state: { total: before + 1 }, sequence: before === 0 ? 1 : 2 })
    }
    t.same(
      [...a.parts.state().nodes.values()]
        .filter(({ state }) => state === 'removed')
        .map(({ peerId }) => peerId),
      ['c', 'd', 'e'],
    )
  },
)

async function positionOf(node: MemoryNode, id: string): Promise<{ partition: number }> {
  const outcome = await node.execute(id, { type: 'Look', data: {} })
  if (outcome.type !== 'accepted') throw new Error(outcome.message)
  return outcome.position
}

t.test(
  'where only partitions lost their majority, the lost are removed all the same: they lead no history of their own',
  async t => {
    const cluster = createMemoryCluster({ partitions: 4 })
    t.teardown(() => cluster.stop())
    const stores = await start(cluster, ['a', 'b', 'c', 'd', 'e'])
    const [first] = cluster.nodes
    if (first === undefined) throw new Error('nobody')
    await add(first, 2)
    await eventually(() => isLevel(cluster), 'every replica has everything')
    const lost =
      leaderOf(cluster, 1)?.parts.engine.status(1)?.configuration.voters.slice(0, 2).map(peerIdOf) ?? []
    await stopAll(cluster)

    const left = [...stores.keys()].filter(name => !lost.includes(name))
    const survivors = left.map(name => survivor(stores, name))
    const plan = planRecovery(survivors)
    t.match(plan.groups[1], { partition: 1, action: 'recover', votersLeft: 1 })
    t.match(plan.groups[0], { partition: 0, voters: 5, votersLeft: 3 })
    t.same(plan.lost.map(({ peerId }) => peerId).sort(), [...lost].sort())
    await recover(plan, survivors, { timeMs: 0 })
    t.ok(
      planRecovery(survivors).groups.every(({ action }) => action === 'keep'),
      'a second time there is nothing to do',
    )
    for (const name of left) await cluster.start(name, { store: survivor(stores, name).store })
    await settle(cluster)

    const [a] = cluster.nodes
    if (a === undefined) throw new Error('nobody')
    await add(a, 1)
    for (const name of lost) {
      const back = await cluster.start(name, { store: survivor(stores, name).store })
      await eventually(() => back.removals.length > 0, `${name} is told that it was removed`)
      back.crash()
    }
    await add(a, 1)
    for (const id of ids) t.match(await a.load(id), { state: { total: 4 }, sequence: 3 }, id)
    for (const { peerId, failures } of cluster.nodes) t.same(failures, [], peerId)
  },
)

t.test('a lost majority that lives, and went on by itself, harms nobody when all meet', async t => {
  const cluster = createMemoryCluster({ partitions: 4 })
  t.teardown(() => cluster.stop())
  const stores = await start(cluster, ['a', 'b', 'c', 'd', 'e'])
  const [first] = cluster.nodes
  if (first === undefined) throw new Error('nobody')
  await add(first, 2)
  await eventually(() => isLevel(cluster), 'every replica has everything')
  const lost =
    leaderOf(cluster, 1)?.parts.engine.status(1)?.configuration.voters.slice(0, 2).map(peerIdOf) ?? []
  await stopAll(cluster)
  const left = [...stores.keys()].filter(name => !lost.includes(name))
  const survivors = left.map(name => survivor(stores, name))
  await recover(planRecovery(survivors), survivors, { timeMs: 0 })

  for (const name of lost) await cluster.start(name, { store: survivor(stores, name).store })
  const others = [...cluster.nodes]
  await eventually(() => leaderOf(cluster, 1) !== undefined, 'two of three lead partition 1')
  const id = idIn(1, 4)
  t.match(await leaderOf(cluster, 1)?.execute(id, { type: 'Add', data: { by: 100 } }), { type: 'accepted' })

  const back: MemoryNode[] = []
  for (const name of left) back.push(await cluster.start(name, { store: survivor(stores, name).store }))
  for (const node of others) {
    await eventually(() => node.removals.length > 0, `${node.peerId} is told that it was removed`)
    node.crash()
  }
  await settle(cluster)
  const [a] = back
  if (a === undefined) throw new Error('nobody')
  await add(a, 1)
  for (const one of ids) t.match(await a.load(one), { state: { total: 3 } }, one)
  t.match(await a.load(id), { state: { total: 0 } }, 'what the lost acknowledged since is lost')
  for (const { peerId, failures } of back) t.same(failures, [], peerId)
})

t.test('of two survivors the one that is further ahead goes on', async t => {
  const cluster = createMemoryCluster({ partitions: 2 })
  t.teardown(() => cluster.stop())
  const stores = await start(cluster, ['a', 'b', 'c', 'd', 'e'])
  const node = cluster.nodes[0]
  if (node === undefined) throw new Error('nobody')
  await add(node, 1)
  await stopAll(cluster)
  const survivors = [...stores.keys()].slice(0, 2).map(name => survivor(stores, name))
  for (const { partition, action, holder, lastIndex, shorter } of planRecovery(survivors).groups) {
    if (action !== 'recover') continue
    const ends = survivors.map(({ peerId, store }) => ({
      peerId,
      end: store.recover().find(group => group.partition === partition)?.lastIndex ?? 0,
    }))
    t.equal(lastIndex, Math.max(...ends.map(({ end }) => end)), `${partition}: the longest`)
    t.equal(ends.find(({ peerId }) => peerId === holder)?.end, lastIndex)
    t.ok(shorter.every(({ peerId }) => peerId !== holder))
  }
})

t.test('a partition of which only a term is left, and no entry, begins anew after that term', async t => {
  const cluster = createMemoryCluster({ partitions: 4 })
  t.teardown(() => cluster.stop())
  const stores = await start(cluster, ['a'])
  await stopAll(cluster)
  // A newcomer that heard a leader once, and was to get the entries next.
  const newcomer = survivor(stores, 'a')
  const full = newcomer.store
  const store = await newStore()
  for (const { partition, hardState, lastIndex } of full.recover()) {
    const isHeld = partition !== 1
    const entries = isHeld ? full.log(partition).entries(1, lastIndex, 1024 * 1024) : []
    const heard = { term: 5, vote: 'b/s' as const, commit: 0 }
    await store.write({
      partitions: [{ partition, hardState: isHeld ? hardState : heard, truncateFrom: null, entries }],
      snapshots: [],
      settings: {},
    })
  }
  const survivors = [{ path: 'z', peerId: 'z', store }]
  const plan = planRecovery(survivors)
  t.match(plan.groups[1], { action: 'begin-anew', nextTerm: 6 })
  await recover(plan, survivors, { timeMs: 0 })
  t.match(
    store.recover().find(({ partition }) => partition === 1),
    { lastIndex: 1, hardState: { term: 6, vote: null, commit: 1 } },
  )
})

t.test('what must not be recovered is refused, by name', async t => {
  const cluster = createMemoryCluster({ partitions: 4 })
  t.teardown(() => cluster.stop())
  const stores = await start(cluster, ['a', 'b', 'c'])
  await stopAll(cluster)
  const [a, b] = [survivor(stores, 'a'), survivor(stores, 'b')]
  t.ok(
    planRecovery([a, b]).groups.every(({ action, holder }) => action === 'keep' && holder === null),
    'two of three are a majority: nothing to do',
  )
  t.throws(() => planRecovery([a, a]), { code: 'INVALID_ARGUMENT', message: /given twice/ })
  const strange = createMemoryStore()
  t.throws(() => planRecovery([{ path: 'x', peerId: 'x', store: strange }]), { code: 'INVALID_ARGUMENT' })
  await strange.write({
    partitions: [],
    snapshots: [],
    settings: clusterSettingsRow({ ...settings, clusterId: 'other' }),
  })
  t.throws(() => planRecovery([a, { path: 'x', peerId: 'x', store: strange }]), {
    code: 'CLUSTER_MISMATCH',
    message: 'a belongs to cluster test-cluster, x to other',
  })
  t.throws(() => planRecovery([{ path: 'x', peerId: 'x', store: strange }]), { code: 'STORE_CORRUPT' })
})
