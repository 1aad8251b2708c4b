// The history of leaderships: bounded, with reasons, and told in few lines.
import t from 'tap'
import type { LogFields } from '../../src/core/log.ts'
import { createRoleHistory } from '../../src/partition/role-history.ts'
import type { RoleChange } from '../../src/raft/raft.ts'
import { createManualClock } from '../mesh/manual-clock.ts'

const storage = '0b7c3a52-7a51-4f3a-9d5e-1c1c7a0e5a11'
const change = (partial: Partial<RoleChange>): RoleChange => ({
  role: 'follower',
  term: 1,
  leader: null,
  canServe: false,
  reason: 'started',
  ...partial,
})

function setUp() {
  const clock = createManualClock()
  const lines: string[] = []
  const tell = (level: string) => (_fields: LogFields, message: string) =>
    void lines.push(`${level} ${message}`)
  const log = { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') }
  return {
    clock,
    lines,
    history: createRoleHistory({ clock, log, nameOf: peerId => (peerId === 'b' ? 'the second' : peerId) }),
  }
}

const elected = (term: number): RoleChange =>
  change({
    role: 'leader',
    term,
    leader: `a/${storage}`,
    reason: `elected in term ${term}: election timeout`,
  })

t.test('what happens to many partitions at once is one line, and each keeps its record', async t => {
  const { clock, lines, history } = setUp()
  for (let partition = 1; partition <= 14; partition += 1) history.changed(partition, elected(partition))
  t.same(lines, [], 'told together, a moment later')
  await clock.advance(250)
  t.same(lines, [
    'info raft: this node leads partition 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 2 more: election timeout',
  ])
  t.match(history.of(14), [{ role: 'leader', term: 14, leader: 'a', reason: /elected in term 14/ }])
  t.same(history.of(15), [])
})

t.test('leadership that is lost is told with its reason; what followers see is not', async t => {
  const { clock, lines, history } = setUp()
  history.changed(1, elected(2))
  history.changed(1, { ...elected(2), canServe: true, reason: 'committed entry 3 of its own term' })
  await clock.advance(250)
  history.changed(1, change({ term: 2, reason: 'lost its majority' }))
  history.changed(2, change({ term: 3, leader: `b/${storage}`, reason: `following b/${storage}` }))
  history.changed(2, change({ role: 'pre-candidate', term: 3, reason: 'election timeout' }))
  history.changed(2, change({ term: 3, reason: 'refused by a majority as pre-candidate' }))
  history.stop()
  t.same(lines.slice(1), [
    'warn raft: this node no longer leads partition 1: lost its majority',
    'info raft: this node was not elected in partition 2: refused by a majority as pre-candidate',
  ])
  t.same(
    history.of(1).map(({ role, reason }) => `${role}: ${reason}`),
    ['leader: elected in term 2: election timeout', 'follower: lost its majority'],
    'that a leader serves is no change',
  )
  t.equal(history.of(2)[0]?.reason, 'following b', 'a peer id, without its storage')
  lines.length = 0
  history.changed(3, elected(2))
  history.changed(3, change({ term: 3, reason: `handed over to b/${storage}` }))
  history.stop()
  t.match(lines[1], /no longer leads partition 3: handed over to the second$/, 'people read names')
})

t.test('of each partition the last 24 changes are kept', async t => {
  const { history } = setUp()
  for (let term = 1; term <= 100; term += 1) history.changed(1, elected(term))
  t.equal(history.of(1).length, 24)
  t.equal(history.of(1).at(-1)?.term, 100)
})
