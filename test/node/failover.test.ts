// What becomes of commands and reads when the leader of their partition dies or is cut off.
import t from 'tap'
import type { Accepted, Outcome } from '../../src/core/outcome.ts'
import type { MemoryNode } from './memory-cluster.ts'
import { eventually } from './memory-cluster.ts'
import { settle } from './settle.ts'
import {
  add,
  entriesOf,
  healAll,
  idIn,
  isolate,
  leaderOf,
  logsAgree,
  nextLeader,
  required,
  startCluster,
} from './steering.ts'

const partition = 1
const partitions = 2
const id = idIn(partition, partitions)
const anotherId = idIn(partition, partitions, { after: id })
const aggregate = { type: 'counter', id }
const envelopeOf = (commandId: string, by: number) => ({
  aggregate,
  command: add(by),
  commandId,
  metadata: {},
})
const commandIdsOf = (node: MemoryNode): readonly string[] =>
  node.store
    .readAggregate(aggregate, {
      partition,
      fromSequence: 1,
      throughIndex: Number.MAX_SAFE_INTEGER,
      limit: 10_000,
    })
    .map(event => event.commandId)

t.test('any node takes a command, and says how many replicas hold it', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  for (const [place, node] of cluster.nodes.entries()) {
    const outcome = (await node.execute(id, add(1))) as Accepted
    t.match(outcome, { type: 'accepted', sequence: place + 1, replayed: false })
    t.ok(outcome.replicas >= 2 && outcome.replicas <= 3, `${outcome.replicas} replicas`)
  }
  for (const node of cluster.nodes) t.same((await node.load(id)).state, { total: 3 })
})

t.test('a leader killed between commit and reply: a retry elsewhere returns the first outcome', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  const leader = required(leaderOf(cluster, partition))
  const [asker, witness] = cluster.nodes.filter(node => node !== leader) as [MemoryNode, MemoryNode]
  await asker.execute(id, add(1))
  // From here on the asker hears nothing of the leader: no answer, and no entry either.
  cluster.network.mute(leader.peerId, asker.peerId)
  const direct = leader.parts.host.execute(partition, envelopeOf('once', 10))
  const first = (await direct) as Accepted
  t.match(first, { type: 'accepted', sequence: 2, replayed: false })
  const asked = asker.execute(id, add(10), { commandId: 'once' })
  leader.crash()
  const outcome = (await asked) as Accepted
  t.equal(outcome.replayed, true)
  t.same(outcome.events, first.events)
  t.same(outcome.position, first.position)
  const other = (await witness.execute(id, add(10), { commandId: 'once' })) as Accepted
  t.same([other.replayed, other.events], [true, first.events])
  t.same((await witness.load(id)).state, { total: 11 })
})

t.test('a leader that dies with commands under way: the router retries, and each counts once', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  const leader = required(leaderOf(cluster, partition))
  const askers = cluster.nodes.filter(node => node !== leader)
  cluster.network.setFate(() => 5)
  const from = required(leader.parts.engine.status(partition)).commitIndex
  const outcomes: Outcome[] = []
  let isCrashed = false
  const clients = Array.from({ length: 6 }, async (_, client) => {
    // They must not be done before somebody has looked.
    for (let n = 0; n < 10 || !isCrashed; n += 1) {
      const asker = required(askers[client % 2])
      outcomes.push(await asker.execute(id, add(1), { commandId: `under-${client}-${n}` }))
    }
  })
  await eventually(() => {
    const { commitIndex } = required(leader.parts.engine.status(partition))
    return commitIndex > from + 15 && leader.parts.host.pendingCount() > 0
  }, 'some commands are committed and others under way')
  leader.crash()
  isCrashed = true
  await Promise.all(clients)
  const count = outcomes.length
  t.ok(count >= 60, `${count} commands`)
  t.ok(outcomes.every(({ type }) => type === 'accepted'))
  t.same((await required(askers[0]).load(id)).state, { total: count })
  const heir = await nextLeader(cluster, partition, leader)
  const ids = commandIdsOf(heir)
  t.equal(ids.length, count)
  t.equal(new Set(ids).size, count)
  t.same(
    outcomes.map(outcome => (outcome as Accepted).sequence).sort((a, b) => a - b),
    Array.from({ length: count }, (_, n) => n + 1),
  )
})

