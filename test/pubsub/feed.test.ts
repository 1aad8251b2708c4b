// The feed of a node without a replica: whatever gossip does, each event comes once and in order.
import t, { type Test } from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createRpc } from '../../src/mesh/create-rpc.ts'
import { createMemoryNetwork, type MemoryNetwork } from '../../src/mesh/memory/memory-mesh.ts'
import { subscribeToFeed } from '../../src/node/subscription.ts'
import { createFeed, type Feed } from '../../src/pubsub/feed.ts'
import type { TopicMessage } from '../../src/pubsub/topic-message.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import type { LocalStore } from '../../src/store/store.ts'
import { seededRandom } from '../../src/testing/simulator/seeded-random.ts'
import { realClock, until } from '../mesh/real-clock.ts'
import { entryAt } from './entries.ts'

const partition = 1

interface Setting {
  readonly network: MemoryNetwork
  readonly store: LocalStore
  readonly reader: Feed
  /** The holder has entries through this index. */
  commit(through: number): Promise<void>
  fetches(): number
}

async function setting(t: Test): Promise<Setting> {
  const network = createMemoryNetwork({ clock: realClock })
  const store = createMemoryStore()
  const meshes = ['holder', 'reader'].map(peerId => network.createMesh({ peerId }))
  const [holderMesh, readerMesh] = meshes
  if (holderMesh === undefined || readerMesh === undefined) throw new Error('two meshes')
  for (const mesh of meshes) await mesh.start()
  let fetches = 0
  const feedOn = (mesh: typeof holderMesh, isLocal: boolean): Feed => {
    const rpc = createRpc({ mesh, clock: realClock })
    const counting: typeof rpc = {
      ...rpc,
      request(peerId, method, body, options) {
        if (method === 'feed.fetch') fetches += 1
        return rpc.request(peerId, method, body, options)
      },
    }
    const feed = createFeed({
      leaderOf: () => ({ leader: null, term: 0 }),
      onLeader() {},
      store: isLocal ? store : createMemoryStore(),
      rpc: counting,
      clock: realClock,
      log: silentLog,
      partitions: () => [partition],
      isLocal: () => isLocal,
      replicasOf: () => ['holder'],
      isMember: () => true,
      isConnected: peerId => mesh.isConnected(peerId),
    })
    feed.start()
    t.teardown(() => {
      feed.stop()
      rpc.close()
    })
    return feed
  }
  const holder = feedOn(holderMesh, true)
  const reader = feedOn(readerMesh, false)
  readerMesh.setMembers([{ peerId: 'holder', addresses: ['/memory/holder'] }])
  await until('connected', () => readerMesh.isConnected('holder'))
  let last = 0
  return {
    network,
    store,
    reader,
    fetches: () => fetches,
    async commit(through) {
      const entries = Array.from({ length: through - last }, (_, n) => entryAt(last + 1 + n))
      last = through
      const hardState = { term: 2, vote: null, commit: through }
      const write = { partition, hardState, truncateFrom: null, entries }
      await store.write({ partitions: [write], snapshots: [], settings: {} })
      holder.committed(partition, through)
    },
  }
}

const telling = (from: number, to: number): TopicMessage => ({
  clusterId: 'c1',
  heads: [{ partition, term: 2, index: to }],
  groups: [{ partition, entries: Array.from({ length: to - from + 1 }, (_, n) => entryAt(from + n)) }],
  messages: [],
})
const headOnly = (index: number): TopicMessage => ({
  clusterId: 'c1',
  heads: [{ partition, term: 2, index }],
  groups: [],
  messages: [],
})

/** Reads in the background; `seen` grows. */
function follow(t: Test, feed: Feed, from = 'start'): { readonly seen: number[] } {
  const leaving = new AbortController()
  const seen: number[] = []
  const done = (async () => {
    for await (const event of subscribeToFeed(feed, {
      from,
      signal: leaving.signal,
      partitions: [partition],
      clock: realClock,
    })) {
      seen.push((event.data as { n: number }).n)
    }
  })()
  t.teardown(() => {
    leaving.abort()
    return done
  })
  return { seen }
}
const upTo = (n: number): number[] => Array.from({ length: n }, (_, place) => place + 1)

t.test('what gossip brings in order is read without a fetch', async t => {
  const { reader, fetches } = await setting(t)
  const { seen } = follow(t, reader)
  // The holder has nothing: a fetch would bring nothing either.
  for (const index of upTo(6)) reader.receive(telling(index, index))
  await until('six events', () => seen.length === 6)
  t.same(seen, upTo(6))
  t.equal(fetches(), 0)
})

