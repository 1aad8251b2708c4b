// The next step of a move, as tables: what the leader sees and what is wanted give one change at a time.
import t from 'tap'
import { type NextChange, nextChange } from '../../src/cluster/next-change.ts'
import type { Placement } from '../../src/core/placement.ts'
import type { ReplicaId } from '../../src/core/replica-id.ts'
import type { ConfigurationChange, RaftStatus } from '../../src/raft/raft.ts'

const place = (voters: string, learners = ''): Placement => ({ voters: [...voters], learners: [...learners] })

/** The status of leader `leader`; everybody is caught up and active unless named. */
function statusOf(
  members: string,
  options: { leader?: ReplicaId; lagging?: string; silent?: string } = {},
): RaftStatus {
  const [voters = '', learners = ''] = members.split('+')
  const { leader = voters[0] ?? '', lagging = '', silent = '' } = options
  return {
    id: leader,
    role: 'leader',
    term: 3,
    leader,
    canServe: true,
    commitIndex: 10,
    lastIndex: 10,
    durableIndex: 10,
    configuration: { voters: [...voters], learners: [...learners] },
    configurationIndex: 1,
    transferTarget: null,
    progress: [...voters, ...learners].map(id => ({
      id,
      voter: voters.includes(id),
      match: lagging.includes(id) ? 2 : 10,
      state: 'replicate' as const,
      active: !silent.includes(id),
      caughtUp: !lagging.includes(id),
    })),
  }
}

function said(next: NextChange): string {
  if (next.type === 'change') return `${next.change.type} ${next.change.id}`
  return next.type === 'transfer' ? `transfer to ${next.to}` : next.type
}

const step = (
  members: string,
  wanted: Placement,
  options: { leader?: ReplicaId; lagging?: string; silent?: string; unreachable?: string } = {},
): string =>
  said(nextChange(statusOf(members, options), wanted, id => !(options.unreachable ?? '').includes(id)))

t.test('one step at a time', async t => {
  const table: readonly (readonly [what: string, found: string, expected: string])[] = [
    ['all is as it should be', step('abc', place('abc')), 'done'],
    ['order does not matter, but the first leads', step('cba', place('abc'), { leader: 'a' }), 'done'],
    ['a missing learner is added', step('a', place('a', 'b')), 'add-learner b'],
    ['a missing voter comes as a learner first', step('a', place('abc')), 'add-learner b'],
    ['then the next', step('a+b', place('abc')), 'add-learner c'],
    ['a learner that caught up is promoted', step('a+bc', place('abc')), 'promote b'],
    ['then the next is promoted', step('ab+c', place('abc')), 'promote c'],
    ['a learner that lags is waited for', step('ab+c', place('abc'), { lagging: 'c' }), 'wait'],
    [
      'a learner that lags does not hold up another',
      step('a+bc', place('abc'), { lagging: 'b' }),
      'promote c',
    ],
    ['a learner that is silent is not promoted', step('ab+c', place('abc'), { silent: 'c' }), 'wait'],
    ['who is unreachable is not added', step('a', place('abc'), { unreachable: 'b' }), 'add-learner c'],
    ['nobody to add is waited for', step('a', place('abc'), { unreachable: 'bc' }), 'wait'],
    ['the new one comes before the old one goes', step('abc', place('abd')), 'add-learner d'],
    ['and votes before the old one goes', step('abc+d', place('abd')), 'promote d'],
    ['nobody goes while the new one lags', step('abc+d', place('abd'), { lagging: 'd' }), 'wait'],
    ['then the old one goes', step('abcd', place('abd')), 'remove c'],
    ['a voter that shall listen is demoted', step('abc', place('a', 'b')), 'demote b'],
    ['and the other removed', step('ac+b', place('a', 'b')), 'remove c'],
    ['a learner that is not wanted is removed', step('a+bc', place('a', 'b')), 'remove c'],
    [
      'a voter that is not wanted and unreachable is removed too',
      step('abc', place('a'), { unreachable: 'b', silent: 'b' }),
      'remove b',
    ],
    [
      'who is unreachable goes first: the others must be able to decide without',
      step('abc', place('a', 'b'), { unreachable: 'c' }),
      'remove c',
    ],
    [
      'nobody goes when those who stay could not decide',
      step('abc', place('a'), { unreachable: 'bc' }),
      'wait',
    ],
  ]
  for (const [what, found, expected] of table) t.equal(found, expected, what)
})

