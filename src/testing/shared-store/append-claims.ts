// Claims about appends: expected sequences, command ids, several in one call.
import { partitionOf } from '../../core/partition-of.ts'
import type { SharedStore } from '../../store/shared-store.ts'
import {
  appendTo,
  binding,
  expectEqual,
  key,
  mustAppend,
  plainResults,
  plainRows,
  readWhole,
  rowsOf,
  type SharedStoreClaim,
} from './claim.ts'

const sequenceOf = async (store: SharedStore, id: string): Promise<unknown> =>
  (await store.sequences([key(id)]))[0]

export const appendClaims: readonly SharedStoreClaim[] = [
  {
    name: 'events get the sequences 1, 2, 3 … of their aggregate, and come back as they were',
    async check({ open }) {
      const store = await open()
      const first = appendTo('a', 0, 'c1', { events: 2 })
      const second = appendTo('a', 2, 'c2', { events: 3 })
      const rows = [
        ...rowsOf(first, await mustAppend(store, first)),
        ...rowsOf(second, await mustAppend(store, second)),
      ]
      expectEqual({
        did: 'append 2 events, then 3 at expectedSequence 2, then readStream from 1',
        expected: rows,
        came: plainRows(await store.readStream(key('a'), { fromSequence: 1, limit: 10 })),
        advice: 'sequence is expectedSequence + 1 + offset; every other field is the one that was given',
      })
    },
  },
  {
    name: 'an append that expects another sequence than the last is a conflict, and writes nothing',
    async check({ open }) {
      const store = await open()
      await mustAppend(store, appendTo('a', 0, 'c1', { events: 3 }))
      for (const [expected, how] of [
        [2, 'too low: the sequence 3 exists'],
        [0, 'zero: the aggregate exists'],
        [4, 'too high: there is no sequence 4'],
        [400, 'much too high'],
      ] as const) {
        const did = `append at expectedSequence ${expected} to an aggregate at 3 (${how})`
        const advice =
          'compare expectedSequence with the last sequence in the same transaction that writes; when they differ, write nothing and return the last sequence'
        expectEqual({
          did,
          advice,
          expected: [{ type: 'conflict', sequence: 3 }],
          came: plainResults(await store.append([appendTo('a', expected, `x${expected}`)])),
        })
        expectEqual({
          did: `${did}, then sequences()`,
          advice,
          expected: 3,
          came: await sequenceOf(store, 'a'),
        })
      }
      expectEqual({
        did: 'append at expectedSequence 1 to an aggregate without events',
        expected: [{ type: 'conflict', sequence: 0 }],
        came: plainResults(await store.append([appendTo('b', 1, 'c')])),
        advice: 'an aggregate without events is at 0: a history must not begin with a gap',
      })
      expectEqual({
        did: 'the same, then aggregates()',
        expected: ['a'],
        came: (await store.aggregates({ limit: 10 })).map(({ id }) => id),
        advice: 'a refused append leaves no trace of its aggregate',
      })
      const again = await store.append([appendTo('a', 3, 'x2')])
      expectEqual({
        did: 'append at the right sequence with the command id of an append that was a conflict',
        expected: ['appended'],
        came: again.map(({ type }) => type),
        advice: 'a refused append does not use up its command id',
      })
    },
  },
  {
    name: 'a refused append uses up no index',
    async check({ open }) {
      const store = await open()
      const before = await mustAppend(store, appendTo('a', 0, 'c1'))
      await store.append([appendTo('a', 7, 'c2'), appendTo('a', 0, 'c1')])
      expectEqual({
        did: 'append, then a conflict and a duplicate, then append to the same aggregate',
        expected: before + 1,
        came: await mustAppend(store, appendTo('a', 1, 'c3')),
        advice:
          'take the index when the append is known to be written; a database sequence that is not given back leaves holes',
      })
    },
  },
  {
    name: 'a command id that the aggregate has already is a duplicate, with the events it led to',
    async check({ open }) {
      const store = await open()
      const first = appendTo('a', 0, 'c1', { events: 2 })
      const rows = rowsOf(first, await mustAppend(store, first))
      await mustAppend(store, appendTo('a', 2, 'c2'))
      const advice =
        'look the command id up in the history of this aggregate, in the transaction that writes; what is found is returned as { type: "duplicate", events }'
      for (const [did, append] of [
        ['append again what was appended, same command id', first],
        ['append with a known command id at the right sequence', appendTo('a', 3, 'c1', { events: 5 })],
        [
          'append with a known command id at a wrong sequence (duplicate comes before conflict)',
          appendTo('a', 9, 'c1'),
        ],
      ] as const) {
        expectEqual({
          did,
          advice,
          expected: [{ type: 'duplicate', events: rows }],
          came: plainResults(await store.append([append])),
        })
      }
      expectEqual({
        did: 'the same, then sequences()',
        advice: 'a duplicate writes nothing',
        expected: 3,
        came: await sequenceOf(store, 'a'),
      })
      expectEqual({
        did: 'append with a command id that another aggregate has',
        expected: ['appended'],
        came: (await store.append([appendTo('b', 0, 'c1')])).map(({ type }) => type),
        advice: 'command ids are unique per aggregate (type and id), not over all',
      })
      expectEqual({
        did: 'append with a command id that an aggregate of the same id and another type has',
        expected: ['appended'],
        came: (await store.append([appendTo('a', 0, 'c1', { type: 'customer' })])).map(({ type }) => type),
        advice: 'command ids are unique per aggregate (type and id), not over all',
      })
    },
  },
  {
    name: 'a command id twice in one call is a duplicate of the first',
    async check({ open }) {
      const store = await open()
      const append = appendTo('a', 0, 'c1', { events: 2 })
      const results = plainResults(await store.append([append, append, appendTo('a', 2, 'c1')]))
      expectEqual({
        did: 'one call with three appends that have one command id',
        expected: [
          { type: 'appended', index: 1 },
          { type: 'duplicate', events: rowsOf(append, 1) },
          { type: 'duplicate', events: rowsOf(append, 1) },
        ],
        came: results,
        advice: 'an append sees those before it in its call: also their command ids',
      })
    },
  },
  {
    name: 'appends of one call for one aggregate are made in their order, each on top of the one before',
    async check({ open }) {
      const store = await open()
      const appends = [
        appendTo('a', 0, 'c1', { events: 2 }),
        appendTo('a', 2, 'c2'),
        appendTo('a', 2, 'c3'),
        appendTo('a', 3, 'c4', { events: 2 }),
        appendTo('a', 9, 'c5'),
        appendTo('a', 5, 'c6'),
      ]
      const results = plainResults(await store.append(appends))
      expectEqual({
        did: 'one call that appends to one aggregate at 0 (two events), 2, 2 again, 3 (two events), 9, 5',
        expected: [
          { type: 'appended', index: 1 },
          { type: 'appended', index: 2 },
          { type: 'conflict', sequence: 3 },
          { type: 'appended', index: 3 },
          { type: 'conflict', sequence: 5 },
          { type: 'appended', index: 4 },
        ],
        came: results,
        advice:
          'judge each append by what those before it in the call have written; each is atomic by itself',
      })
      const written = appends.filter((_, number) => results[number]?.type === 'appended')
      expectEqual({
        did: 'the same, then readStream',
        expected: written.flatMap((append, place) => rowsOf(append, place + 1)),
        came: plainRows(await store.readStream(key('a'), { fromSequence: 1, limit: 100 })),
        advice: 'what was answered is what was written',
      })
    },
  },
  {
    name: 'in one call some are appended and others refused, each by itself, results in order',
    async check({ open }) {
      const store = await open()
      const old = appendTo('old', 0, 'c1')
      const index = await mustAppend(store, old)
      const appends = Array.from({ length: 60 }, (_, number) => {
        if (number % 3 === 1) return appendTo('old', 7, `x${number}`)
        if (number % 3 === 2) return { ...old, expectedSequence: number }
        return appendTo(`new-${number}`, 0, 'c1')
      })
      const results = plainResults(await store.append(appends))
      expectEqual({
        did: 'one call with 60 appends over all partitions: by turns a good one, a conflict, a duplicate',
        expected: appends.map((_, number) => {
          if (number % 3 === 1) return { type: 'conflict', sequence: 1 }
          if (number % 3 === 2) return { type: 'duplicate', events: rowsOf(old, index) }
          return { type: 'appended' }
        }),
        came: results.map(result => (result.type === 'appended' ? { type: result.type } : result)),
        advice: 'a refused append takes none of the others with it, and results[n] belongs to appends[n]',
      })
      expectEqual({
        did: 'the same, then sequences() of the good ones',
        expected: Array.from({ length: 20 }, () => 1),
        came: [
          ...(await store.sequences(Array.from({ length: 20 }, (_, number) => key(`new-${number * 3}`)))),
        ],
        advice: 'what was answered is what was written',
      })
    },
  },
  {
    name: 'one call may hold many appends over all partitions, and none',
    async check({ open }) {
      const store = await open()
      expectEqual({
        did: 'append([])',
        expected: [],
        came: [...(await store.append([]))],
        advice: 'no appends, no results, no error',
      })
      const appends = Array.from({ length: 1500 }, (_, number) =>
        appendTo(`a${number % 500}`, Math.floor(number / 500), `c${number}`),
      )
      const results = await store.append(appends)
      const next = new Map<number, number>()
      expectEqual({
        did: 'one call with 1,500 appends to 500 aggregates, three for each',
        expected: appends.map(({ aggregate }) => {
          const partition = partitionOf(aggregate, binding.partitions)
          const index = (next.get(partition) ?? 0) + 1
          next.set(partition, index)
          return { type: 'appended', index }
        }),
        came: plainResults(results),
        advice: 'the indexes of a partition follow the order of the appends in the call',
      })
      for (let partition = 1; partition <= binding.partitions; partition += 1) {
        const rows = appends
          .filter(append => append.partition === partition)
          .flatMap((append, place) => rowsOf(append, place + 1))
        expectEqual({
          did: `the same, then readLog(${partition}) to its end`,
          expected: rows,
          came: await readWhole(store, partition, 100),
          advice: 'what was answered is what was written, in that order',
        })
      }
    },
  },
]
