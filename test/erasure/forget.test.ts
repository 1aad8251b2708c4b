// A subject is forgotten: its data can be read nowhere any more, and everything else goes on.
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t from 'tap'
import type { EventEnvelope } from '../../src/core/event.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import { eventually } from '../node/memory-cluster.ts'
import { filesWith, type Keeper, keysIn, startKeepers, tell } from './customers.ts'

async function allEvents(node: NodeApi): Promise<readonly EventEnvelope[]> {
  const events: EventEnvelope[] = []
  for await (const event of node.subscribe({ from: 'start', until: 'now' })) events.push(event)
  return events
}

/** The keys of a subject, when all nodes have them. */
async function keysOf(keepers: readonly Keeper[], reference: string): Promise<readonly Buffer[]> {
  const known = (): readonly string[] =>
    keepers.map(({ directory }) =>
      keysIn(directory, reference)
        .own.map(key => key.toString('hex'))
        .sort()
        .join(),
    )
  await eventually(
    () => known().every(keys => keys !== '' && keys === known()[0]),
    'all nodes have the same keys',
  )
  return keysIn(keepers[0]?.directory ?? '', reference).own
}

/** Of the snapshots of all nodes: as text. */
const snapshotsOf = (keepers: readonly Keeper[]): readonly string[] =>
  keepers.flatMap(({ directory }) => {
    const database = new Database(join(directory, 'glyn.db'), { readonly: true })
    const states = database.prepare('select state from snapshots').pluck().all() as string[]
    database.close()
    return states
  })

