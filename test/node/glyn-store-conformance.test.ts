// The conformance kit of shared stores on a glynStore, through a running node: over a shared store, and over nodes' own.
import t from 'tap'
import { createNode } from '../../src/node/create-node.ts'
import { type GlynStore, glynStore } from '../../src/node/glyn-store.ts'
import { memoryStore, sqliteStore } from '../../src/node/inner-store.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import { createMemorySharedStore } from '../../src/store/memory/memory-shared-store.ts'
import { sharedSqliteStore } from '../../src/store/sqlite/shared/shared-sqlite-store.ts'
import { checkClaim, sharedStoreClaims } from '../../src/testing/index.ts'

const timing = { tickMs: 20, electionTicks: 10, heartbeatTicks: 1 }

/** A glynStore is not closed, its node is, and whose cluster has claimed it; and what goes through leaders is read back as JSON, and ordered by them. */
const notOfNodes = [
  'a store belongs to the first cluster that claims it, for ever',
  'close is idempotent, waits for what is under way, and refuses what comes later',
  'one call may hold many appends over all partitions, and none',
  'data and metadata come back as the same text, character for character',
  'big events, many events and far times are kept',
]

/** Indexes are those of the replicated log, transactions are of one partition, and nobody else keeps snapshots. */
const notReplicated = [
  ...notOfNodes,
  'a new store is empty',
  'a refused append uses up no index',
  'a command id twice in one call is a duplicate of the first',
  'appends of one call for one aggregate are made in their order, each on top of the one before',
  'an atomic call whose appends are all good is written',
  'an atomic call of which one is refused writes nothing, and says which and why',
  'atomic calls that cross each other neither wait for ever nor tear',
  'a reader that follows a partition while many append misses nothing and sees one order',
  'appends to different partitions at once keep apart',
  'readLog gives whole entries, at least one, at most about the limit',
  'sequences, readCommand, heads and statistics tell what is there',
  'of snapshots the one with the highest sequence is kept, of equals the last',
]

for (const kind of ['shared memory', 'shared SQLite', 'memory', 'SQLite'] as const) {
  const isShared = kind.startsWith('shared')
  const excluded = isShared ? notOfNodes : notReplicated
  const claims = sharedStoreClaims.filter(({ name }) => !excluded.includes(name))
  t.test(`the claims about stores hold through a node over ${kind}`, async t => {
    const known = new Set(sharedStoreClaims.map(({ name }) => name))
    for (const name of excluded) if (!known.has(name)) t.fail(`there is no claim: ${name}`)
    const nodes = new Map<string, Promise<{ readonly store: GlynStore; readonly node: NodeApi }>>()
    t.teardown(async () => {
      for (const running of nodes.values()) await (await running).node.close()
    })
    const start = async (place: string) => {
      const inner = {
        'shared memory': () => createMemorySharedStore(),
        'shared SQLite': () => sharedSqliteStore({ path: `${t.testdir({ [place]: {} })}/history.db` }),
        memory: () => memoryStore(),
        SQLite: () => sqliteStore({ path: t.testdir({ [place]: {} }) }),
      }[kind]()
      const store = glynStore({ topic: 'events', scope: 'conformance' }, inner)
      const own = isShared ? { dataDirectory: null } : {}
      return { store, node: await createNode({ store, timing, partitions: 4, ...own }) }
    }
    for (const claim of claims) {
      await checkClaim(claim, {
        async create(place) {
          const running = nodes.get(place) ?? start(place)
          nodes.set(place, running)
          return (await running).store
        },
        async remove(place) {
          const running = await nodes.get(place)
          nodes.delete(place)
          await running?.node.close()
        },
      }).then(
        () => t.pass(claim.name),
        (error: unknown) => t.fail(String(error)),
      )
    }
  })
}
