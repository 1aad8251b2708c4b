// History that lasts: versions of events over restarts with another file, what does not fit, snapshots and statistics.
import t from 'tap'
import { type AnyAggregate, defineAggregate } from '../../src/core/aggregate.ts'
import type { Command } from '../../src/core/command.ts'
import type { DomainEvent, EventEnvelope } from '../../src/core/event.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import { defineQuery } from '../../src/query/define-query.ts'
import { createPlace, type Place } from '../reaction/on-a-node.ts'
import { eventually } from './memory-cluster.ts'

t.setTimeout(300_000)

interface State {
  readonly cents: number
}

/** What a version of the file differs in. */
interface Version {
  /** Data of an event of now: in version 1 `euros`, later `cents`. */
  readonly write: (amount: number) => unknown
  readonly read: (data: unknown) => number
  readonly upcast?: NonNullable<AnyAggregate['upcast']>
  readonly events?: readonly string[]
  readonly snapshotEvery?: number
}

const account = ({ write, read, ...rest }: Version): AnyAggregate =>
  defineAggregate<State, Command, DomainEvent>({
    type: 'account',
    emptyState: { cents: 0 },
    handle: (_, { type, data }) => ({
      type: type === 'Open' ? 'Opened' : 'Paid',
      data: write((data as { amount: number }).amount),
    }),
    apply: (state, { data }) => ({ cents: state.cents + read(data) }),
    ...rest,
  })

const first: Version = {
  write: amount => ({ euros: amount }),
  read: data => (data as { euros: number }).euros * 100,
}
const second: Version = {
  write: amount => ({ cents: amount * 100 }),
  read: data => (data as { cents: number }).cents,
  upcast: {
    Paid: [data => ({ cents: (data as { euros: number }).euros * 100 })],
    Opened: { 1: data => ({ cents: (data as { euros: number }).euros * 100 }) },
  },
}

const pay = (node: NodeApi, id: string, amount = 1, commandId?: string) =>
  node.execute(
    'account',
    id,
    { type: 'Pay', data: { amount } },
    { timeoutMs: 60_000, ...(commandId === undefined ? {} : { commandId }) },
  )

const start = (place: Place, version: Version, options: Parameters<Place['start']>[0] = {}) =>
  place.start({ aggregates: [account(version)], ...options })

const seenQuery = () => {
  const seen: EventEnvelope[] = []
  const query = defineQuery({
    name: 'seen',
    handle: (_id, events) => void seen.push(...events),
  })
  return { seen, query }
}

t.test(
  'old events are lifted for states, queries and handlers; the history shows what is stored',
  async t => {
    const place = createPlace(t)
    const before = await start(place, first)
    await pay(before, 'a', 3)
    await before.close()

    const { seen, query } = seenQuery()
    const handled: EventEnvelope[] = []
    const handler = {
      name: 'watch',
      startFrom: 'beginning' as const,
      handle: (event: EventEnvelope) => void handled.push(event),
    }
    const node = await start(place, second, { queries: [query], handlers: [handler] })
    t.same((await node.status()).problems, [])
    t.match(
      await pay(node, 'a', 4),
      { events: [{ version: 2, data: { cents: 400 } }] },
      'new ones are of version 2',
    )
    t.match(await node.loadAggregate('account', 'a'), { state: { cents: 700 }, sequence: 2 })
    const lifted = [
      [1, 2, { cents: 300 }],
      [2, 2, { cents: 400 }],
    ]
    const facts = ({ sequence, version, data }: EventEnvelope) => [sequence, version, data]
    await eventually(() => seen.length === 2 && handled.length === 2, 'both are told')
    t.same(seen.map(facts), lifted, 'a query')
    t.same(handled.map(facts), lifted, 'a handler')
    const stored = [
      [1, 1, { euros: 3 }],
      [2, 2, { cents: 400 }],
    ]
    t.same((await node.loadEvents('account', 'a')).map(facts), stored)
    const told: unknown[] = []
    for await (const event of node.subscribe({ from: 'start', until: 'now' })) told.push(facts(event))
    t.same(told, stored, 'a subscription')
  },
)