t.test('the data rest encrypted, are read as they are, and are gone when they are forgotten', async t => {
  const keepers = await startKeepers(t, 3)
  const nodes = keepers.map(({ node }) => node)
  const [a, b, c] = nodes as [NodeApi, NodeApi, NodeApi]
  await tell(a, '1', 'Register', { name: 'Grace Secretname' }, 'first')
  await tell(b, '1', 'Visit', { page: 'plainpage' })
  await tell(c, '1', 'Move', { city: 'Secretcity' })
  await tell(a, '2', 'Register', { name: 'Other Keptname' })
  await tell(a, '1', 'Move', { city: 'Secretcity 2' })

  const before = { name: 'Grace Secretname', city: 'Secretcity 2', visits: 1, forgotten: 0 }
  for (const node of nodes) t.same((await node.loadAggregate('customer', '1')).state, before)
  t.same(
    (await b.loadEvents('customer', '1')).map(({ type, data, key }) => [type, data, typeof key]),
    [
      ['Registered', { name: 'Grace Secretname' }, 'string'],
      ['Visited', { page: 'plainpage' }, 'undefined'],
      ['Moved', { city: 'Secretcity' }, 'string'],
      ['Moved', { city: 'Secretcity 2' }, 'string'],
    ],
  )
  await eventually(async () => (await allEvents(c)).length === 5, 'c has all events')
  t.ok(JSON.stringify(await allEvents(c)).includes('Secretcity'), 'a subscriber reads them')
  const { reference } = await a.forgetStatus('person-1', { timeoutMs: 60_000 })
  const keys = await keysOf(keepers, reference)
  // What was acknowledged rests on a majority, and on the third a moment later.
  await eventually(
    () => keepers.every(({ directory }) => filesWith(directory, 'plainpage').length > 0),
    'what is about nobody rests everywhere as it is',
  )
  await eventually(
    () => keepers.every(({ directory }) => keysIn(directory, reference).others > 0),
    'all nodes have the key of the other subject',
  )
  await eventually(() => snapshotsOf(keepers).length > 0, 'there is a snapshot')
  for (const { directory } of keepers) {
    t.same(filesWith(directory, 'Secret'), [], 'not on the disk, neither in events nor in snapshots')
    t.same(filesWith(directory, 'Keptname'), [])
    t.same(filesWith(directory, 'person-1'), [], 'nor the name of the subject')
    for (const key of keys) t.same(filesWith(directory, key), ['keys.bin'])
  }
  const snapshots = snapshotsOf(keepers)
  t.ok(snapshots.length > 0 && snapshots.every(state => state.startsWith('{"$encrypted":')), 'sealed states')

  await t.rejects(a.forget('person-l'), { code: 'ENTITY_NOT_FOUND' }, 'a subject that is misspelt')
  const report = await b.forget('person-1', { timeoutMs: 60_000 })
  t.match(report, { complete: true, subject: 'person-1' })
  t.same(
    report.members.map(({ name, state, untold }) => ({ name, state, untold })),
    ['node-0', 'node-1', 'node-2'].map(name => ({ name, state: 'forgotten', untold: 0 })),
  )
  for (const { directory } of keepers) {
    const left = keysIn(directory, reference)
    t.same(left.own, [])
    t.ok(left.others > 0, 'the other subject has its key')
    for (const key of keys) t.same(filesWith(directory, key), [], 'the bytes are in no file')
  }

  const after = { name: null, city: null, visits: 1, forgotten: 3 }
  for (const node of nodes) t.same((await node.loadAggregate('customer', '1')).state, after)
  const tombstones = (await b.loadEvents('customer', '1')).slice(4)
  t.ok(tombstones.length > 0 && tombstones.length <= keys.length, 'one for each key that it had')
  t.ok(
    tombstones.every(({ type, data }) => type === 'glyn.Forgotten' && (data as { type: null }).type === null),
  )
  for (const node of nodes) {
    const shown = await node.loadEvents('customer', '1')
    t.same(
      shown.slice(0, 4).map(({ type, data, sequence }) => [sequence, type, (data as { type?: string }).type]),
      [
        [1, 'glyn.Forgotten', 'Registered'],
        [2, 'Visited', undefined],
        [3, 'glyn.Forgotten', 'Moved'],
        [4, 'glyn.Forgotten', 'Moved'],
      ],
    )
    await eventually(
      async () => (await allEvents(node)).length === 5 + tombstones.length,
      'the tombstone is there',
    )
    t.notOk(JSON.stringify(await allEvents(node)).includes('Secret'))
  }
  const replayed = await tell(a, '1', 'Register', { name: 'whoever' }, 'first')
  t.match(replayed, { replayed: true, events: [{ type: 'glyn.Forgotten', data: { type: 'Registered' } }] })

  await t.rejects(tell(c, '1', 'Move', { city: 'elsewhere' }), { code: 'SUBJECT_FORGOTTEN' })
  const visit = await tell(c, '1', 'Visit', { page: 'again' })
  t.equal(visit.sequence, 5 + tombstones.length, 'what is about nobody goes on')
  t.type((await tell(b, '2', 'Move', { city: 'Keptcity' })).events[0]?.key, 'string')
  t.match((await c.loadAggregate('customer', '2')).state, { name: 'Other Keptname', city: 'Keptcity' })

  t.ok((await c.forget('person-1', { timeoutMs: 60_000 })).complete, 'again: the same')
  t.equal((await b.loadEvents('customer', '1')).length, visit.sequence, 'and no second tombstone')
  t.equal((await a.forgetStatus('person-1', { timeoutMs: 60_000 })).complete, true)
  t.equal((await a.forgetStatus('person-2', { timeoutMs: 60_000 })).complete, false)
})

t.test('a node that is away has forgotten before it shows anything', async t => {
  const keepers = await startKeepers(t, 3)
  const [first, , last] = keepers
  if (first === undefined || last === undefined) throw new Error('three nodes')
  await tell(first.node, '1', 'Register', { name: 'Grace' })
  await tell(first.node, '2', 'Register', { name: 'Ada' })
  const { reference } = await first.node.forgetStatus('person-1')
  const keys = await keysOf(keepers, reference)
  await last.close()
  const report = await first.node.forget('person-1', { timeoutMs: 8000 })
  t.equal(report.complete, false)
  t.match(report.members, [
    { state: 'forgotten' },
    { state: 'forgotten' },
    { name: 'node-2', state: 'unknown' },
  ])
  t.type(report.members[2]?.error, 'string')
  t.equal(keysIn(last.directory, reference).own.length, keys.length, 'it still has them')

  await last.reopen()
  t.same(keysIn(last.directory, reference).own, [], 'gone when it is ready')
  for (const key of keys) t.same(filesWith(last.directory, key), [])
  t.match((await last.node.loadEvents('customer', '1', { timeoutMs: 60_000 }))[0], { type: 'glyn.Forgotten' })
  t.match((await last.node.loadAggregate('customer', '2', { timeoutMs: 60_000 })).state, { name: 'Ada' })
  await eventually(
    async () => (await last.node.forgetStatus('person-1', { timeoutMs: 10_000 })).complete,
    'all have confirmed',
  )
})
