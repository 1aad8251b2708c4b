// The rounds of the reconciler on groups that a test makes up: what it does when a move or a transfer comes to nothing.
import t from 'tap'
import type { ClusterNode, ClusterState } from '../../src/cluster/cluster-state.ts'
import type { ControllerLog } from '../../src/cluster/controller-log.ts'
import { createReconciler } from '../../src/cluster/reconciler.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Placement } from '../../src/core/placement.ts'
import type { ConfigurationChange, Raft, RaftStatus } from '../../src/raft/raft.ts'
import { createManualClock } from '../mesh/manual-clock.ts'

/** From the first contact until a node is given leaderships. */
const settledMs = 3200

const idOf = (name: string): string => `${name}/s`
const place = (voters: string, learners = ''): Placement => ({
  voters: [...voters].map(idOf),
  learners: [...learners].map(idOf),
})

/** What leader `a` knows of a group; `learners` are behind. */
function statusOf(members: Placement): RaftStatus {
  return {
    id: idOf('a'),
    role: 'leader',
    term: 3,
    leader: idOf('a'),
    canServe: true,
    commitIndex: 10,
    lastIndex: 10,
    durableIndex: 10,
    configuration: members,
    configurationIndex: 1,
    transferTarget: null,
    progress: [...members.voters, ...members.learners].map(id => {
      const voter = members.voters.includes(id)
      return { id, voter, match: voter ? 10 : 0, state: 'replicate', active: voter, caughtUp: voter }
    }),
  }
}

function setting(init: {
  readonly groups: ReadonlyMap<number, RaftStatus>
  readonly wanted: ReadonlyMap<number, Placement>
  /** The letters of those that are not in contact now. */
  readonly unreachable?: () => string
  /** Of every group, in place of the one given. */
  readonly statusNow?: () => RaftStatus
}) {
  const clock = createManualClock()
  const transfers: number[] = []
  const heirs: string[] = []
  const changes: { readonly partition: number; readonly change: ConfigurationChange }[] = []
  const nodes = new Map(
    [...'abcde'].map((peerId): [string, ClusterNode] => [
      peerId,
      { peerId, storageId: 's', name: peerId, role: 'full', state: 'active', addresses: [] },
    ]),
  )
  const state: ClusterState = { settings: undefined, nodes, wanted: init.wanted }
  const groupOf = (partition: number, status: RaftStatus): Raft =>
    ({
      status: () => init.statusNow?.() ?? status,
      transferLeadership(to) {
        transfers.push(clock.now())
        heirs.push(to)
        return true
      },
      changeConfiguration(change: ConfigurationChange) {
        changes.push({ partition, change })
        return { type: 'appended', index: 11, term: 3 }
      },
    }) as Partial<Raft> as Raft
  const groups = new Map(
    [...init.groups].map(([partition, status]) => [partition, groupOf(partition, status)]),
  )
  const reconciler = createReconciler({
    clock,
    log: silentLog,
    controller: { state: () => state, isLeader: () => false } as Partial<ControllerLog> as ControllerLog,
    partitions: () => [...groups.keys()],
    group: partition => groups.get(partition),
    touch: () => {},
    isConnected: peerId => init.unreachable?.().includes(peerId) !== true,
    settlingMs: 3000,
    isStopping: () => false,
    sayGoodbye: async () => {},
    self: idOf('a'),
  })
  reconciler.start()
  t.teardown(() => reconciler.stop())
  return { clock, transfers, heirs, changes, reconciler }
}

t.test('a preferred leader that does not take over is asked again, and ever more rarely', async t => {
  const { clock, transfers } = setting({
    groups: new Map([[1, statusOf(place('abc'))]]),
    wanted: new Map([[1, place('bac')]]),
  })
  await clock.advance(settledMs)
  t.equal(transfers.length, 1, 'as soon as it has settled')
  await clock.advance(60_000)
  t.ok(transfers.length >= 4 && transfers.length <= 6, `${transfers.length} times in a minute`)
  const gaps = transfers.slice(1).map((at, place) => at - (transfers[place] ?? 0))
  t.ok(
    gaps.every((gap, place) => gap >= (gaps[place - 1] ?? 2000)),
    `after ${gaps.join(', ')} ms`,
  )
})

