// A node that reaches nobody says so, and what to do: after a while, and then ever more rarely.
import t from 'tap'
import { createNoContact } from '../../src/node/no-contact.ts'
import { createManualClock } from '../mesh/manual-clock.ts'
import { eventually } from './memory-cluster.ts'
import { startCluster } from './steering.ts'

t.test('told after 30 s without contact, then after twice as long each time, up to an hour', async t => {
  const clock = createManualClock()
  const told: number[] = []
  let contacts: readonly string[] = []
  const noContact = createNoContact({
    clock,
    others: () => ['b', 'c'],
    isConnected: peerId => contacts.includes(peerId),
    tell: () => told.push(Math.round(clock.now() / 1000)),
  })
  noContact.start()
  await clock.advance(29_000)
  t.equal(noContact.text(), null)
  await clock.advance(6000)
  t.equal(
    noContact.text(),
    'this node has no contact with any of the 2 members that it knows, for 35 s, since it was started. Start them, or look ' +
      'at the network; if they were replaced while this node was away, start it again with --bootstrap <address of a member>',
  )
  await clock.advance(24 * 3_600_000)
  t.same(told.slice(0, 5), [30, 60, 120, 240, 480])
  t.equal(Number(told.at(-1)) - Number(told.at(-2)), 3600)

  contacts = ['c']
  await clock.advance(5000)
  t.equal(noContact.text(), null)
  contacts = []
  told.length = 0
  const lostAt = clock.now() / 1000
  await clock.advance(65_000)
  t.match(noContact.text(), /for 6\d s\. Start them/)
  t.match(told.map(at => Math.round(at - lostAt)).join(' '), /^(29|30) (59|60)$/, 'it begins anew')
  noContact.stop()
})

t.test('a cluster of one misses nobody', async t => {
  const clock = createManualClock()
  const noContact = createNoContact({
    clock,
    others: () => [],
    isConnected: () => false,
    tell: text => t.fail(text),
  })
  noContact.start()
  await clock.advance(3_600_000)
  t.equal(noContact.text(), null)
  noContact.stop()
})

t.test('a node away while all whom it knows were replaced says so, and comes back by an address', async t => {
  const cluster = await startCluster(1, { partitions: 1 })
  t.teardown(() => cluster.stop())
  const [first] = cluster.nodes
  if (first === undefined) throw new Error('one node')
  // It holds no seat, so that the other can be replaced without it.
  const away = await cluster.start('away', { role: 'query' })
  await eventually(() => away.parts.state().nodes.has('away'), 'it has a copy of the state')
  away.crash()
  const fresh = await cluster.start('node-2')
  await eventually(async () => {
    const command = { type: 'remove-node', peerId: 'node-1' } as const
    return await fresh.parts.controller.submit(command, { timeoutMs: 5000 }).then(
      () => true,
      () => false,
    )
  }, 'node-1 is removed')
  first.crash()
  const said: string[] = []
  const back = await cluster.start('away', {
    store: away.store,
    role: 'query',
    noContact: { tell: text => said.push(text), tellAfterMs: 1500 },
  })
  await eventually(() => said.length > 0, 'it says that it is alone')
  t.match(said[0], /no contact with the one member that it knows, for \d+ s, since it was started/)
  t.match(back.parts.noContact(), /--bootstrap <address of a member>$/)
  back.parts.membership.greet(['/memory/node-2'])
  await eventually(() => back.parts.state().nodes.has('node-2'), 'the log comes')
  await eventually(() => back.parts.noContact() === null, 'it is not alone any more')
})
