// glynStore: any store, distributed – and an event store itself, as the conformance kit sees it through a running node.
import t from 'tap'
import { createNode } from '../../src/node/create-node.ts'
import { glynStore } from '../../src/node/glyn-store.ts'
import { type InnerStore, memoryStore, sqliteStore } from '../../src/node/inner-store.ts'
import { defineQuery } from '../../src/query/define-query.ts'
import { createMemorySharedStore, createSharedMemory } from '../../src/store/memory/memory-shared-store.ts'
import { counter } from './memory-cluster.ts'

const counts = defineQuery<{ type: 'Added'; data: { by: number } }>({
  name: 'counts',
  init: db => void db.exec('create table if not exists counts (id text primary key, total integer)'),
  handle(id, events, { db }) {
    const add = db.prepare(
      'insert into counts values (?, ?) on conflict do update set total = total + excluded.total',
    )
    for (const { data } of events) add.run(id, data.by)
  },
  answer: {
    get: (db, { id }: { id: string }) =>
      db.prepare('select total from counts where id = ?').get(id) ?? { total: 0 },
  },
})

const timing = { tickMs: 20, electionTicks: 10, heartbeatTicks: 1 }

async function runOn(inner: InnerStore, more: { readonly partitions?: number } = {}) {
  const store = glynStore({ topic: 'events', scope: 'kit' }, inner, [counts])
  const node = await createNode({
    store,
    aggregates: [counter],
    timing,
    partitions: more.partitions ?? 4,
    ...('kind' in inner ? {} : { dataDirectory: null }),
  })
  return { store, node }
}

const given = (id: string, partition: number, expectedSequence: number, commandId: string) => ({
  partition,
  aggregate: { type: 'counter', id },
  expectedSequence,
  commandId,
  timeMs: 1,
  metadata: '{}',
  events: [{ type: 'Added', version: 1, data: '{"by":2}' }],
})

for (const kind of ['memory', 'sqlite', 'shared'] as const) {
  t.test(
    `over ${kind}: what is appended is decided on, published and seen; what is executed can be read`,
    async t => {
      const inner =
        kind === 'memory'
          ? memoryStore()
          : kind === 'sqlite'
            ? sqliteStore({ path: t.testdir({}) })
            : createMemorySharedStore()
      const { store, node } = await runOn(inner)
      t.teardown(() => node.close())
      const outcome = await node.execute('counter', 'a', { type: 'Add', data: { by: 1 } })
      if (outcome.type !== 'accepted') throw new Error('rejected')
      const { partition } = outcome.position
      await store.open({ scope: 'kit', partitions: 4 })
      await t.rejects(store.open({ scope: 'kit', partitions: 5 }), { code: 'CLUSTER_MISMATCH' })
      const results = await store.append([
        given('a', partition, 1, 'x'),
        given('a', partition, 0, 'y'),
        given('a', partition, 1, 'x'),
      ])
      t.match(results, [
        { type: 'appended' },
        { type: 'conflict', sequence: 2 },
        { type: 'duplicate', events: [{ commandId: 'x' }] },
      ])
      await t.rejects(store.append([given('a', (partition % 4) + 1, 2, 'z')]), {
        code: 'INVALID_ARGUMENT',
        message: /allowed: \d, the one/,
      })
      t.match(await node.loadAggregate('counter', 'a'), { sequence: 2, state: { total: 3 } })
      const [first] = results
      if (first?.type !== 'appended') throw new Error('not appended')
      t.same(await node.query('counts', 'get', { id: 'a' }, { after: `${partition}:${first.index}` }), {
        total: 3,
      })
      t.equal(
        (await store.readStream({ type: 'counter', id: 'a' }, { fromSequence: 1, limit: 10 })).length,
        2,
      )
      t.same(await store.readStream({ type: 'nothing', id: 'a' }, { fromSequence: 1, limit: 10 }), [])
      t.same(
        await store.sequences([
          { type: 'counter', id: 'a' },
          { type: 'nothing', id: 'b' },
        ]),
        [2, 0],
      )
      t.match(await store.readCommand({ type: 'counter', id: 'a' }, 'x'), [{ sequence: 2 }])
      t.equal((await store.readLog(partition, { afterIndex: 0, limit: 10 })).length, 2)
      t.equal((await store.heads()).get(partition), first.index)
      t.match(await store.aggregates({ limit: 10 }), [{ type: 'counter', id: 'a', sequence: 2 }])
      t.match(await store.statistics(), { events: 2, aggregates: 1 })
      const { store: told } = await node.status()
      t.equal(told.type, kind === 'shared' ? 'shared' : 'local')
      await t.rejects(createNode({ store, dataDirectory: kind === 'sqlite' ? undefined : null } as never), {
        code: /ALREADY_RUNNING|CLUSTER_MISMATCH|SHUTTING_DOWN|UNAVAILABLE/,
      })
      await node.close()
      await t.rejects(store.heads(), { code: 'NODE_NOT_RUNNING', message: /no node runs on this store/ })
    },
  )
}