t.test('a leader that is not wanted, or not preferred, hands over', async t => {
  const table: readonly (readonly [what: string, found: string, expected: string])[] = [
    [
      'a leader that is not wanted hands over before it is removed',
      step('abcd', place('bcd'), { leader: 'a' }),
      'transfer to b',
    ],
    ['to one that is caught up', step('abcd', place('bcd'), { leader: 'a', lagging: 'b' }), 'transfer to c'],
    ['to one that answers', step('abcd', place('bcd'), { leader: 'a', silent: 'bc' }), 'transfer to d'],
    [
      'it waits when nobody can take over',
      step('abcd', place('bcd'), { leader: 'a', silent: 'bcd' }),
      'wait',
    ],
    ['its successor removes it', step('abcd', place('bcd'), { leader: 'b' }), 'remove a'],
    [
      'a leader that shall only listen hands over',
      step('ab', place('b', 'a'), { leader: 'a' }),
      'transfer to b',
    ],
    ['and its successor demotes it', step('ab', place('b', 'a'), { leader: 'b' }), 'demote a'],
    [
      'the preferred leader gets the leadership last',
      step('abc', place('bac'), { leader: 'a' }),
      'transfer to b',
    ],
    ['not while it lags', step('abc', place('bac'), { leader: 'a', lagging: 'b' }), 'done'],
    ['not while it is silent', step('abc', place('bac'), { leader: 'a', silent: 'b' }), 'done'],
    ['not while it is unreachable', step('abc', place('bac'), { leader: 'a', unreachable: 'b' }), 'done'],
    ['never to somebody else instead', step('abc', place('bac'), { leader: 'c', unreachable: 'b' }), 'done'],
    [
      'another surplus voter goes before the leader hands over',
      step('abcde', place('bcd'), { leader: 'a' }),
      'remove e',
    ],
  ]
  for (const [what, found, expected] of table) t.equal(found, expected, what)
})

/** Carries the steps out as consensus would, everybody catching up at once. */
function walk(members: string, wanted: Placement): readonly string[] {
  let [voters = '', learners = ''] = members.split('+')
  let leader = voters[0] ?? ''
  const steps: string[] = []
  for (;;) {
    const next = nextChange(statusOf(`${voters}+${learners}`, { leader }), wanted, () => true)
    if (next.type === 'done') return steps
    if (next.type === 'wait' || steps.length > 50) return [...steps, 'stuck']
    steps.push(said(next))
    if (next.type === 'transfer') leader = next.to
    else [voters, learners] = changed(next.change, { voters, learners, leader })
  }
}

function changed(
  { type, id }: ConfigurationChange,
  { voters, learners, leader }: { voters: string; learners: string; leader: string },
): [string, string] {
  if (type !== 'add-learner' && type !== 'promote' && id === leader)
    throw new Error(`the leader ${id} was to ${type}`)
  const without = (members: string): string => members.replace(id, '')
  if (type === 'add-learner') return [voters, learners + id]
  if (type === 'promote') return [voters + id, without(learners)]
  if (type === 'demote') return [without(voters), learners + id]
  return [without(voters), without(learners)]
}

t.test('a cluster grows from one node over two to three', async t => {
  t.same(walk('a', place('a', 'b')), ['add-learner b'])
  t.same(walk('a+b', place('bca')), ['add-learner c', 'promote b', 'promote c', 'transfer to b'])
})

t.test(
  'from wherever to wherever: every move arrives, and never below the smaller of the two majorities',
  async t => {
    const placements = [
      'a',
      'b',
      'a+b',
      'b+a',
      'abc',
      'bca',
      'abd',
      'def',
      'abcde',
      'cde+ab',
      'abc+d',
      'efg+abc',
    ]
    for (const from of placements) {
      for (const to of placements) {
        const [voters = '', learners = ''] = to.split('+')
        const steps = walk(from, place(voters, learners))
        if (steps.includes('stuck')) t.fail(`${from} to ${to}: ${steps.join(', ')}`)
        let count = (from.split('+')[0] ?? '').length
        const least = Math.min(count, voters.length)
        for (const text of steps) {
          if (text.startsWith('promote')) count += 1
          if (text.startsWith('demote') || (text.startsWith('remove') && count > voters.length)) count -= 1
          if (count < least) t.fail(`${from} to ${to} has ${count} voters: ${steps.join(', ')}`)
        }
      }
    }
    t.pass(`${placements.length ** 2} moves`)
  },
)
