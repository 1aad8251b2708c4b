// Rules of consensus that are about values rather than conversations; the conversations are in scripts/.
import t from 'tap'
import { InvariantError } from '../../src/core/assert.ts'
import { decodeConfiguration, encodeConfiguration } from '../../src/raft/configuration.ts'
import { bootstrapEntry } from '../../src/raft/create-raft.ts'
import { type Entry, genesisHash } from '../../src/raft/entry.ts'
import type { RaftMessage } from '../../src/raft/message.ts'
import type { Raft, RaftOptions, Ready } from '../../src/raft/raft.ts'
import { seededRandom } from '../../src/testing/simulator/seeded-random.ts'
import { createDisk, hashEntry, openRaft, type ReplicaDisk, writeToDisk } from './replica-disk.ts'

const options: RaftOptions = {
  electionTicks: 10,
  heartbeatTicks: 1,
  appendBytesMax: 64 * 1024,
  inflightAppendsMax: 8,
  inflightBytesMax: 256 * 1024,
  uncommittedBytesMax: 8 * 1024 * 1024,
}

interface Single {
  readonly disk: ReplicaDisk
  readonly raft: Raft
}

const open = (id: string, disk: ReplicaDisk, seed = 1): Single => ({
  disk,
  raft: openRaft({ id, disk, random: seededRandom(seed), options }),
})

/** Carries out everything that is ready, and gives back the messages and the other effects in order. */
function settle({ disk, raft }: Single): {
  readonly messages: readonly RaftMessage[]
  readonly readies: readonly Ready[]
} {
  const messages: RaftMessage[] = []
  const readies: Ready[] = []
  while (raft.hasReady()) {
    const ready = raft.ready()
    readies.push(ready)
    messages.push(...ready.messages)
    if (ready.persist === null) continue
    writeToDisk(disk, ready.persist)
    raft.persisted()
    messages.push(...ready.persist.messages)
  }
  return { messages, readies }
}

/** A follower of `b` in term 2 with three entries. */
function follower(): Single & { readonly entries: readonly Entry[] } {
  const disk = createDisk({ voters: ['a', 'b', 'c'], learners: [] })
  const single = open('a', disk)
  const entries = [...disk.entries]
  for (const text of ['x', 'y', 'z']) entries.push(next(entries, 2, text))
  single.raft.step(append(entries, { after: 1, through: 3, term: 2, commit: 2 }))
  settle(single)
  return { ...single, entries }
}

function next(entries: readonly Entry[], term: number, text: string): Entry {
  const draft = { index: entries.length + 1, term, kind: 'command', payload: Buffer.from(text) } as const
  return { ...draft, hash: hashEntry(entries.at(-1)?.hash ?? genesisHash, draft) }
}

function append(
  entries: readonly Entry[],
  range: { readonly after: number; readonly through: number; readonly term: number; readonly commit: number },
): RaftMessage {
  const { after: previousIndex, term, commit } = range
  const previousTerm = entries[previousIndex - 1]?.term ?? 0
  const carried = entries.slice(previousIndex, range.through)
  return { type: 'append', from: 'b', to: 'a', term, previousIndex, previousTerm, entries: carried, commit }
}

t.test('the first entry of a partition is its configuration in term 1, chained to nothing', t => {
  const configuration = { voters: ['b', 'a'], learners: ['c'] }
  const entry = bootstrapEntry({ configuration, hashEntry })
  t.match(entry, { index: 1, term: 1, kind: 'config' })
  t.same(decodeConfiguration(entry.payload), { voters: ['a', 'b'], learners: ['c'] })
  t.same(entry.hash, hashEntry(genesisHash, entry))
  t.end()
})

t.test('R10: an entry whose hash does not follow from the one before stops the node and is named', t => {
  const { raft, entries } = follower()
  const [, , , last] = entries
  if (last === undefined) throw new Error('the fixture has four entries')
  const forged = [...entries.slice(0, 3), { ...last, payload: Buffer.from('forged') }]
  const bad = append(forged, { after: 3, through: 4, term: 2, commit: 2 })
  t.throws(() => raft.step(bad), { name: 'InvariantError', message: /entry 4 of term 2 .* hash/ })
  t.equal(raft.status().lastIndex, 3)
  t.end()
})

