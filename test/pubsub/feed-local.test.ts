// The feed of a node that holds a replica: pages of the local log, of which entries are never torn.
import t from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createRpc } from '../../src/mesh/create-rpc.ts'
import { createMemoryNetwork } from '../../src/mesh/memory/memory-mesh.ts'
import { createFeed } from '../../src/pubsub/feed.ts'
import type { Entry } from '../../src/raft/entry.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { encodeRecord } from '../../src/store/record-codec.ts'
import { realClock } from '../mesh/real-clock.ts'

const partition = 1
const eventsPerEntry = 3
const entries = 9

/** `Added` three times, of the counter `c`. */
const entryOfThree = (index: number): Entry => ({
  index,
  term: 2,
  kind: 'command',
  payload: encodeRecord({
    aggregate: { type: 'counter', id: 'c' },
    commandId: `command-${index}`,
    firstSequence: (index - 1) * eventsPerEntry + 1,
    timeMs: 1_700_000_000_000,
    metadata: '{}',
    events: Array.from({ length: eventsPerEntry }, () => ({ type: 'Added', version: 1, data: '{}' })),
  }),
  hash: new Uint8Array(32).fill(index),
})

t.test('events of commands that yield several are all read, whatever the limit of a page', async t => {
  const store = createMemoryStore()
  const mesh = createMemoryNetwork({ clock: realClock }).createMesh({ peerId: 'holder' })
  const feed = createFeed({
    leaderOf: () => ({ leader: null, term: 0 }),
    onLeader() {},
    store,
    rpc: createRpc({ mesh, clock: realClock }),
    clock: realClock,
    log: silentLog,
    partitions: () => [partition],
    isLocal: () => true,
    replicasOf: () => [],
    isMember: () => true,
    isConnected: () => false,
  })
  const written = Array.from({ length: entries }, (_, place) => entryOfThree(place + 1))
  const noop: Entry = {
    index: entries + 1,
    term: 3,
    kind: 'noop',
    payload: new Uint8Array(0),
    hash: new Uint8Array(32).fill(99),
  }
  const hardState = { term: 3, vote: null, commit: entries + 1 }
  const write = { partition, hardState, truncateFrom: null, entries: [...written, noop] }
  await store.write({ partitions: [write], snapshots: [], settings: {} })
  feed.committed(partition, entries + 1)

  for (const limit of [1, 2, 3, 4, 5, 7, 100]) {
    const seen: number[] = []
    let afterIndex = 0
    for (let page = 0; page < 50 && afterIndex < entries + 1; page += 1) {
      const signal = AbortSignal.timeout(60_000)
      const { events, throughIndex } = await feed.read(partition, { afterIndex, limit }, { signal })
      t.ok(throughIndex > afterIndex, 'a page gets on')
      seen.push(...events.map(({ sequence }) => sequence))
      afterIndex = throughIndex
    }
    t.equal(afterIndex, entries + 1, 'and it comes to the end, which is no command')
    t.same(
      seen,
      Array.from({ length: entries * eventsPerEntry }, (_, place) => place + 1),
      `limit ${limit}`,
    )
  }
})
