// What every local store promises, whichever adapter: one suite, run on each.
import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { InvariantError } from '../../src/core/assert.ts'
import type { StoredEvent } from '../../src/core/record.ts'
import { entryBytes } from '../../src/raft/entry-bytes.ts'
import { hashEntry } from '../../src/store/hash-entry.ts'
import { encodeRecord } from '../../src/store/record-codec.ts'
import type { LocalStore, Snapshot } from '../../src/store/store.ts'
import { verifyLog } from '../../src/store/verify-log.ts'
import { batchOf, createChain } from './entries.ts'

export interface ConformanceSubject {
  /** A new, empty store. Closed and removed by the test's teardown. */
  open(t: Test): Promise<LocalStore>
}

const everything = { afterIndex: 0, throughIndex: Number.MAX_SAFE_INTEGER, limit: 1000 }
const places = (events: readonly StoredEvent[]): string[] =>
  events.map(event => `${event.index}.${event.offset}`)

export async function testConformance(t: Test, subject: ConformanceSubject): Promise<void> {
  const open = subject.open

  await t.test('an empty store knows no partition, no setting and no event', async t => {
    const store = await open(t)
    t.match(store.storageId, /^[0-9a-f]{8}-[0-9a-f-]{27}$/, 'a UUID')
    t.strictSame(store.recover(), [])
    t.strictSame([...store.settings()], [])
    t.strictSame(store.readPartition(1, everything), [])
    t.strictSame(store.log(1).entries(1, 10, 1000), [])
    t.equal(store.log(1).term(1), undefined)
    t.equal(store.log(1).hash(1), undefined)
    t.equal(store.latestSnapshot({ type: 'a', id: 'b' }), undefined)
    t.strictSame(store.aggregates({ limit: 10 }), [])
    t.match(store.statistics(), { events: 0, entries: 0, commits: 0 })
  })

  await t.test('an entry of each kind comes back exactly as it was written', async t => {
    const store = await open(t)
    const chain = createChain()
    chain.noop()
    chain.config(['peer-b/s', 'peer-a/s'])
    chain.command('plain')
    chain.command('many', { events: 7 })
    chain.command('unicode äöü 漢字 😀', {
      data: '{"text":"\u2028 ünï 😀 \\u0000 \ufeff"}',
      metadata: '{"trace":"漢"}',
    })
    chain.command('bom', { data: '\ufeff{"begins":"with a byte order mark"}' })
    chain.command('large', { data: JSON.stringify('x'.repeat(300_000)) })
    await store.write(batchOf({ partitions: [{ partition: 3, entries: chain.entries }] }))
    t.strictSame(store.log(3).entries(1, 100, 10_000_000), chain.entries)
    for (const entry of chain.entries) {
      t.equal(store.log(3).term(entry.index), entry.term)
      t.strictSame(store.log(3).hash(entry.index), entry.hash)
    }
    t.equal(store.log(3).term(0), undefined)
    t.equal(store.log(3).term(8), undefined)
  })

  await t.test(
    'a record with a field of a newer version keeps its bytes, and its events are readable',
    async t => {
      const store = await open(t)
      const chain = createChain()
      const known = encodeRecord({
        aggregate: { type: 'bank_account', id: 'new' },
        commandId: 'c',
        firstSequence: 1,
        timeMs: 5,
        metadata: '{}',
        events: [{ type: 'Opened', version: 1, data: '{}' }],
      })
      // Field 100, length-delimited, three bytes.
      chain.append('command', Uint8Array.of(...known, 0xa2, 0x06, 3, 1, 2, 3))
      await store.write(batchOf({ partitions: [{ partition: 1, entries: chain.entries }] }))
      t.strictSame(store.log(1).entries(1, 1, 1000), chain.entries)
      t.match(store.readPartition(1, everything), [{ type: 'Opened', aggregateId: 'new', sequence: 1 }])
    },
  )

  await t.test('entries are read within a range and a number of bytes, but at least one', async t => {
    const store = await open(t)
    const chain = createChain()
    for (let number = 0; number < 10; number += 1) chain.command('a', { events: 1 + (number % 3) })
    await store.write(batchOf({ partitions: [{ partition: 1, entries: chain.entries }] }))
    const log = store.log(1)
    const indexes = (from: number, to: number, bytesMax: number): number[] =>
      log.entries(from, to, bytesMax).map(entry => entry.index)
    t.strictSame(indexes(3, 5, 1_000_000), [3, 4, 5])
    t.strictSame(indexes(9, 99, 1_000_000), [9, 10])
    t.strictSame(indexes(3, 5, 1), [3])
    const two = chain.entries.slice(2, 4).reduce((sum, entry) => sum + entryBytes(entry), 0)
    t.strictSame(indexes(3, 9, two), [3, 4], 'up to the bound')
    t.strictSame(indexes(3, 9, two - 1), [3], 'not beyond')
    t.strictSame(indexes(11, 12, 1000), [])
    const empty = createChain({ partition: 2 })
    for (let number = 0; number < 300; number += 1) empty.noop()
    await store.write(batchOf({ partitions: [{ partition: 2, entries: empty.entries }] }))
    t.equal(store.log(2).entries(1, 300, 6400).length, 100, 'an entry without a payload weighs something too')
  })

  await t.test('hard state, last index and configurations are recovered by partition', async t => {
    const store = await open(t)
    const chain = createChain()
    chain.config(['a/1'])
    chain.noop()
    chain.config(['a/1', 'b/2', 'c/3'])
    await store.write(
      batchOf({
        partitions: [
          { partition: 7, hardState: { term: 4, vote: 'a/1', commit: 0 } },
          { partition: 2, hardState: { term: 1, vote: null, commit: 2 }, entries: chain.entries },
        ],
      }),
    )
    t.strictSame(store.recover(), [
      {
        partition: 2,
        hardState: { term: 1, vote: null, commit: 2 },
        lastIndex: 3,
        configurations: [
          { index: 1, configuration: { voters: ['a/1'], learners: [] } },
          { index: 3, configuration: { voters: ['a/1', 'b/2', 'c/3'], learners: [] } },
        ],
      },
      { partition: 7, hardState: { term: 4, vote: 'a/1', commit: 0 }, lastIndex: 0, configurations: [] },
    ])
    await store.write(
      batchOf({ partitions: [{ partition: 2, hardState: { term: 1, vote: null, commit: 3 } }] }),
    )
    t.match(store.recover()[0], { hardState: { commit: 3 }, lastIndex: 3 }, 'only the commit index moved')
  })

  await t.test(
    'a truncation removes entries, events, command ids and configurations, and the log goes on',
    async t => {
      const store = await open(t)
      const chain = createChain()
      chain.config(['a/1'])
      chain.command('x', { events: 2 })
      await store.write(
        batchOf({
          partitions: [
            { partition: 1, hardState: { term: 1, vote: null, commit: 2 }, entries: chain.entries },
          ],
        }),
      )
      const doomed = [chain.command('x', { commandId: 'doomed' }), chain.config(['b/1']), chain.command('y')]
      await store.write(batchOf({ partitions: [{ partition: 1, entries: doomed }] }))
      t.match(store.statistics(), { events: 4, entries: 5 })
      chain.cut(3)
      chain.term = 2
      const better = chain.command('x', { commandId: 'better' })
      await store.write(
        batchOf({
          partitions: [
            {
              partition: 1,
              hardState: { term: 2, vote: 'b/1', commit: 3 },
              truncateFrom: 3,
              entries: [better],
            },
          ],
        }),
      )
      t.strictSame(store.log(1).entries(1, 9, 1_000_000), chain.entries)
      t.match(store.recover(), [{ lastIndex: 3, configurations: [{ index: 1 }] }])
      t.match(store.statistics(), { events: 3, entries: 3 })
      const x = { type: 'bank_account', id: 'x' }
      const readCommand = (commandId: string) =>
        store.readCommand(x, { partition: 1, commandId, throughIndex: 99 })
      t.strictSame(readCommand('doomed'), [])
      t.match(readCommand('better'), [{ index: 3, sequence: 3 }])
      t.strictSame(store.aggregates({ limit: 9 }), [{ ...x, sequence: 3 }])
      await store.write(batchOf({ partitions: [{ partition: 1, truncateFrom: 9 }] }))
      t.match(store.recover(), [{ lastIndex: 3 }], 'a truncation beyond the end removes nothing')
    },
  )

  await t.test(
    'an aggregate is read by sequence, from a sequence on, within a limit, never above an index',
    async t => {
      const store = await open(t)
      const chain = createChain()
      for (let number = 0; number < 5; number += 1) {
        chain.command('a', { events: 2 })
        chain.command('b')
      }
      await store.write(batchOf({ partitions: [{ partition: 1, entries: chain.entries }] }))
      const read = (fromSequence: number, throughIndex: number, limit = 100): number[] =>
        store
          .readAggregate(
            { type: 'bank_account', id: 'a' },
            { partition: 1, fromSequence, throughIndex, limit },
          )
          .map(event => event.sequence)
      t.strictSame(read(1, 10), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
      t.strictSame(read(4, 10, 3), [4, 5, 6])
      t.strictSame(read(1, 4), [1, 2, 3, 4])
      t.strictSame(read(11, 10), [])
      t.strictSame(read(0, 10, 1), [1])
      const other = { type: 'bank_account', id: 'nobody' }
      const range = { partition: 1, fromSequence: 1, throughIndex: 99, limit: 9 }
      t.strictSame(store.readAggregate(other, range), [])
      t.strictSame(store.readAggregate({ type: 'bank_account', id: 'a' }, { ...range, partition: 2 }), [])
      const [event] = store.readAggregate({ type: 'bank_account', id: 'a' }, { ...range, fromSequence: 2 })
      t.strictSame(event, {
        partition: 1,
        index: 1,
        offset: 1,
        aggregateType: 'bank_account',
        aggregateId: 'a',
        sequence: 2,
        type: 'CustomerDepositedCash',
        version: 1,
        data: '{"amount":100}',
        metadata: '{}',
        commandId: 'command-1-1-1',
        timeMs: 1_700_000_000_001,
      })
    },
  )

  await t.test('a command id leads to its events, of this aggregate only, never above an index', async t => {
    const store = await open(t)
    const chain = createChain()
    chain.command('a', { commandId: 'same' })
    chain.command('b', { commandId: 'same', events: 3 })
    await store.write(batchOf({ partitions: [{ partition: 1, entries: chain.entries }] }))
    const read = (id: string, commandId: string, throughIndex: number) =>
      places(store.readCommand({ type: 'bank_account', id }, { partition: 1, commandId, throughIndex }))
    t.strictSame(read('b', 'same', 2), ['2.0', '2.1', '2.2'])
    t.strictSame(read('a', 'same', 2), ['1.0'])
    t.strictSame(read('b', 'same', 1), [])
    t.strictSame(read('b', 'other', 2), [])
  })

  await t.test('a partition is read in whole entries, at least one, at most about the limit', async t => {
    const store = await open(t)
    const chain = createChain()
    chain.noop()
    for (const events of [2, 3, 1]) chain.command('a', { events })
    chain.config(['a/1'])
    chain.command('b', { events: 5 })
    await store.write(batchOf({ partitions: [{ partition: 1, entries: chain.entries }] }))
    const read = (afterIndex: number, throughIndex: number, limit: number): string[] =>
      places(store.readPartition(1, { afterIndex, throughIndex, limit }))
    t.strictSame(read(0, 3, 100), ['2.0', '2.1', '3.0', '3.1', '3.2'])
    t.strictSame(read(0, 9, 1), ['2.0', '2.1'], 'one whole entry, though it is above the limit')
    t.strictSame(read(0, 9, 2), ['2.0', '2.1'])
    t.strictSame(read(0, 9, 4), ['2.0', '2.1'])
    t.strictSame(read(0, 9, 5), ['2.0', '2.1', '3.0', '3.1', '3.2'])
    t.strictSame(read(3, 9, 3), ['4.0'])
    t.strictSame(read(4, 9, 3), ['6.0', '6.1', '6.2', '6.3', '6.4'])
    t.strictSame(read(4, 5, 3), [], 'nothing in a range of entries without events')
    t.strictSame(read(6, 9, 3), [])
  })

  await t.test('the newest snapshot of an aggregate wins, and one of other code always', async t => {
    const store = await open(t)
    const aggregate = { type: 'bank_account', id: 'a' }
    const snapshot = (sequence: number, definition = 'v1'): Snapshot => ({
      aggregate,
      sequence,
      index: sequence,
      partition: 1,
      state: `{"at":${sequence}}`,
      definition,
      timeMs: 1_700_000_000_000,
    })
    await store.write(batchOf({ snapshots: [snapshot(10)] }))
    t.strictSame(store.latestSnapshot(aggregate), snapshot(10))
    await store.write(batchOf({ snapshots: [snapshot(30), snapshot(20)] }))
    t.strictSame(store.latestSnapshot(aggregate), snapshot(30))
    await store.write(batchOf({ snapshots: [snapshot(15, 'v2')] }))
    t.strictSame(store.latestSnapshot(aggregate), snapshot(15, 'v2'))
    t.equal(store.latestSnapshot({ type: 'bank_account', id: 'b' }), undefined)
  })

  await t.test('kinds of events are counted, and what is truncated is not', async t => {
    const store = await open(t)
    const chain = createChain()
    chain.noop()
    chain.command('a', { events: 2 })
    chain.command('b', { type: 'Renamed', version: 2 })
    chain.command('a', { version: 2 })
    chain.command('c', { type: 'Closed' })
    await store.write(batchOf({ partitions: [{ partition: 1, entries: chain.entries }] }))
    const of = { aggregateType: 'bank_account' }
    const deposited = { ...of, eventType: 'CustomerDepositedCash', version: 1, events: 2, aggregates: 1 }
    const closed = { ...of, eventType: 'Closed', version: 1, events: 1, aggregates: 1 }
    const first = (partition: number, index: number) => ({ first: { partition, index } })
    const renamed = { ...of, eventType: 'Renamed', version: 2, events: 1, aggregates: 1, ...first(1, 3) }
    t.strictSame(store.eventKinds(), [
      { ...closed, ...first(1, 5) },
      { ...deposited, ...first(1, 2) },
      { ...deposited, version: 2, events: 1, aggregates: 0, ...first(1, 4) },
      renamed,
    ])
    chain.cut(4)
    chain.term += 1
    chain.noop()
    const second = createChain({ partition: 2 })
    second.command('d', { type: 'Closed' })
    second.command('e', { type: 'Renamed', version: 2 })
    const hardState = { term: 2, vote: null, commit: 0 }
    await store.write(
      batchOf({
        partitions: [
          { partition: 1, hardState, truncateFrom: 4, entries: chain.entries.slice(3) },
          { partition: 2, entries: second.entries },
        ],
      }),
    )
    t.strictSame(store.eventKinds(), [
      { ...closed, ...first(2, 1) },
      { ...deposited, ...first(1, 2) },
      { ...renamed, events: 2, aggregates: 2 },
    ])
  })

  await t.test('settings are set, replaced and removed', async t => {
    const store = await open(t)
    await store.write(batchOf({ settings: { cluster: 'one', name: 'n' } }))
    await store.write(batchOf({ settings: { cluster: 'two', name: null, absent: null } }))
    t.strictSame([...store.settings()], [['cluster', 'two']])
  })

  await t.test('aggregates are listed by type and id, as far as they are committed', async t => {
    const store = await open(t)
    const chain = createChain()
    for (const id of ['c', 'a', 'é', 'b', 'a']) chain.command(id, { events: 2 })
    await store.write(
      batchOf({
        partitions: [{ partition: 1, hardState: { term: 1, vote: null, commit: 3 }, entries: chain.entries }],
      }),
    )
    const list = (filter: { type?: string; limit: number; commitIndexOf?: () => number }): string[] =>
      store.aggregates(filter).map(({ id, sequence }) => `${id}:${sequence}`)
    t.strictSame(list({ limit: 9 }), ['a:2', 'c:2', 'é:2'], 'by the stored commit index')
    t.strictSame(list({ limit: 9, commitIndexOf: () => 5 }), ['a:4', 'b:2', 'c:2', 'é:2'])
    t.strictSame(list({ limit: 2, commitIndexOf: () => 5 }), ['a:4', 'b:2'])
    t.strictSame(list({ limit: 9, type: 'bank_account', commitIndexOf: () => 1 }), ['c:2'])
    t.strictSame(list({ limit: 9, type: 'bank', commitIndexOf: () => 5 }), [])
  })

  await t.test('batches become durable in the order of the calls', async t => {
    const store = await open(t)
    const chain = createChain()
    const order: number[] = []
    const writes = Array.from({ length: 50 }, async (_, number) => {
      const entries = [chain.command('a')]
      await store.write(
        batchOf({ partitions: [{ partition: 1, entries }], settings: { last: String(number) } }),
      )
      order.push(number)
      t.equal(
        places(store.readPartition(1, { ...everything, afterIndex: number })).includes(`${number + 1}.0`),
        true,
      )
    })
    await Promise.all(writes)
    t.strictSame(
      order,
      [...order].sort((a, b) => a - b),
    )
    t.equal(store.settings().get('last'), '49')
    t.match(store.recover(), [{ lastIndex: 50 }])
  })

  await t.test('the hash chain of a partition verifies', async t => {
    const store = await open(t)
    const chain = createChain()
    for (let number = 0; number < 40; number += 1) chain.command('a', { data: `"${'x'.repeat(100_000)}"` })
    await store.write(batchOf({ partitions: [{ partition: 1, entries: chain.entries }] }))
    const verify = (fromIndex: number, throughIndex: number) => {
      const steps = verifyLog(store.log(1), { fromIndex, throughIndex, hashEntry })
      const seen: number[] = []
      for (;;) {
        const step = steps.next()
        if (step.done === true) return { seen, fault: step.value }
        seen.push(step.value)
      }
    }
    const { seen, fault } = verify(1, 40)
    t.equal(fault, null)
    t.ok(seen.length > 2 && seen.at(-1) === 40, 'in steps')
    t.equal(verify(20, 40).fault, null)
    t.strictSame(verify(1, 41).fault, { index: 41, reason: 'it is missing' })
  })

  await t.test('what breaks an invariant is refused, leaves nothing behind, and is final', async t => {
    const chain = createChain()
    for (let number = 0; number < 3; number += 1) chain.command('a')
    const next = chain.command('a')
    const hardState = { term: 5, vote: 'a/1', commit: 2 }
    const again = encodeRecord({
      aggregate: { type: 'bank_account', id: 'a' },
      commandId: 'again',
      firstSequence: 3,
      timeMs: 1,
      metadata: '{}',
      events: [{ type: 'Deposited', version: 1, data: '{}' }],
    })
    const cases = [
      ['a gap', { entries: [{ ...next, index: 5 }] }, /append of index 5 after 3/],
      ['an index twice', { entries: [{ ...next, index: 3 }] }, /append of index 3 after 3/],
      ['a truncation of what is committed', { truncateFrom: 2 }, /truncate from 2, but 2 is committed/],
      ['a gap after a truncation', { truncateFrom: 3, entries: [next] }, /append of index 4 after 2/],
      ['a term that goes back', { hardState: { ...hardState, term: 4 } }, /term 4 after 5/],
      ['a second vote in a term', { hardState: { ...hardState, vote: 'b/1' } }, /vote for b\/1 in term 5/],
      [
        'a vote forgotten in its term',
        { hardState: { ...hardState, vote: null } },
        /vote for null in term 5/,
      ],
      ['a commit index that goes back', { hardState: { ...hardState, commit: 1 } }, /commit 1; allowed: 2/],
      ['a commit index beyond the log', { hardState: { ...hardState, commit: 4 } }, /commit 4; allowed: 2/],
      ['a sequence twice', { entries: [{ ...next, payload: again }] }, /exists/],
      ['a hash of another length', { entries: [{ ...next, hash: new Uint8Array(31) }] }, /31 bytes, not 32/],
    ] as const
    for (const [name, part, message] of cases) {
      const store = await open(t)
      await store.write(
        batchOf({ partitions: [{ partition: 1, hardState, entries: chain.entries.slice(0, 3) }] }),
      )
      const bad = batchOf({ partitions: [{ partition: 1, ...part }], settings: { left: 'behind' } })
      const error = await store.write(bad).then(
        () => null,
        error => error as Error,
      )
      t.ok(error instanceof InvariantError, name)
      t.match(error?.message, message, name)
      const good = batchOf({ partitions: [{ partition: 1, entries: [next] }] })
      t.equal(await store.write(good).catch(later => later), error, 'a later write fails with the same error')
      t.equal(store.settings().size, 0)
      t.match(store.recover(), [{ hardState, lastIndex: 3 }])
      await store.close()
    }
    const store = await open(t)
    const reserved = await store
      .write(batchOf({ settings: { storage_id: randomUUID() } }))
      .catch(error => error)
    t.ok(reserved instanceof InvariantError, 'the storage id is nobody else’s to set')
  })

  await t.test('after close, writes and closing are refused or ignored in peace', async t => {
    const store = await open(t)
    const chain = createChain()
    chain.command('a')
    const writing = store.write(batchOf({ partitions: [{ partition: 1, entries: chain.entries }] }))
    await store.close()
    await writing
    await store.close()
    await t.rejects(store.write(batchOf({})), { code: 'SHUTTING_DOWN' })
  })
}