t.test('R10: an entry that is here with another hash stops the node and is named', t => {
  const { raft, entries } = follower()
  const [first, second] = entries
  if (first === undefined || second === undefined) throw new Error('the fixture has four entries')
  const diverged = [first, next([first], 2, 'other')]
  const bad = append(diverged, { after: 1, through: 2, term: 2, commit: 1 })
  t.throws(() => raft.step(bad), {
    name: 'InvariantError',
    message: /entry 2 of term 2 is here with another hash/,
  })
  t.end()
})

t.test('R4: entries at or below the commit index are never truncated: the node stops', t => {
  const { raft, entries } = follower()
  t.equal(raft.status().commitIndex, 2)
  const [first] = entries
  if (first === undefined) throw new Error('the fixture has four entries')
  const conflict = [first, next([first], 3, 'conflict')]
  const bad = append(conflict, { after: 1, through: 2, term: 3, commit: 1 })
  t.throws(() => raft.step(bad), { name: 'InvariantError', message: /from 2 .* 2 is committed/ })
  t.end()
})

t.test('R4: an append that starts below the commit index, and matches, is taken', t => {
  const single = follower()
  single.raft.step(append(single.entries, { after: 0, through: 4, term: 2, commit: 4 }))
  const { messages, readies } = settle(single)
  t.match(messages, [{ type: 'append-response', accepted: true, index: 4 }])
  t.same(readies[0]?.persist?.truncateFrom, null)
  t.same(
    readies[0]?.persist?.entries.map(entry => entry.index),
    [4],
  )
  t.equal(single.raft.status().commitIndex, 4)
  t.end()
})

t.test('R1: what is committed is not acted upon before it is durable here', t => {
  const { raft, disk, entries } = follower()
  raft.step(append(entries, { after: 3, through: 4, term: 2, commit: 4 }))
  const ready = raft.ready()
  t.same(ready.committed, { from: 3, to: 3 })
  t.same(ready.messages, [], 'and the acknowledgement waits for the write')
  if (ready.persist === null) throw new Error('nothing to write')
  t.match(ready.persist.messages, [{ type: 'append-response', accepted: true, index: 4 }])
  writeToDisk(disk, ready.persist)
  raft.persisted()
  t.same(raft.ready().committed, { from: 4, to: 4 })
  t.end()
})

t.test('R1: an acknowledgement of nothing new waits for the write under way too', t => {
  const { raft, entries } = follower()
  raft.step(append(entries, { after: 3, through: 4, term: 2, commit: 2 }))
  t.ok(raft.ready().persist)
  raft.step(append(entries, { after: 3, through: 4, term: 2, commit: 2 }))
  t.notOk(raft.hasReady())
  raft.persisted()
  t.match(raft.ready(), { persist: null, messages: [{ type: 'append-response', index: 4 }] })
  t.end()
})

t.test('R1: the commit index alone is no reason to write', t => {
  const single = follower()
  single.raft.step({ type: 'heartbeat', from: 'b', to: 'a', term: 2, commit: 3, readRound: 0 })
  const { readies } = settle(single)
  t.match(readies, [{ persist: null, committed: { from: 3, to: 3 } }])
  t.equal(single.disk.hardState.commit, 2)
  t.end()
})

t.test('R3: the term of a heartbeat is durable before it is acknowledged with an append', t => {
  const { raft, entries } = follower()
  raft.step(append(entries, { after: 3, through: 3, term: 5, commit: 2 }))
  const ready = raft.ready()
  t.same(ready.messages, [])
  t.match(ready.persist, {
    hardState: { term: 5, vote: null },
    messages: [{ type: 'append-response', term: 5 }],
  })
  t.end()
})

t.test('R1: a promise that a later term made void is not sent', t => {
  const { raft, entries } = follower()
  raft.step(append(entries, { after: 3, through: 4, term: 2, commit: 2 }))
  raft.step({ type: 'heartbeat', from: 'c', to: 'a', term: 3, commit: 2, readRound: 0 })
  const { persist } = raft.ready()
  t.match(persist, { hardState: { term: 3 } })
  t.same(persist?.messages, [])
  t.end()
})

