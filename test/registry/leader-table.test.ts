// Who leads what: our own consensus first, unless others know of a higher term.
import t from 'tap'
import { createLeaderTable, type KnownLeader } from '../../src/registry/leader-table.ts'

function tableWith(here?: KnownLeader) {
  const told: number[] = []
  const consensus = { here }
  const table = createLeaderTable({ fromConsensus: () => consensus.here })
  table.onChange(partition => told.push(partition))
  return { table, told, consensus }
}

t.test('nothing is known at first', async t => {
  t.same(tableWith().table.leaderOf(1), { leader: null, term: 0 })
})

t.test('precedence', async t => {
  const none = { leader: null, term: 5 }
  const rows: readonly (readonly [
    what: string,
    here: KnownLeader | undefined,
    there: KnownLeader,
    leader: string | null,
  ])[] = [
    ['without a replica, what others said', undefined, { leader: 'b', term: 2 }, 'b'],
    ['with a replica, consensus', { leader: 'a', term: 5 }, { leader: 'b', term: 4 }, 'a'],
    ['of the same term, consensus', { leader: 'a', term: 5 }, { leader: 'b', term: 5 }, 'a'],
    ['others that know of a higher term', { leader: 'a', term: 5 }, { leader: 'b', term: 6 }, 'b'],
    ['a replica without a leader believes others', none, { leader: 'b', term: 3 }, 'b'],
    [
      'others that know of no leader do not hide ours',
      { leader: 'a', term: 5 },
      { leader: null, term: 9 },
      'a',
    ],
  ]
  for (const [what, here, there, leader] of rows) {
    const { table } = tableWith(here)
    table.learn(1, there)
    t.equal(table.leaderOf(1).leader, leader, what)
  }
})

t.test('older terms change nothing, and news is told once', async t => {
  const { table, told } = tableWith()
  table.learn(1, { leader: 'b', term: 4 })
  table.learn(1, { leader: 'c', term: 3 })
  table.learn(1, { leader: 'b', term: 4 })
  table.learn(1, { leader: null, term: 4 })
  t.same(table.leaderOf(1), { leader: 'b', term: 4 })
  t.same(told, [1])
  table.learn(1, { leader: 'c', term: 5 })
  t.same(table.leaderOf(1), { leader: 'c', term: 5 })
  table.changed(2)
  t.same(told, [1, 1, 2])
})

t.test('a leader that did not answer is forgotten, another is not', async t => {
  const { table } = tableWith()
  table.learn(1, { leader: 'b', term: 4 })
  table.forget(1, 'c')
  t.equal(table.leaderOf(1).leader, 'b')
  table.forget(1, 'b')
  t.same(table.leaderOf(1), { leader: null, term: 4 })
  table.learn(1, { leader: 'b', term: 4 })
  t.equal(table.leaderOf(1).leader, 'b', 'it may be named again in its term')
})