t.test('a duplicate is dropped, an old message too', async t => {
  const { reader, commit } = await setting(t)
  await commit(8)
  const { seen } = follow(t, reader)
  for (const message of [
    telling(1, 4),
    telling(1, 4),
    telling(3, 6),
    telling(2, 3),
    telling(5, 8),
    telling(1, 1),
  ]) {
    reader.receive(message)
    await new Promise(resolve => setImmediate(resolve))
  }
  await until('eight events', () => seen.length >= 8)
  t.same(seen, upTo(8))
})

t.test('a gap is fetched', async t => {
  const { reader, commit, fetches } = await setting(t)
  await commit(20)
  const { seen } = follow(t, reader)
  reader.receive(telling(1, 2))
  reader.receive(telling(9, 10))
  await until('ten events', () => seen.length >= 10)
  t.same(seen.slice(0, 10), upTo(10))
  t.ok(fetches() > 0)
})

t.test('a message with heads only is enough', async t => {
  const { reader, commit } = await setting(t)
  await commit(30)
  const { seen } = follow(t, reader)
  reader.receive(headOnly(30))
  await until('thirty events', () => seen.length >= 30)
  t.same(seen, upTo(30))
})

t.test('without any gossip the watchdog finds what was committed last', async t => {
  const { reader, commit } = await setting(t)
  const { seen } = follow(t, reader)
  await commit(3)
  await until('three events', () => seen.length >= 3)
  t.same(seen, upTo(3))
})

t.test('gossip that loses, repeats and reorders: every event once and in order', async t => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const random = seededRandom(seed)
    const { reader, commit } = await setting(t)
    const { seen } = follow(t, reader)
    const late: TopicMessage[] = []
    let last = 0
    while (last < 400) {
      const from = last + 1
      last = Math.min(400, last + 1 + Math.floor(random() * 5))
      await commit(last)
      const message = random() < 0.2 ? headOnly(last) : telling(from, last)
      if (random() < 0.3) continue
      if (random() < 0.3) late.push(message)
      else reader.receive(message)
      if (random() < 0.2) reader.receive(message)
      if (late.length > 0 && random() < 0.4)
        reader.receive(late.splice(Math.floor(random() * late.length), 1)[0] ?? message)
      if (random() < 0.3) await new Promise(resolve => setImmediate(resolve))
    }
    await until(`seed ${seed}: all events`, () => seen.length >= 400)
    t.same(seen, upTo(400), `seed ${seed}`)
  }
})

t.test('a replica that cannot be reached is waited for, and nothing is skipped', async t => {
  const { reader, commit, network } = await setting(t)
  const { seen } = follow(t, reader)
  await commit(2)
  reader.receive(telling(1, 2))
  await until('two events', () => seen.length === 2)
  network.cut('holder', 'reader')
  await commit(10)
  reader.receive(headOnly(8))
  reader.receive(telling(9, 10))
  await new Promise(resolve => setTimeout(resolve, 100))
  t.same(seen, upTo(2), 'entries after a gap are not handed out')
  await t.rejects(
    reader.read(partition, { afterIndex: 2, limit: 10 }, { signal: AbortSignal.timeout(1000) }),
    { code: 'UNAVAILABLE', message: /partition 1 could be read after 2/ },
  )
  network.heal('holder', 'reader')
  await until('ten events', () => seen.length >= 10)
  t.same(seen, upTo(10))
})

t.test('a page ends with a whole entry, and the next begins after it', async t => {
  const { reader, commit } = await setting(t)
  await commit(25)
  reader.receive(headOnly(25))
  let afterIndex = 0
  const seen: number[] = []
  for (let page = 0; page < 30 && afterIndex < 25; page += 1) {
    const { events, throughIndex } = await reader.read(
      partition,
      { afterIndex, limit: 7 },
      { signal: AbortSignal.timeout(60_000) },
    )
    t.ok(events.length <= 7 && throughIndex > afterIndex)
    seen.push(...events.map(({ sequence }) => sequence))
    afterIndex = throughIndex
  }
  t.same(seen, upTo(25))
})

t.test('a subscription resumes after its token, and begins with what comes next for "now"', async t => {
  const { reader, commit } = await setting(t)
  await commit(5)
  reader.receive(headOnly(5))
  const resumed = follow(t, reader, `${partition}:3`)
  const fresh = follow(t, reader, 'now')
  await until('the rest', () => resumed.seen.length === 2)
  await commit(7)
  reader.receive(headOnly(7))
  await until('what came next', () => fresh.seen.length === 2 && resumed.seen.length === 4)
  t.same(resumed.seen, [4, 5, 6, 7])
  t.same(fresh.seen, [6, 7])
  const wrong = subscribeToFeed(reader, {
    from: '9:1',
    signal: AbortSignal.timeout(60_000),
    partitions: [partition],
    clock: realClock,
  })
  await t.rejects(wrong.next(), { code: 'INVALID_ARGUMENT', message: /names partition 9/ })
})