t.test(
  'a file older than the history: told at the start, quarantined when met, and nothing else is',
  async t => {
    const place = createPlace(t)
    const before = await start(place, second)
    await pay(before, 'new', 3, 'the-first')
    await before.close()
    place.lines.length = 0
    const { seen, query } = seenQuery()
    const node = await start(place, first, { queries: [query] })
    const atStart =
      /account: the history has 1 event Paid v2, and the aggregate knows version 1 only \(first: account\/new, sequence 1, partition \d, index \d+\)/
    t.match(
      place.lines.filter(({ level }) => level === 'error').map(({ message }) => message),
      [atStart],
      'before any event is met',
    )
    t.match(await node.status(), { problems: [atStart], quarantined: { count: 0, first: [] } })
    t.match(await node.explain('account', 'new'), { quarantined: null })

    await t.rejects(pay(node, 'new'), { code: 'AGGREGATE_QUARANTINED', details: { sequence: 1, version: 2 } })
    await t.rejects(node.loadAggregate('account', 'new'), { code: 'AGGREGATE_QUARANTINED' })
    t.match(await pay(node, 'new', 3, 'the-first'), { type: 'accepted', replayed: true }, 'G3 holds')
    t.match(await pay(node, 'old', 5), { type: 'accepted' })
    const found = {
      aggregate: { type: 'account', id: 'new' },
      sequence: 1,
      eventType: 'Paid',
      version: 2,
      misfit: 'unknown-version',
    }
    t.match(await node.status(), {
      quarantined: { count: 1, first: [found] },
      problems: [
        /1 aggregate is quarantined, and takes no commands: account\/new \(event 1, Paid v2\)/,
        atStart,
      ],
    })
    t.match(await node.explain('account', 'new'), { quarantined: found })
    t.match(await node.explain('account', 'old'), { quarantined: null })
    t.match(await node.aggregateStats('account', 'new'), { sequence: 1, quarantined: found })
    t.match(await node.systemStats(), { quarantined: 1 })
    t.equal((await node.loadEvents('account', 'new')).length, 1)
    await eventually(() => seen.length === 2, 'queries go on')
    t.match(
      seen.find(event => event.aggregate.id === 'new'),
      { version: 2, data: { cents: 300 } },
      'as it is stored',
    )
    await node.close()

    const cured = await start(place, second)
    t.match(await cured.loadAggregate('account', 'new'), { state: { cents: 300 } })
    t.match(await cured.status(), { problems: [], quarantined: { count: 0 } })
  },
)

t.test('events that are not in the list, and types without a file, are told at the start', async t => {
  const place = createPlace(t)
  const before = await start(place, first)
  await before.execute('account', 'a', { type: 'Open', data: { amount: 1 } })
  await before.close()
  const node = await start(place, { ...first, events: ['Paid'] })
  t.match((await node.status()).problems, [/account: the history has 1 event Opened v1, .* knows only Paid/])
  await t.rejects(node.loadAggregate('account', 'a'), {
    code: 'AGGREGATE_QUARANTINED',
    details: { misfit: 'unknown-type' },
  })
  await node.close()
  const without = await place.start()
  t.match((await without.status()).problems, [
    /the history has 1 event of account, and no aggregate of that type is loaded/,
  ])
})

t.test('an upcast that throws: queries see what is stored, and a line in the log says so once', async t => {
  const place = createPlace(t)
  const before = await start(place, first)
  await pay(before, 'a', 3)
  await pay(before, 'b', 3)
  await before.close()
  place.lines.length = 0
  const { seen, query } = seenQuery()
  const fail = (): never => {
    throw new Error('cannot')
  }
  const node = await start(place, { ...second, upcast: { Paid: [fail] } }, { queries: [query] })
  await eventually(() => seen.length === 2, 'both are told')
  t.match(seen, [{ version: 1, data: { euros: 3 } }, { version: 1 }])
  const lines = place.lines.filter(({ message }) => message.includes('cannot be lifted'))
  t.match(lines, [{ message: /account\/Paid v1 cannot be lifted/ }])
  await t.rejects(pay(node, 'a'), { code: 'AGGREGATE_QUARANTINED', details: { misfit: 'upcast-failed' } })
})

t.test('a snapshot is shown; one of other code is ignored and shown as such', async t => {
  const place = createPlace(t)
  const version = { ...first, snapshotEvery: 3 }
  const before = await start(place, version)
  t.equal(await before.latestSnapshot('account', 'a'), null)
  for (let n = 0; n < 4; n += 1) await pay(before, 'a', 1)
  await eventually(async () => (await before.latestSnapshot('account', 'a')) !== null, 'a snapshot')
  const facts = { aggregate: { type: 'account', id: 'a' }, sequence: 3, state: { cents: 300 } }
  t.match(await before.latestSnapshot('account', 'a'), { ...facts, isCurrent: true, bytes: 13 })
  await before.close()
  const node = await start(place, { ...second, snapshotEvery: 3, events: ['Paid', 'Opened'] })
  t.match(await node.latestSnapshot('account', 'a'), { ...facts, isCurrent: false })
  t.match(await node.loadAggregate('account', 'a'), { state: { cents: 400 }, sequence: 4 })
  t.match(await node.rebuildSnapshots('account'), { rebuilt: 1, failed: 0, differencesTotal: 0 })
  t.match(await node.latestSnapshot('account', 'a'), { sequence: 4, state: { cents: 400 }, isCurrent: true })
})