t.test(
  'an offer that came to nothing counts in the next term too, until the other has led for a while',
  async t => {
    const mine = statusOf(place('abc'))
    const groups = new Map([[1, mine]])
    const { clock, transfers } = setting({
      groups,
      wanted: new Map([[1, place('bac')]]),
      statusNow: () => groups.get(1) ?? mine,
    })
    await clock.advance(settledMs)
    t.equal(transfers.length, 1)
    // Again and again the other is elected, fails and gives leadership back: each time in another term.
    for (let term = 4; term < 24; term += 2) {
      groups.set(1, { ...mine, role: 'follower', leader: idOf('b'), term, progress: [] })
      await clock.advance(500)
      groups.set(1, { ...mine, term: term + 1 })
      await clock.advance(500)
    }
    t.ok(transfers.length <= 4, `${transfers.length} times in ten seconds`)
    groups.set(1, { ...mine, role: 'follower', leader: idOf('b'), term: 30, progress: [] })
    await clock.advance(6000)
    const before = transfers.length
    groups.set(1, { ...mine, term: 31 })
    await clock.advance(200)
    t.equal(transfers.length, before + 1, 'it led for a while: the next offer comes at once')
  },
)

t.test('learners that went away while they caught up do not hold back the moves of others', async t => {
  const stuck = statusOf(place('abc', 'd'))
  const { clock, changes } = setting({
    groups: new Map([
      ...Array.from({ length: 8 }, (_, n): [number, RaftStatus] => [n + 1, stuck]),
      [9, statusOf(place('abc'))],
    ]),
    wanted: new Map([
      ...Array.from({ length: 8 }, (_, n): [number, Placement] => [n + 1, place('abd')]),
      [9, place('abe')],
    ]),
    unreachable: () => 'd',
  })
  await clock.advance(150)
  t.same(changes, [{ partition: 9, change: { type: 'add-learner', id: idOf('e') } }])
})

t.test('a node that stood still hands over as soon as somebody answers it again', async t => {
  const heard = statusOf(place('abc'))
  const unheard = { ...heard, progress: heard.progress.map(one => ({ ...one, active: false })) }
  let status: RaftStatus = unheard
  const groups = new Map([[1, heard]])
  const wanted = new Map([[1, place('abc')]])
  const { clock, transfers, reconciler } = setting({ groups, wanted, statusNow: () => status })
  let left: number | undefined
  const done = reconciler.handOver({ timeoutMs: 1000 }).then(result => {
    left = result.left
  })
  await clock.advance(100)
  t.same([transfers.length, left], [0, undefined], 'it is not over yet')
  status = heard
  await clock.advance(100)
  t.ok(transfers.length > 0, 'it is handed over')
  status = { ...heard, role: 'follower' }
  await clock.advance(100)
  await done
  t.equal(left, 0)
})

t.test(
  'leaderships are handed to whom they would go next, and to another if that one does not take them',
  async t => {
    const given = statusOf(place('abcd'))
    const matches: Readonly<Record<string, number>> = {
      [idOf('b')]: 9000,
      [idOf('c')]: 9950,
      [idOf('d')]: 10_000,
    }
    const status: RaftStatus = {
      ...given,
      lastIndex: 10_000,
      progress: given.progress.map(one => ({ ...one, match: matches[one.id] ?? 10_000 })),
    }
    const { clock, heirs, reconciler } = setting({
      groups: new Map([[1, status]]),
      wanted: new Map([[1, place('abcd')]]),
    })
    const done = reconciler.handOver({ timeoutMs: 100 })
    await clock.advance(200)
    t.same(await done, { led: 1, left: 1 }, 'nobody took it')
    t.same(heirs.slice(0, 3), [idOf('c'), idOf('d'), idOf('b')], 'b would be the next, but is far behind')
  },
)

t.test('a node that has just started is given no leadership, unless there is nobody else', async t => {
  let away = ''
  const led = statusOf(place('abc'))
  const wanted = new Map([[1, place('bac')]])
  const groups = new Map([[1, led]])
  const { clock, transfers } = setting({ groups, wanted, unreachable: () => away })
  await clock.advance(settledMs)
  t.equal(transfers.length, 1)
  away = 'b'
  await clock.advance(200)
  away = ''
  const backAt = clock.now()
  await clock.advance(2900)
  t.equal(transfers.length, 1, 'it is back, and busy with its start')
  await clock.advance(300)
  t.equal(transfers.length, 2, 'it has settled')
  t.ok((transfers[1] ?? 0) - backAt >= 3000)

  for (const { others, heir } of [
    { others: 'abc', heir: 'c' },
    { others: 'ab', heir: 'b' },
  ]) {
    let isAway = false
    const status = statusOf(place(others))
    const { clock, heirs, reconciler } = setting({
      groups: new Map([[1, status]]),
      wanted: new Map([[1, place(`a${others.slice(1)}`)]]),
      unreachable: () => (isAway ? 'b' : ''),
    })
    await clock.advance(settledMs)
    isAway = true
    await clock.advance(200)
    isAway = false
    await clock.advance(500)
    const done = reconciler.handOver({ timeoutMs: 10 })
    await clock.advance(50)
    await done
    t.equal(heirs[0], idOf(heir), `of ${others}, a hands over to ${heir}, and b has just come back`)
  }
})
