// What `status`, `placement` and `explain` say, from views made up: every degradation has its line and its next step.
import t from 'tap'
import type { ClusterNode, ClusterState } from '../../src/cluster/cluster-state.ts'
import { placementChanges } from '../../src/cluster/wanted-placement.ts'
import type { Placement } from '../../src/core/placement.ts'
import { explanationOf, type PartitionView } from '../../src/node/explain.ts'
import { missingReplicas } from '../../src/node/missing-replicas.ts'
import type { StatusSources } from '../../src/node/node-status.ts'
import { placementStatus } from '../../src/node/placement-status.ts'
import { problemsOf } from '../../src/node/problems.ts'
import type { FollowerProgress, RaftStatus } from '../../src/raft/raft.ts'

const nowMs = Date.parse('2026-01-31T12:00:00Z')
const node = (name: string, partial: Partial<ClusterNode> = {}): ClusterNode => ({
  peerId: `peer-${name}`,
  storageId: `disk-${name}`,
  name,
  role: 'full',
  state: 'active',
  addresses: [],
  ...partial,
})
const id = (name: string): string => `peer-${name}/disk-${name}`
const ids = (names: string): string[] => [...names].map(id)

const stateOf = (nodes: readonly ClusterNode[], wanted: readonly string[]): ClusterState => ({
  settings: { clusterId: 'c', topic: 't', scope: 's', partitions: wanted.length, replicas: 3 },
  nodes: new Map(nodes.map(known => [known.peerId, known])),
  wanted: new Map(wanted.map((names, place) => [place + 1, { voters: ids(names), learners: [] }])),
})

const status = (self: string, names: string, partial: Partial<RaftStatus> = {}): RaftStatus => ({
  id: id(self),
  role: 'follower',
  term: 5,
  leader: null,
  canServe: false,
  commitIndex: 100,
  lastIndex: 100,
  durableIndex: 100,
  configuration: { voters: ids(names), learners: [] },
  configurationIndex: 1,
  transferTarget: null,
  progress: [],
  ...partial,
})
const leads = (self: string, names: string, partial: Partial<RaftStatus> = {}): RaftStatus =>
  status(self, names, { role: 'leader', leader: id(self), canServe: true, ...partial })
const follower = (
  name: string,
  match: number,
  partial: Partial<FollowerProgress> = {},
): FollowerProgress => ({
  id: id(name),
  voter: true,
  match,
  state: 'replicate',
  active: true,
  caughtUp: true,
  ...partial,
})

/** The world as node a sees it: partitions 0 to 2, a leads them all unless said otherwise. */
function sources(
  given: Partial<Omit<StatusSources, 'missingOf'>> & {
    readonly gone?: string
    readonly leaders?: Readonly<Record<number, string | null>>
    readonly statuses?: Readonly<Record<number, RaftStatus>>
  } = {},
): StatusSources {
  const { gone = '', leaders = {}, statuses = {}, ...rest } = given
  const contacts = {
    of: (peerId: string) => ({
      isConnected: ![...gone].some(name => peerId === `peer-${name}`),
      sinceMs: nowMs - 35_000,
    }),
  }
  const leaderOf = (partition: number) => {
    const name = leaders[partition] === undefined ? 'a' : leaders[partition]
    return { leader: name === null ? null : `peer-${name}`, term: 5 }
  }
  return {
    self: 'peer-a',
    nowMs,
    state: stateOf([node('a'), node('b'), node('c')], ['abc', 'abc']),
    table: { leaderOf, learn() {}, forget() {}, changed() {}, onChange() {} },
    statusOf: partition => statuses[partition] ?? leads('a', 'abc'),
    contacts,
    lastWordsOf: () => null,
    missingOf: () =>
      missingReplicas({
        voters: ['peer-a', 'peer-b', 'peer-c'],
        nameOf: peerId => peerId.slice(5),
        contacts,
        nowMs,
      }),
    disk: { path: '/data', freeBytes: 1024 ** 4, totalBytes: 2 * 1024 ** 4 },
    failure: undefined,
    noContact: null,
    heads: new Map(),
    queries: [],
    reactions: [],
    quarantined: { count: 0, first: [] },
    historyProblems: [],
    pluginProblems: [],
    store: { type: 'local', location: 'memory', problem: null },
    ...rest,
  } as StatusSources
}

const query = (partial: object) => ({
  lagSeconds: 0,
  ratePerSecond: 0,
  progress: null,
  building: null,
  name: 'balance',
  version: 1,
  state: 'running' as const,
  lag: 0,
  parked: 0,
  held: 0,
  positions: {},
  file: null,
  lastError: null,
  ...partial,
})
const lastError = { message: 'no such table', stack: null, time: '' }

t.test('a healthy cluster has no problems', async t => {
  t.same(problemsOf(sources()), [])
})