t.test('a leader that is cut off acknowledges nothing, rejects nothing and answers no read', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  const old = required(leaderOf(cluster, partition))
  const [asker] = cluster.nodes.filter(node => node !== old) as [MemoryNode]
  await asker.execute(id, add(5))
  isolate(cluster, old)
  t.equal(old.parts.engine.status(partition)?.role, 'leader', 'it believes that it leads')
  const { host } = old.parts
  // An aggregate with nothing under way: its answer, too, needs a majority.
  const quiet = { type: 'counter', id: anotherId }
  const said = await Promise.allSettled([
    host.execute(partition, envelopeOf('lonely', 7)),
    host.execute(partition, { ...envelopeOf('lonely-rejection', -1000), aggregate: quiet }),
    host.execute(partition, { ...envelopeOf('lonely-look', 0), command: { type: 'Look', data: { by: 0 } } }),
    host.load(partition, aggregate),
    host.loadEvents(partition, aggregate, { fromSequence: 1, limit: 10 }),
    old.execute(id, add(70), { commandId: 'lonely-routed', timeoutMs: 1500 }),
  ])
  const codes = said.map(result =>
    result.status === 'rejected' ? (result.reason as { code: string }).code : 'ANSWERED',
  )
  t.same(
    codes.slice(0, 5),
    Array.from({ length: 5 }, () => 'OUTCOME_UNKNOWN'),
    'everything under way ends together',
  )
  t.equal(codes[5], 'UNAVAILABLE', 'the caller is told that nothing is known')
  t.not(old.parts.engine.status(partition)?.role, 'leader', 'without its majority it steps down by itself')

  const heir = await nextLeader(cluster, partition, old)
  t.match(await asker.execute(id, add(1)), { type: 'accepted', sequence: 2 })
  t.match(await heir.load(id), { state: { total: 6 } })
  healAll(cluster)
  await eventually(() => logsAgree(cluster, partition), 'all logs agree after healing')
  t.match(await old.load(id), { state: { total: 6 }, sequence: 2 })
  t.notOk(commandIdsOf(old).includes('lonely'), 'what was never committed is gone')
  // The leadership comes home to the old leader: a command under way meanwhile may be answered by its router's retry.
  await settle(cluster)
  const retried = (await old.execute(id, add(7), { commandId: 'lonely' })) as Accepted
  t.same([retried.replayed, retried.sequence], [false, 3], 'its retry counts once')
  for (const node of cluster.nodes) t.same(node.failures, [])
})

t.test('one write that only the old leader has: both outcomes of the race are one outcome', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  const old = required(leaderOf(cluster, partition))
  const [asker, other] = cluster.nodes.filter(node => node !== old) as [MemoryNode, MemoryNode]
  // With its aggregate at hand it proposes at once, and not after a load, when it may have noticed that nobody answers.
  await old.parts.host.execute(partition, envelopeOf('before', 1))
  // The entry reaches one follower, and no acknowledgement comes back.
  cluster.network.mute(old.peerId, asker.peerId)
  cluster.network.mute(other.peerId, old.peerId)
  cluster.network.mute(asker.peerId, old.peerId)
  const lost = old.parts.host.execute(partition, envelopeOf('half', 3))
  await t.rejects(lost, { code: 'OUTCOME_UNKNOWN' })
  const retried = (await asker.execute(id, add(3), { commandId: 'half' })) as Accepted
  const again = (await other.execute(id, add(3), { commandId: 'half' })) as Accepted
  t.same(again.events, retried.events)
  t.equal(again.replayed, true)
  healAll(cluster)
  await eventually(() => logsAgree(cluster, partition), 'all logs agree after healing')
  for (const node of cluster.nodes)
    t.same(
      commandIdsOf(node).filter(commandId => commandId === 'half'),
      ['half'],
    )
})

t.test('a minority acknowledges nothing; with its majority it goes on', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  const survivor = required(cluster.nodes[0])
  await survivor.execute(id, add(1))
  const stores = new Map(cluster.nodes.map(node => [node.peerId, node.store]))
  for (const node of [...cluster.nodes].slice(1)) node.crash()
  await t.rejects(survivor.execute(id, add(1), { commandId: 'alone', timeoutMs: 800 }), {
    code: 'UNAVAILABLE',
    retryable: true,
  })
  await t.rejects(survivor.parts.host.load(partition, aggregate), { code: /^(NOT_LEADER|OUTCOME_UNKNOWN)$/ })
  await cluster.start('node-2', { store: required(stores.get('node-2')) })
  const outcome = (await survivor.execute(id, add(1), { commandId: 'alone' })) as Accepted
  t.equal(outcome.sequence, 2)
  t.same((await survivor.load(id)).state, { total: 2 })
})

t.test('all nodes are killed and come back with their stores: everything is there', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  const [first] = cluster.nodes as [MemoryNode]
  const before = (await first.execute(id, add(4), { commandId: 'before' })) as Accepted
  const stores = cluster.nodes.map(({ peerId, store }) => ({ peerId, store }))
  for (const node of [...cluster.nodes]) node.crash()
  for (const { peerId, store } of stores) await cluster.start(peerId, { store })
  const node = required(cluster.nodes[2])
  const again = (await node.execute(id, add(4), { commandId: 'before' })) as Accepted
  t.same([again.replayed, again.events], [true, before.events])
  await eventually(() => logsAgree(cluster, partition), 'the logs agree')
  t.equal(entriesOf(node, partition).length, entriesOf(required(cluster.nodes[0]), partition).length)
})