t.test('what no reader could read is not written, also where all or none of it is', async t => {
  const { store, node } = await runOn(createMemorySharedStore(), { partitions: 1 })
  t.teardown(() => node.close())
  const good = given('a', 1, 0, 'x1')
  const bad = given('b', 1, 0, 'x2')
  const cases = [
    [{ ...bad, events: [{ type: 'Added', version: 1, data: 'no json' }] }, /^append 1: event 1: data/],
    [{ ...bad, timeMs: 9e15 }, /^append 1: timeMs/],
    [{ ...bad, aggregate: { type: 'glyn.reactions', id: '1.1' } }, /^append 1: aggregate type/],
  ] as const
  for (const [append, message] of cases)
    await t.rejects(store.append([good, append], { isAtomic: true }), { code: 'INVALID_ARGUMENT', message })
  t.same(await store.statistics(), { events: 0, aggregates: 0 })
  t.match(await store.append([good, bad], { isAtomic: true }), [{ type: 'appended' }, { type: 'appended' }])
})

t.test('what does not go together is refused', async t => {
  const refused = (options: object, message: RegExp): Promise<unknown> =>
    t.rejects(createNode(options as never), { code: 'INVALID_ARGUMENT', message })
  await refused({ dataDirectory: null }, /topic is missing/)
  await refused({ topic: 'a' }, /dataDirectory is missing/)
  await refused({ topic: 'a', store: createMemorySharedStore() }, /dataDirectory is missing/)
  await refused(
    { topic: 'a', store: memoryStore(), dataDirectory: 'x' },
    /dataDirectory is "x"; allowed: what the store says, null/,
  )
  const wrapped = glynStore({ topic: 'events', scope: 'kit' }, memoryStore())
  await refused(
    { topic: 'other', store: wrapped },
    /topic is "other"; allowed: what the store says, "events"/,
  )
  await refused(
    { topic: 'a', dataDirectory: null, store: { location: 'x', append() {} } },
    /store lacks open, cluster, readStream/,
  )
  const person = {
    type: 'person',
    emptyState: null,
    handle: () => [],
    apply: (state: null) => state,
    subject: (_event: unknown, id: string) => id,
  }
  await t.rejects(
    createNode({ topic: 'a', dataDirectory: null, store: createMemorySharedStore(), aggregates: [person] }),
    {
      code: 'INVALID_CONFIGURATION',
      message: /aggregate person has a subject, .*kept encrypted in a shared store/,
    },
  )
  t.throws(() => glynStore({ topic: 'a', scope: 'b' }, wrapped as never), {
    message: /inner store is a glynStore/,
  })
  t.throws(() => sqliteStore({} as never), { message: /path is undefined; allowed: a folder/ })
})

t.test('a cluster keeps its kind of store', async t => {
  const path = t.testdir({})
  const shared = createMemorySharedStore({ memory: createSharedMemory() })
  const first = await createNode({ topic: 'a', dataDirectory: path, store: shared, timing, partitions: 2 })
  const second = createNode({
    topic: 'a',
    store: memoryStore(),
    bootstrap: first.addresses(),
    timing,
  })
  await t.rejects(second, {
    code: 'CLUSTER_MISMATCH',
    message: /rest in a shared store; start the joining node with/,
  })
  await first.close()
  await t.rejects(createNode({ topic: 'a', store: sqliteStore({ path }) }), {
    code: 'CLUSTER_MISMATCH',
    message: /whose events rest in a shared store; start it with the --store of its other nodes/,
  })
  const other = t.testdir({ other: {} })
  await (await createNode({ topic: 'a', store: sqliteStore({ path: other }), timing, partitions: 2 })).close()
  await t.rejects(createNode({ topic: 'a', dataDirectory: other, store: createMemorySharedStore() }), {
    code: 'CLUSTER_MISMATCH',
    message: /whose events rest on its nodes, and not in memory; start it without --store/,
  })
})