t.test("R1, R3: a candidate's own vote counts with the write that holds it, not with an earlier one", t => {
  const disk = createDisk({ voters: ['a', 'b'], learners: [] })
  const { raft } = open('a', disk)
  const alone = { voters: ['a'], learners: [] }
  const draft = { index: 2, term: 2, kind: 'config', payload: encodeConfiguration(alone) } as const
  const entries = [...disk.entries]
  entries.push({ ...draft, hash: hashEntry(entries[0]?.hash ?? genesisHash, draft) })
  raft.step(append(entries, { after: 1, through: 2, term: 2, commit: 2 }))
  t.match(raft.ready().persist, { entries: [{ index: 2 }] })
  for (let tick = 0; tick < 20; tick += 1) raft.tick()
  t.match(raft.status(), { role: 'candidate', term: 3 })
  raft.persisted()
  t.match(raft.status(), { role: 'candidate', term: 3 })
  t.match(raft.ready().persist, { hardState: { term: 3, vote: 'a' } })
  raft.persisted()
  t.match(raft.status(), { role: 'leader', term: 3 })
  t.end()
})

t.test('R4: a follower commits only what the append showed to match, not its own suffix', t => {
  const single = follower()
  const [first, second] = single.entries
  if (first === undefined || second === undefined) throw new Error('the fixture has four entries')
  // The leader of term 3 has other entries from 3 on, and has committed 4 of them.
  single.raft.step(append(single.entries, { after: 1, through: 2, term: 3, commit: 4 }))
  t.match(single.raft.status(), { commitIndex: 2, lastIndex: 3 })
  t.end()
})

t.test('R8: a learner that lags by more than a thousand entries is not promoted', t => {
  const single = open('a', createDisk({ voters: ['a'], learners: ['b'] }))
  const promote = () => single.raft.changeConfiguration({ type: 'promote', id: 'b' })
  const hold = (index: number): void => {
    const answer = { accepted: true, index, hintIndex: 0, hintTerm: 0 } as const
    single.raft.step({ type: 'append-response', from: 'b', to: 'a', term: 2, ...answer })
  }
  single.raft.campaign()
  settle(single)
  t.same(promote(), { type: 'refused', reason: 'not-caught-up' })
  hold(2)
  for (let count = 0; count < 1001; count += 1) single.raft.propose(Buffer.from('x'))
  settle(single)
  t.same(promote(), { type: 'refused', reason: 'not-caught-up' })
  hold(3)
  t.match(promote(), { type: 'appended', index: 1004 })
  t.end()
})

t.test('R11: a pre-vote granted for another term does not count', t => {
  const single = open('a', createDisk({ voters: ['a', 'b', 'c'], learners: [] }))
  single.raft.campaign()
  single.raft.step({ type: 'pre-vote-response', from: 'b', to: 'a', term: 5, granted: true })
  t.match(single.raft.status(), { role: 'pre-candidate', term: 1 })
  t.end()
})

t.test('R11: a follower that hears its leader votes for nobody else, unless the leader asked for it', t => {
  const vote = {
    type: 'vote',
    from: 'c',
    to: 'a',
    term: 7,
    lastIndex: 9,
    lastTerm: 2,
    transfer: false,
  } as const
  const single = follower()
  single.raft.step(vote)
  t.match(single.raft.status(), { term: 2, leader: 'b' })
  t.same(settle(single).messages, [])
  single.raft.step({ ...vote, transfer: true })
  t.match(settle(single).messages, [{ type: 'vote-response', term: 7, granted: true }])
  t.end()
})

t.test('R8: a learner is a learner after a restart, and a fresh replica never stands', t => {
  const learner = open('c', createDisk({ voters: ['a', 'b'], learners: ['c'] }))
  const fresh = open('z', createDisk())
  for (const single of [learner, fresh]) {
    for (let tick = 0; tick < 100; tick += 1) single.raft.tick()
    single.raft.campaign()
    t.equal(single.raft.status().role, 'follower')
    t.same(settle(single).messages, [])
  }
  t.end()
})

t.test('R9: another storage is another replica, whose votes do not count', t => {
  const disk = createDisk({ voters: ['p/1', 'q/1', 'r/1'], learners: [] })
  const single = open('p/1', disk)
  const answer = { to: 'p/1', term: 2, granted: true } as const
  single.raft.campaign()
  single.raft.step({ type: 'pre-vote-response', from: 'q/2', ...answer })
  t.equal(single.raft.status().role, 'pre-candidate')
  single.raft.step({ type: 'pre-vote-response', from: 'q/1', ...answer })
  settle(single)
  t.equal(single.raft.status().role, 'candidate')
  single.raft.step({ type: 'vote-response', from: 'q/2', ...answer })
  t.equal(single.raft.status().role, 'candidate')
  single.raft.step({ type: 'vote-response', from: 'q/1', ...answer })
  t.equal(single.raft.status().role, 'leader')
  t.end()
})