const cases: readonly (readonly [
  what: string,
  given: Parameters<typeof sources>[0],
  ...expected: RegExp[],
])[] = [
  [
    'a node is gone',
    { gone: 'b' },
    /^node b \(peer-b\) cannot be reached, for 35 s: start it again, or, .* glyn-node members remove peer-b$/,
    /^partition 0, 1, 2 works with fewer replicas than it should have, without b/,
  ],
  ['nobody is in contact for long', { noContact: 'this node has no contact' }, /^this node has no contact$/],
  [
    'a node that said why it stopped',
    { gone: 'b', lastWordsOf: () => 'the disk is full' },
    /^node b .* for 35 s \(it said: the disk is full\): start it again/,
    /fewer replicas/,
  ],
  [
    'the majority is gone, also where the last leader is still remembered',
    { gone: 'bc', leaders: { 0: null, 1: 'b', 2: null } },
    /^node b/,
    /^node c/,
    /^the controller has no leader: 2 of its 3 voters .* Data partitions work on; changes .* wait\. Start the voters/,
    /^no leader is known for partition 1, 2, and no majority .* commands wait for b, c\. Start them; .* glyn-node recover/,
  ],
  [
    'an election',
    { leaders: { 2: null } },
    /^no leader is known for partition 2: an election lasts a second or two/,
  ],
  [
    'a node leaves',
    { state: stateOf([node('a'), node('b', { state: 'draining' }), node('c')], ['abc', 'abc']) },
    /^node b \(peer-b\) is leaving: .* nothing to do$/,
  ],
  [
    'a replica is behind',
    {
      statuses: {
        1: leads('a', 'abc', { lastIndex: 90_000, progress: [follower('b', 20), follower('c', 89_999)] }),
      },
    },
    /^the replica on b of partition 1 is up to 89980 entries behind: it catches up by itself/,
  ],
  [
    'a move',
    { state: stateOf([node('a'), node('b'), node('c'), node('d')], ['abd', 'abc']) },
    /^replicas of partition 1 are on their way to their wanted places; nothing to do$/,
  ],
  [
    'queries',
    {
      queries: [
        query({ name: 'one', state: 'failed', lastError }),
        query({ name: 'two', state: 'retrying', lastError }),
        query({ name: 'three', state: 'stopped', lastError }),
        query({ name: 'four', state: 'catching-up', lag: 20_000 }),
        query({ name: 'five', state: 'catching-up', lag: 20 }),
        query({ name: 'six', state: 'running', parked: 2, held: 3, lastError }),
      ],
    },
    /^query one does not load: no such table\. Correct its file/,
    /^query two is retrying: no such table\. Correct its code/,
    /^query three is stopped: no such table\. Correct its file; it starts again when that changes$/,
    /^query four is 20000 entries behind: it catches up/,
    /^query six has parked 2 entries that it failed at, and 3 are held back behind them: glyn-node queries parked six/,
  ],
  [
    'the disk is nearly full',
    { disk: { path: '/data', freeBytes: 3 * 1024 ** 2, totalBytes: 100 * 1024 ** 2 } },
    /^the disk of \/data is nearly full, 3 MiB of 100 MiB are free: make room/,
  ],
  ['a large disk with room', { disk: { path: '/data', freeBytes: 2 * 1024 ** 3, totalBytes: 1024 ** 4 } }],
  ['no disk', { disk: null }],
  [
    'the store failed',
    { failure: new Error('the disk is full') },
    /^this node is stopping, because its store failed: the disk is full\. Cure the disk and start it again/,
  ],
  ['a file that does not load', { pluginProblems: ['queries/x.ts: oops'] }, /^queries\/x\.ts: oops$/],
]
for (const [what, given, ...expected] of cases) {
  t.test(`status: ${what}`, async t => {
    const problems = problemsOf(sources(given))
    t.equal(problems.length, expected.length, problems.join('\n'))
    for (const [place, pattern] of expected.entries()) t.match(problems[place], pattern)
  })
}

t.test('placement: spread, what is wanted, and what moves', async t => {
  const nodes = [node('a'), node('b'), node('c')]
  const wanted = new Map(Object.entries(placementChanges(stateOf(nodes, ['', '']))).map(planned))
  const state = { ...stateOf(nodes, ['', '']), wanted }
  const [first, second] = [1, 2].map(partition => wanted.get(partition)?.voters[0]?.slice(-1) ?? '')
  const leaders = { 1: first ?? '', 2: second ?? '' }
  t.match(placementStatus(sources({ state, leaders })), { moves: [], asWanted: true })
  const joined = { ...state, nodes: new Map([...state.nodes, ['peer-d', node('d')]]) }
  const before = placementStatus(sources({ state: joined, leaders }))
  t.match(before, { moves: [], asWanted: false }, 'nobody has planned for d yet')
  t.match(placementStatus(sources()), { moves: [], nodes: [{ leads: 2, wantedLeads: 2, wantedReplicas: 2 }] })
  const moving = sources({ state: stateOf([node('a'), node('b'), node('c'), node('d')], ['bad', 'abc']) })
  t.match(placementStatus(moving), {
    asWanted: false,
    moves: [
      { partition: 1, name: 'd', from: 'none', to: 'voter' },
      { partition: 1, name: 'c', from: 'voter', to: 'none' },
    ],
  })
  const elsewhere = sources({ leaders: { 1: 'b' } })
  t.match(placementStatus(elsewhere), { asWanted: false, moves: [] }, 'leaderships count too')
})

