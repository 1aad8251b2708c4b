// Claims about reading: ranges, limits, heads, snapshots, listings.
import type { SharedSnapshot, SharedStore } from '../../store/shared-store.ts'
import {
  appendTo,
  expectEqual,
  idsIn,
  inShort,
  key,
  mustAppend,
  mustAppendRows,
  plainRows,
  rowsOf,
  type SharedStoreClaim,
} from './claim.ts'

export const readClaims: readonly SharedStoreClaim[] = [
  {
    name: 'readLog gives whole entries, at least one, at most about the limit',
    async check({ open }) {
      const store = await open()
      const [id = ''] = idsIn(1, 1)
      // Events per entry: index 1 has 1, 2 has 2, 3 has 3, 4 has 1, 5 has 4.
      let sequence = 0
      for (const events of [1, 2, 3, 1, 4]) {
        await mustAppend(store, appendTo(id, sequence, `c${sequence}`, { events }))
        sequence += events
      }
      for (const [afterIndex, limit, expected] of [
        [0, 100, '1.0 2.0 2.1 3.0 3.1 3.2 4.0 5.0 5.1 5.2 5.3'],
        [0, 1, '1.0'],
        [1, 1, '2.0 2.1'],
        [0, 2, '1.0'],
        [0, 3, '1.0 2.0 2.1'],
        [0, 5, '1.0 2.0 2.1'],
        [0, 6, '1.0 2.0 2.1 3.0 3.1 3.2'],
        [2, 3, '3.0 3.1 3.2'],
        [4, 2, '5.0 5.1 5.2 5.3'],
        [5, 10, ''],
        [99, 10, ''],
      ] as const) {
        const rows = await store.readLog(1, { afterIndex, limit })
        expectEqual({
          did: `readLog(1, { afterIndex: ${afterIndex}, limit: ${limit} }) of entries with 1, 2, 3, 1 and 4 events; told as index.offset`,
          expected,
          came: rows.map(row => `${row.index}.${row.offset}`).join(' '),
          advice:
            'an entry is all events of one append: never a part of one; stop before the limit would be passed, but give the first entry in any case',
        })
      }
      expectEqual({
        did: 'readLog of a partition without entries',
        expected: [],
        came: [...(await store.readLog(2, { afterIndex: 0, limit: 10 }))],
        advice: 'partitions are apart',
      })
    },
  },
  {
    name: 'readStream gives the range that was asked for',
    async check({ open }) {
      const store = await open()
      const rows = [
        ...(await mustAppendRows(store, appendTo('a', 0, 'c1', { events: 3 }))),
        ...(await mustAppendRows(store, appendTo('a', 3, 'c2', { events: 4 }))),
      ]
      await mustAppend(store, appendTo('b', 0, 'c1'))
      await mustAppend(store, appendTo('a', 0, 'c1', { type: 'customer' }))
      for (const [fromSequence, limit, from, to] of [
        [1, 100, 0, 7],
        [0, 100, 0, 7],
        [3, 2, 2, 4],
        [7, 5, 6, 7],
        [8, 5, 7, 7],
        [1, 1, 0, 1],
      ] as const) {
        expectEqual({
          did: `readStream({ fromSequence: ${fromSequence}, limit: ${limit} }) of an aggregate with 7 events`,
          expected: rows.slice(from, to),
          came: plainRows(await store.readStream(key('a'), { fromSequence, limit })),
          advice:
            'events of this aggregate (type and id) by sequence, fromSequence is the first, at most limit; an entry may be cut here',
        })
      }
      expectEqual({
        did: 'readStream of an aggregate that does not exist',
        expected: [],
        came: [...(await store.readStream(key('nobody'), { fromSequence: 1, limit: 10 }))],
        advice: 'an unknown aggregate has no events; it is no error',
      })
    },
  },
  {
    name: 'sequences, readCommand, heads and statistics tell what is there',
    async check({ open }) {
      const store = await open()
      const [one = '', two = ''] = idsIn(1, 2)
      const [three = ''] = idsIn(3, 1)
      const first = appendTo(one, 0, 'c1', { events: 3 })
      const firstIndex = await mustAppend(store, first)
      await mustAppend(store, appendTo(two, 0, 'c1'))
      await mustAppend(store, appendTo(one, 3, 'c2'))
      await mustAppend(store, appendTo(three, 0, 'c1', { events: 2 }))
      const did =
        'append 3 and 1 events to one aggregate, 1 to a second of the same partition, 2 to a third of another'
      expectEqual({
        did: `${did}; sequences() of the third, an unknown one, the first, the first again`,
        expected: [2, 0, 4, 4],
        came: [...(await store.sequences([key(three), key('nobody'), key(one), key(one)]))],
        advice: 'one number for each aggregate asked for, in the order asked, 0 for unknown ones',
      })
      expectEqual({
        did: 'sequences([])',
        expected: [],
        came: [...(await store.sequences([]))],
        advice: 'nothing asked, nothing told',
      })
      expectEqual({
        did: `${did}; readCommand() of the command with 3 events`,
        expected: rowsOf(first, firstIndex),
        came: plainRows(await store.readCommand(key(one), 'c1')),
        advice: 'all events that the command id led to in this aggregate, by offset',
      })
      expectEqual({
        did: `${did}; readCommand() of an unknown command id`,
        expected: [],
        came: [...(await store.readCommand(key(two), 'c2'))],
        advice: 'a command id counts for its aggregate only; unknown is an empty list',
      })
      expectEqual({
        did: `${did}; heads()`,
        expected: new Map([
          [1, 3],
          [3, 1],
        ]),
        came: new Map([...(await store.heads())].toSorted(([a], [b]) => a - b)),
        advice: 'a Map of partition and last index, with the partitions that have one',
      })
      const { events, aggregates } = await store.statistics()
      expectEqual({
        did: `${did}; statistics()`,
        expected: { events: 7, aggregates: 3 },
        came: { events, aggregates },
        advice: 'count all events, and the aggregates that have one',
      })
    },
  },
  {
    name: 'of snapshots the one with the highest sequence is kept, of equals the last',
    async check({ open }) {
      const store = await open()
      const other = await open()
      const snapshot = (sequence: number, more: Partial<SharedSnapshot> = {}): SharedSnapshot => ({
        aggregate: key('a'),
        sequence,
        state: `{"at":${sequence}}`,
        definition: 'v1',
        timeMs: 1_700_000_000_000 + sequence,
        ...more,
      })
      expectEqual({
        did: 'latestSnapshot() of an aggregate that has none',
        expected: undefined,
        came: await store.latestSnapshot(key('a')),
        advice: 'none is undefined, not null',
      })
      const rebuilt = snapshot(30, { definition: 'v2', state: '{"text":"\\u0000 😀 \u2028"}' })
      const ofB = snapshot(2, { aggregate: key('b') })
      for (const [did, written, expected] of [
        ['one at 10', [snapshot(10)], snapshot(10)],
        ['in one call those at 30 and 20', [snapshot(30), snapshot(20)], snapshot(30)],
        ['an older one, at 29', [snapshot(29, { definition: 'v2' })], snapshot(30)],
        ['another at 30, of another definition', [rebuilt], rebuilt],
        ['none', [], rebuilt],
        ['one of another aggregate', [ofB], rebuilt],
      ] as const) {
        await store.writeSnapshots(written)
        expectEqual({
          did: `writeSnapshots() of ${did}, then latestSnapshot() with another store object`,
          expected,
          came: plainSnapshot(await other.latestSnapshot(key('a'))),
          advice: 'replace a snapshot when the new sequence is the same or higher; keep every field',
        })
      }
    },
  },
  {
    name: 'aggregates are listed by type and id in the order of their bytes, page by page',
    async check({ open }) {
      const store = await open()
      const ids = ['b', 'a', 'Z', 'é', 'a b', 'a-', '\uff61', '😀', 'aa', '10', '9']
      for (const [number, id] of ids.entries()) {
        await mustAppend(store, appendTo(id, 0, 'c', { events: 1 + number }))
      }
      await mustAppend(store, appendTo('x', 0, 'c', { type: 'Basket' }))
      await mustAppend(store, appendTo('a', 0, 'c', { type: 'zebra' }))
      await mustAppend(store, appendTo('a', 0, 'c', { type: 'account2' }))
      const inOrder = ['10', '9', 'Z', 'a', 'a b', 'a-', 'aa', 'b', 'é', '\uff61', '😀'].map(id => ({
        ...key(id),
        sequence: ids.indexOf(id) + 1,
      }))
      const all = [
        { type: 'Basket', id: 'x', sequence: 1 },
        ...inOrder,
        { type: 'account2', id: 'a', sequence: 1 },
        { type: 'zebra', id: 'a', sequence: 1 },
      ]
      const advice =
        'order by (type, id) as bytes of UTF-8 (in SQL: collate "C"), not by a language and not by UTF-16; after is exclusive, on the pair of type and id'
      const list = async (filter: Parameters<SharedStore['aggregates']>[0]) =>
        Array.from(await store.aggregates(filter), ({ type, id, sequence }) => ({ type, id, sequence }))
      expectEqual({
        did: 'aggregates({ limit: 100 })',
        expected: all,
        came: await list({ limit: 100 }),
        advice,
      })
      expectEqual({
        did: 'aggregates({ type: "account", limit: 100 }), beside an account2',
        expected: inOrder,
        came: await list({ type: 'account', limit: 100 }),
        advice: 'type is compared as a whole',
      })
      expectEqual({
        did: 'aggregates({ type: "nothing", limit: 100 })',
        expected: [],
        came: await list({ type: 'nothing', limit: 100 }),
        advice: 'type is compared as a whole',
      })
      for (const type of [undefined, 'account']) {
        const wanted = type === undefined ? all : inOrder
        const paged: typeof all = []
        for (let page = 0; page <= wanted.length; page += 1) {
          const after = paged.at(-1)
          const more = await list({
            limit: 3,
            ...(type !== undefined && { type }),
            ...(after && { after: { type: after.type, id: after.id } }),
          })
          paged.push(...more)
          if (more.length < 3) break
        }
        expectEqual({
          did: `aggregates() in pages of 3, each after the last of the page before, type ${inShort(type)}`,
          expected: wanted,
          came: paged,
          advice,
        })
      }
    },
  },
]

function plainSnapshot(found: SharedSnapshot | undefined): SharedSnapshot | undefined {
  if (found === undefined) return undefined
  const { aggregate, sequence, state, definition, timeMs } = found
  return { aggregate: { type: aggregate.type, id: aggregate.id }, sequence, state, definition, timeMs }
}