t.test('R11: election timeouts are drawn anew from [electionTicks, 2 × electionTicks)', t => {
  const waits = new Set<number>()
  const single = open('a', createDisk({ voters: ['a', 'b', 'c'], learners: [] }))
  for (let attempt = 0; attempt < 200; attempt += 1) {
    let ticks = 0
    do {
      single.raft.tick()
      ticks += 1
    } while (settle(single).messages.length === 0 && ticks < 100)
    waits.add(ticks)
  }
  t.same(
    [...waits].sort((a, b) => a - b),
    [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
  )
  t.end()
})

t.test('R13: entries that no longer fit in memory are read from the disk, in one sequence', t => {
  const single = open('a', createDisk({ voters: ['a'], learners: [] }))
  single.raft.campaign()
  settle(single)
  const payloads = Array.from({ length: 40 }, (_, place) => Buffer.alloc(100_000, place))
  for (const payload of payloads) {
    t.match(single.raft.propose(payload), { type: 'appended' })
    settle(single)
  }
  const { lastIndex, commitIndex } = single.raft.status()
  t.equal(commitIndex, lastIndex)
  const seen: Entry[] = []
  while (seen.length < lastIndex) {
    const batch = single.raft.entries(seen.length + 1, lastIndex, 350_000)
    t.ok(batch.length >= 1 && batch.length <= 5, `${batch.length} entries from ${seen.length + 1}`)
    seen.push(...batch)
  }
  t.same(seen, single.disk.entries)
  t.equal(single.raft.entries(5, 9, 1).length, 1, 'at least one')
  t.throws(() => single.raft.entries(0, 1, 1), InvariantError)
  t.throws(() => single.raft.entries(1, lastIndex + 1, 1), InvariantError)
  t.end()
})

t.test('R13: a proposal is refused past the bound of uncommitted bytes, and taken again after commits', t => {
  const single = open('a', createDisk({ voters: ['a'], learners: [] }))
  single.raft.campaign()
  settle(single)
  const big = Buffer.alloc(9 * 1024 * 1024)
  t.match(single.raft.propose(big), { type: 'appended' }, 'alone it may be larger than the bound')
  t.same(single.raft.propose(Buffer.from('x')), { type: 'refused', reason: 'overloaded' })
  settle(single)
  t.match(single.raft.propose(Buffer.from('x')), { type: 'appended' })
  t.end()
})

t.test('R13: reads that wait are bounded', t => {
  const single = open('a', createDisk({ voters: ['a', 'b'], learners: [] }))
  single.raft.campaign()
  single.raft.step({ type: 'pre-vote-response', from: 'b', to: 'a', term: 2, granted: true })
  settle(single)
  single.raft.step({ type: 'vote-response', from: 'b', to: 'a', term: 2, granted: true })
  let taken = 0
  while (taken < 20_000 && single.raft.readIndex(taken)) taken += 1
  t.equal(taken, 10_000)
  t.end()
})

t.test('a stored state that contradicts itself is refused at the start', t => {
  const configuration = { voters: ['a'], learners: [] }
  const commitBeyond = createDisk(configuration)
  commitBeyond.hardState = { term: 1, vote: null, commit: 2 }
  t.throws(() => open('a', commitBeyond), { message: /commit index 2 lies beyond the last entry 1/ })
  const termBehind = createDisk(configuration)
  termBehind.hardState = { term: 0, vote: null, commit: 1 }
  t.throws(() => open('a', termBehind), { message: /last entry is of term 1, but the stored term is 0/ })
  t.end()
})

t.test('the same inputs give the same outputs', t => {
  const run = (): readonly Ready[] => {
    const single = open('a', createDisk({ voters: ['a', 'b', 'c'], learners: [] }), 7)
    const all: Ready[] = []
    for (let tick = 0; tick < 100; tick += 1) {
      single.raft.tick()
      if (tick === 50)
        single.raft.step({ type: 'pre-vote-response', from: 'b', to: 'a', term: 2, granted: true })
      if (tick === 60) single.raft.step({ type: 'vote-response', from: 'c', to: 'a', term: 2, granted: true })
      all.push(...settle(single).readies)
    }
    return all
  }
  t.same(run(), run())
  t.ok(run().length > 5)
  t.end()
})
