// Five defects of the packages that this project follows, each named, and shown not to be here.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLog } from '../../src/core/log.ts'
import type { Accepted } from '../../src/core/outcome.ts'
import { subscribeToFeed } from '../../src/node/subscription.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import { decodeTopicMessage } from '../../src/pubsub/topic-message.ts'
import { loadQueries } from '../../src/query/load-queries.ts'
import { createQueryHost, type QueryHost } from '../../src/query/query-host.ts'
import { genesisHash } from '../../src/raft/entry.ts'
import { hashEntry } from '../../src/store/hash-entry.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { decodeRecord, encodeRecord } from '../../src/store/record-codec.ts'
import { eventually, type MemoryNode } from '../node/memory-cluster.ts'
import { add, idIn, leaderOf, nextLeader, required, startCluster } from '../node/steering.ts'
import { countingQuery } from '../query/with-host.ts'
import { directoryOf } from '../support/directory-of.ts'

const partitions = 2
const partition = 1
const id = idIn(partition, partitions)

/** Command ids in the order in which a subscriber of this node sees their events. */
function follow(t: Test, node: MemoryNode): readonly string[] {
  const leaving = new AbortController()
  const seen: string[] = []
  const done = (async () => {
    const options = {
      from: 'start',
      signal: leaving.signal,
      partitions: node.parts.dataPartitions(),
      clock: systemClock,
    }
    for await (const event of subscribeToFeed(node.parts.feed, options)) seen.push(event.commandId)
  })()
  t.teardown(() => {
    leaving.abort()
    return done
  })
  return seen
}

t.test('defect 1, it publishes before the commit: here only what is committed is published', async t => {
  const cluster = await startCluster(3, { partitions })
  t.teardown(() => cluster.stop())
  const { network } = cluster
  const published: string[] = []
  const spy = network.createMesh({ peerId: 'spy' })
  spy.subscribe('test', {
    validate: () => 'accept',
    handle(_, data) {
      for (const { entries } of decodeTopicMessage(data).groups) {
        for (const { kind, payload } of entries)
          if (kind === 'command') published.push(decodeRecord(payload).commandId)
      }
    },
  })
  await spy.start()
  for (const { peerId } of cluster.nodes)
    await spy.connect(`/memory/${peerId}`, { signal: AbortSignal.timeout(60_000) })

  const old = required(leaderOf(cluster, partition))
  const other = required(cluster.nodes.find(node => node !== old))
  const followers = cluster.nodes.map(node => follow(t, node))
  await other.execute(id, add(1), { commandId: 'before' })
  // The leader decides and stores, but its entries reach nobody; what it publishes would reach everybody.
  network.setFate(({ from, kind }) => (from === old.peerId && kind === 'frame' ? 'lost' : 0))
  const phantom = old.parts.host.execute(partition, {
    aggregate: { type: 'counter', id },
    command: add(1000),
    commandId: 'phantom',
    metadata: {},
  })
  await t.rejects(phantom, { code: 'OUTCOME_UNKNOWN' })
  // Heard again before that, it might be elected once more, and commit what it holds.
  await nextLeader(cluster, partition, old)
  network.setFate(() => 0)
  await other.execute(id, add(1), { commandId: 'after' })
  await eventually(() => followers.every(seen => seen.includes('after')), 'all have seen what came after')
  await eventually(() => published.includes('after'), 'it was published')
  for (const seen of followers) t.same(seen, ['before', 'after'])
  t.notOk(published.includes('phantom'))
  t.same((await old.load(id)).state, { total: 2 })
})

async function startQuery(directory: string, node: MemoryNode): Promise<QueryHost> {
  const folder = join(directory, 'queries')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'count.ts'), countingQuery('count'))
  const { heads, onAdvance, read } = node.parts.feed
  const host = createQueryHost({
    queries: (await loadQueries(folder)).queries,
    dataDirectory: join(directory, 'data'),
    source: { heads, onAdvance, read, localLog: null },
    clock: systemClock,
    log: silentLog,
    history: 'test-cluster',
  })
  await host.start()
  return host
}
const seenBy = (host: QueryHost): Promise<unknown> => host.ask('count', 'count', {}, { timeoutMs: 60_000 })
const hasSeen = async (host: QueryHost, ids: number): Promise<boolean> =>
  ((await seenBy(host)) as { ids: number }).ids >= ids