const planned = ([partition, placement]: [string, Placement]): [number, Placement] => [
  Number(partition),
  placement,
]

const noPending = { count: 0, oldest: [], reads: 0 }
const view = (name: string, partial: Partial<PartitionView>): PartitionView => ({
  peerId: `peer-${name}`,
  status: null,
  history: [],
  pending: noPending,
  queries: [],
  ...partial,
})
const record = (seconds: number, partial: object) => ({
  timeMs: nowMs + seconds * 1000,
  role: 'follower' as const,
  term: 5,
  leader: null,
  reason: 'started',
  ...partial,
})

t.test('explain: one picture of what the nodes say', async t => {
  const { contacts } = sources({ gone: 'c' })
  const pending = {
    count: 1,
    oldest: [{ aggregate: { type: 'account', id: 'x' }, commandId: 'c-1', index: 101 }],
    reads: 2,
  }
  const seen = explanationOf({
    aggregate: { type: 'account', id: 'x' },
    partition: 1,
    state: stateOf([node('a'), node('b'), node('c'), node('d')], ['bad']),
    contacts,
    nowMs,
    problems: ['p'],
    views: [
      view('a', {
        status: leads('a', 'abc', {
          lastIndex: 101,
          durableIndex: 101,
          progress: [follower('b', 90), follower('c', 40, { active: false })],
        }),
        history: [
          record(1, { role: 'candidate', term: 5, reason: 'election timeout' }),
          record(2, {
            role: 'leader',
            term: 5,
            leader: 'peer-a',
            reason: 'elected in term 5: election timeout',
          }),
        ],
        pending,
        queries: [{ name: 'balance', state: 'running', positions: { '1': 98 } }],
      }),
      // It has not heard yet that it leads no more.
      view('b', {
        status: leads('b', 'abc', { term: 4 }),
        history: [
          record(-9, {
            role: 'leader',
            term: 4,
            leader: 'peer-b',
            reason: 'elected in term 4: asked by the leader peer-a',
          }),
          record(0, { term: 5, reason: 'handed over to peer-a' }),
          record(3, { role: 'candidate', term: 6, reason: 'election timeout' }),
        ],
      }),
    ],
  })
  t.match(seen, {
    partition: 1,
    partitions: 1,
    leader: { peerId: 'peer-a', name: 'a', isPreferred: false },
    term: 5,
    commitIndex: 100,
    lastIndex: 101,
    pending: { commands: 1, oldest: [{ index: 101 }], reads: 2 },
    problems: ['p'],
  })
  t.match(
    seen.replicas.map(({ name, seat, isLeader, isWanted, behind, isActive, unreachableSince }) =>
      [name, seat, isLeader, isWanted, behind, isActive, unreachableSince].join(' '),
    ),
    [
      'a voter true true 0 true ',
      'b voter false true 11 true ',
      'c voter false false 61 false 2026-01-31T11:59:25.000Z',
      'd joining false true  false ',
    ],
  )
  t.match(seen.queries, [{ node: 'a', name: 'balance', position: 98, behind: 2 }])
  t.same(
    seen.changes.map(({ name, type, term, reason }) => `${name} ${type} ${term}: ${reason}`),
    [
      'b stood 6: election timeout',
      'a elected 5: elected in term 5: election timeout',
      'b stepped-down 5: handed over to a',
      'b elected 4: elected in term 4: asked by the leader a',
    ],
    'newest first, by name; a candidacy that was won is the election',
  )
  t.match(seen.why.join(' '), /The first 3 hold a replica: .* comes first, and is the preferred leader/)
  t.match(
    seen.why.at(-1),
    /b does not lead yet: it is 11 entries behind\. a hands over to it when it has caught up\./,
  )
})

t.test(
  'explain without a leader takes the most advanced replica, and says why the preferred one does not lead',
  async t => {
    const { contacts } = sources({ gone: 'b' })
    const seen = explanationOf({
      aggregate: { type: 'account', id: 'x' },
      partition: 1,
      state: stateOf([node('a'), node('b'), node('c')], ['bac']),
      contacts,
      nowMs,
      problems: [],
      views: [
        view('a', { status: status('a', 'abc', { term: 7, commitIndex: 80, lastIndex: 90 }) }),
        view('c', { status: status('c', 'abc', { term: 7, commitIndex: 85, lastIndex: 95 }) }),
      ],
    })
    t.match(seen, { leader: null, term: 7, commitIndex: 85, lastIndex: 95, changes: [] })
    t.match(seen.replicas, [{ behind: null }, { matchIndex: null }, { matchIndex: 100 }])
    t.equal(seen.why.at(-1), 'b does not lead, because it cannot be reached, for 35 s.')
  },
)