t.test('snapshots are made again from the first event, and what differed is told and corrected', async t => {
  const place = createPlace(t)
  let factor = 100
  // The text of the code stays the same: nobody sees from outside that it changed.
  const impure = {
    ...first,
    read: (data: unknown) => (data as { euros: number }).euros * factor,
    snapshotEvery: 2,
  }
  const node = await start(place, impure)
  for (const id of ['a', 'b', 'c']) for (let n = 0; n < 2; n += 1) await pay(node, id, 1)
  await pay(node, 'short', 1)
  for (const id of ['a', 'b', 'c'])
    await eventually(
      async () => (await node.latestSnapshot('account', id))?.sequence === 2,
      `a snapshot of ${id}`,
    )
  factor = 10
  const progress: unknown[] = []
  const summary = await node.rebuildSnapshots('account', { onProgress: step => progress.push(step) })
  t.match(summary, {
    rebuilt: 3,
    failed: 0,
    busy: 0,
    differencesTotal: 3,
    differences: [
      {
        aggregate: { id: 'a' },
        where: 'snapshot',
        sequence: 2,
        found: '{"cents":200}',
        replayed: '{"cents":20}',
      },
    ],
  })
  t.match(progress.at(-1), { done: 3, total: 3, current: null })
  t.match(await node.latestSnapshot('account', 'a'), { state: { cents: 20 } })
  t.match(
    await node.loadAggregate('account', 'a'),
    { state: { cents: 20 } },
    'the state in memory went with it',
  )
  t.match(await node.rebuildSnapshots('account'), { rebuilt: 3, differencesTotal: 0 })
  factor = 1
  t.match(await node.rebuildSnapshots('account', { id: 'short' }), {
    differences: [{ where: 'memory', found: '{"cents":100}', replayed: '{"cents":1}' }],
  })
  await t.rejects(node.rebuildSnapshots('counter', { id: 'x' }), { code: 'UNKNOWN_AGGREGATE_TYPE' })
  await node.close()
  const none = await start(place, first)
  await t.rejects(none.rebuildSnapshots('account'), {
    code: 'INVALID_ARGUMENT',
    message: /has no snapshotEvery/,
  })
})

t.test('a history that cannot be replayed fails alone', async t => {
  const place = createPlace(t)
  const before = await start(place, { ...first, snapshotEvery: 2 })
  for (const id of ['good', 'worse'])
    for (let n = 0; n < 2; n += 1) await pay(before, id, id === 'good' ? 1 : 13)
  await before.close()
  const read = (data: unknown): number => {
    if ((data as { euros: number }).euros === 13) throw new Error('unlucky')
    return 1
  }
  const node = await start(place, { ...first, read, snapshotEvery: 2 })
  t.match(await node.rebuildSnapshots('account'), {
    rebuilt: 1,
    failed: 1,
    failures: [{ aggregate: { id: 'worse' }, error: /unlucky/ }],
  })
})

t.test('statistics of an aggregate and of a node are the same on every node', async t => {
  const place = createPlace(t)
  const version = { ...first, snapshotEvery: 2 }
  const a = await start(place, version, { partitions: 4, name: 'a' })
  const b = await start(place, version, { name: 'b', dataDirectory: null, bootstrap: a.addresses() })
  // Leaders move to b until then.
  await eventually(async () => {
    const placements = [await a.placement(), await b.placement()]
    return placements.every(
      ({ asWanted, nodes }) =>
        asWanted && nodes.length === 2 && nodes.every(({ wantedReplicas }) => wantedReplicas === 4),
    )
  }, 'both have their share')
  const ids = ['one', 'two', 'three', 'four', 'five', 'six']
  for (const [count, id] of ids.entries())
    for (let n = 0; n <= count; n += 1) await pay(n % 2 === 0 ? a : b, id, 1)
  for (const [count, id] of ids.entries()) {
    const [here, there] = await Promise.all([
      a.aggregateStats('account', id),
      b.aggregateStats('account', id),
    ])
    t.match(here, {
      sequence: count + 1,
      events: count + 1,
      bytes: (count + 1) * 13,
      pending: 0,
      quarantined: null,
    })
    const { position: _, snapshot: __, ...rest } = here
    t.match(there, rest)
    const history = await a.loadEvents('account', id)
    t.same([here.firstTime, here.lastTime], [history[0]?.time, history.at(-1)?.time])
    // It is written after the answer to the command.
    const snapped = count + 1 - ((count + 1) % 2)
    await eventually(
      async () => ((await a.latestSnapshot('account', id))?.sequence ?? 0) === snapped,
      `the snapshot of ${id} at ${snapped}`,
    )
    t.same(await a.latestSnapshot('account', id), await b.latestSnapshot('account', id))
  }
  await eventually(
    async () => (await b.systemStats()).store.aggregates[0]?.events === 21,
    'b has all of them',
  )
  const [ofA, ofB] = await Promise.all([a.systemStats(), b.systemStats()])
  const kinds = [{ type: 'Paid', version: 1, events: 21 }]
  const held = { aggregates: [{ type: 'account', aggregates: 6, events: 21, kinds }], partitions: 4 }
  t.match(ofA, { store: held, mesh: { members: 2, connected: 1 } })
  t.match(ofB, { store: held, mesh: { members: 2, connected: 1 } })
  t.equal(ofA.commands.accepted + ofB.commands.accepted, 21)
  t.equal(ofA.mesh.leads + ofB.mesh.leads, 4)
  t.match(await b.aggregateStats('account', 'nobody'), { sequence: 0, firstTime: null, snapshot: null })
  t.match(await b.rebuildSnapshots('account'), { rebuilt: 5, differencesTotal: 0 }, 'wherever they are led')
})