t.test('defect 2, a query that is down misses events for ever: here it goes on where it stopped', async t => {
  const cluster = await startCluster(1, { partitions })
  t.teardown(() => cluster.stop())
  const node = required(cluster.nodes[0])
  const directory = directoryOf(t)
  const first = await startQuery(directory, node)
  for (let n = 0; n < 5; n += 1) await node.execute(`c${n}`, add(1))
  await eventually(() => hasSeen(first, 5), 'the query has seen five events')
  await first.close()
  for (let n = 0; n < 7; n += 1) await node.execute(`c${n}`, add(1))
  const second = await startQuery(directory, node)
  t.teardown(() => second.close())
  await eventually(() => hasSeen(second, 12), 'the query has seen twelve')
  t.same(await seenBy(second), { ids: 12, times: 12 }, 'each once')
})

t.test(
  'defect 3, its registry is never used: here any node takes a command, and another takes over',
  async t => {
    const cluster = await startCluster(5, { partitions, replicas: 3 })
    t.teardown(() => cluster.stop())
    const leader = required(leaderOf(cluster, partition))
    // Holds no replica of this partition.
    const stranger = required(cluster.nodes.find(node => !node.parts.isLocal(partition)))
    t.not(stranger.parts.engine.status(partition)?.role, 'leader')
    t.match(await stranger.execute(id, add(1)), { type: 'accepted', sequence: 1 })
    t.match(await leader.load(id), { state: { total: 1 } })
    leader.crash()
    t.match(await stranger.execute(id, add(1)), { type: 'accepted', sequence: 2 })
    // Who took the command may hand over to whoever is preferred now.
    t.not((await nextLeader(cluster, partition, leader)).peerId, leader.peerId)
  },
)

t.test(
  'defect 4, its subscribers ask for the wrong group: here each gets all events of its scope, on every node',
  async t => {
    const cluster = await startCluster(3, { partitions })
    t.teardown(() => cluster.stop())
    const followers = [...cluster.nodes, ...cluster.nodes].map(node => follow(t, node))
    const commandIds = Array.from({ length: 20 }, (_, n) => `command-${n}`)
    for (const [n, commandId] of commandIds.entries()) {
      await required(cluster.nodes[n % 3]).execute(`c${n % 7}`, add(1), { commandId })
    }
    for (const seen of followers) {
      await eventually(() => seen.length >= commandIds.length, 'a subscriber has seen all')
      t.same([...seen].sort(), [...commandIds].sort())
    }
  },
)

t.test(
  'defect 5, its memory store takes no expected version, and crashes on a command without events',
  async t => {
    const cluster = await startCluster(1, { partitions })
    t.teardown(() => cluster.stop())
    const node = required(cluster.nodes[0])
    const outcomes = (await Promise.all(
      Array.from({ length: 50 }, () => node.execute(id, add(1))),
    )) as Accepted[]
    t.same(
      outcomes.map(({ sequence }) => sequence).sort((a, b) => a - b),
      Array.from({ length: 50 }, (_, n) => n + 1),
      'writers at the same time never take the same sequence',
    )
    const look = { type: 'Look', data: { by: 0 } }
    t.match(await node.execute(id, look), { type: 'accepted', events: [], sequence: 50 })
    t.match(await node.execute('never-seen', look), { type: 'accepted', events: [], sequence: 0 })
    t.match(await node.execute(id, add(1)), { type: 'accepted', sequence: 51 })

    const store = createMemoryStore()
    const write = (index: number, firstSequence: number, previous: Uint8Array) => {
      const payload = encodeRecord({
        aggregate: { type: 'counter', id },
        commandId: `c-${index}`,
        firstSequence,
        timeMs: 0,
        metadata: '{}',
        events: [{ type: 'Added', version: 1, data: '{"by":1}' }],
      })
      const unhashed = { index, term: 1, kind: 'command' as const, payload }
      const entry = { ...unhashed, hash: hashEntry(previous, unhashed) }
      const hardState = { term: 1, vote: null, commit: 0 }
      return {
        entry,
        done: store.write({
          partitions: [{ partition, hardState, truncateFrom: null, entries: [entry] }],
          snapshots: [],
          settings: {},
        }),
      }
    }
    const first = write(1, 1, genesisHash)
    await first.done
    await t.rejects(
      write(2, 1, first.entry.hash).done,
      /sequence 1 of counter\/.* exists/,
      'a sequence that exists is refused',
    )
  },
)
