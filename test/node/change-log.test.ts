// What the log tells of the cluster: changes, once each and together, and nothing of what is as usual.
import t from 'tap'
import type { LogFields } from '../../src/core/log.ts'
import { type ClusterView, createChangeLog } from '../../src/node/change-log.ts'
import { createManualClock } from '../mesh/manual-clock.ts'

type Member = ClusterView['members'] extends ReadonlyMap<string, infer M> ? M : never
const member = (name: string, partial: Partial<Member> = {}): [string, Member] => [
  name,
  { name, state: 'active', role: 'full', isConnected: true, lastWords: null, ...partial },
]
const view = (partial: Partial<ClusterView> = {}): ClusterView => ({
  isListed: true,
  members: new Map([member('b'), member('c')]),
  leaderless: new Map(),
  led: new Set([1, 2, 3]),
  moving: new Set(),
  behind: new Map(),
  ...partial,
})

function setUp(first: ClusterView = view()) {
  const clock = createManualClock()
  const lines: string[] = []
  const tell = (level: string) => (_fields: LogFields, message: string) =>
    void lines.push(`${level} ${message}`)
  const log = { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') }
  let current = first
  const changes = createChangeLog({ clock, log, view: () => current })
  changes.start()
  return {
    changes,
    async told(next: Partial<ClusterView>, ms = 1000): Promise<string[]> {
      current = view(next)
      await clock.advance(ms)
      return lines.splice(0)
    },
  }
}

t.test('a cluster in which nothing happens is silent', async t => {
  const { told } = setUp()
  t.same(await told({}, 60_000), [])
})

t.test('members: joined, lost, back, leaving, removed', async t => {
  const { told } = setUp()
  const [b, c, d] = [member('b'), member('c'), member('d')]
  t.same(await told({ members: new Map([b, c, d]) }), [
    'info cluster: d has joined',
    'info cluster: in contact with d',
  ])
  const why = 'store x: the disk is full'
  t.same(await told({ members: new Map([b, c, member('d', { isConnected: false, lastWords: why })]) }), [
    'warn cluster: lost contact with d: store x: the disk is full',
  ])
  t.same(await told({ members: new Map([b, c, member('d', { isConnected: false })]) }, 11_000), [])
  t.same(await told({ members: new Map([b, c, d]) }), ['info cluster: in contact with d again, after 12 s'])
  t.same(await told({ members: new Map([b, c, member('d', { state: 'draining' })]) }), [
    'info cluster: d is leaving, its replicas move to others',
  ])
  const removed = member('d', { state: 'removed', isConnected: false })
  t.same(await told({ members: new Map([b, c, removed]) }), ['info cluster: d is removed for ever'])
})

t.test('the first node tells of the second', async t => {
  const { told } = setUp(view({ members: new Map() }))
  t.same((await told({ members: new Map([member('b')]) }))[0], 'info cluster: b has joined')
})

t.test('a joining node does not tell of those who were there before it', async t => {
  const { told } = setUp(view({ isListed: false, members: new Map() }))
  t.same(await told({}), ['info cluster: in contact with b', 'info cluster: in contact with c'])
})

t.test('a partition without a leader is told of when it stays so, and when it ends', async t => {
  const { told } = setUp()
  t.same(await told({ leaderless: new Map([[1, '']]) }, 2000), [], 'an election is as usual')
  t.same(await told({}), [])
  const why = 'no contact with 2 of its 3 voters: b, c'
  const leaderless = new Map([
    [1, why],
    [2, why],
  ])
  t.same(await told({ leaderless }, 10_000), [`warn cluster: partition 1, 2 has no leader: ${why}`])
  t.same(await told({}), ['info cluster: partition 1, 2 has a leader again, after 10 s'])
})

t.test('moves begin and end, replicas catch up', async t => {
  const { told } = setUp()
  t.same(await told({ moving: new Set([1, 2]), behind: new Map([[1, ['d']]]) }, 5000), [
    'info cluster: replicas of partition 1, 2 move to where they belong',
  ])
  t.same(await told({ moving: new Set([2]) }), [
    'info cluster: replicas of partition 1 are where they belong',
    'info cluster: the replica on d of partition 1 has caught up',
  ])
  t.same(await told({ led: new Set([1]) }), [], 'who no longer leads does not say how it ended')
  t.same(await told({ behind: new Map([[1, ['b']]]) }), [])
  t.same(await told({}), [], 'a moment behind is as usual')
})

t.test('after a stop nothing is told', async t => {
  const { changes, told } = setUp()
  changes.stop()
  t.same(await told({ members: new Map() }, 5000), [])
})
