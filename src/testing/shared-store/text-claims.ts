// Claims about texts: what goes in comes out, character for character, and what cannot be kept is refused.
import { isDeepStrictEqual } from 'node:util'
import { hasCode } from '../../core/errors.ts'
import type { Append } from '../../store/shared-store.ts'
import {
  appendTo,
  at,
  BrokenClaim,
  binding,
  expectEqual,
  expectError,
  inShort,
  key,
  mustAppend,
  mustAppendRows,
  plainResults,
  plainRows,
  rowsOf,
  type SharedStoreClaim,
} from './claim.ts'

/** All of them JSON, and none that a parser and a serializer would leave as it is. */
const oddTexts = [
  '{ "spaces" :  1 }',
  '{"b":1,"a":2,"a":3}',
  '[1e400,-0,0.1000000000000000055,12345678901234567890,1.0,1E5]',
  '"\\u0000\\ud800\\u2028\\/"',
  '"\u2028 äöü 漢字 😀 e\u0301 \u00e9 \ufeff \u007f \u0080"',
  '"quotes \' \\" \\\\ {} ,  %s $1 ? ; -- /* NULL \\\\N"',
  '"\\\\x41 {\\"{,}\\"}"',
  'null',
  '"NULL"',
  '""',
  '"   "',
  '{}',
  'true',
  '0',
]

export const textClaims: readonly SharedStoreClaim[] = [
  {
    name: 'data and metadata come back as the same text, character for character',
    async check({ open }) {
      const store = await open()
      const appends = oddTexts.map((text, number): Append => {
        const append = appendTo('a', number * 2, `c${number}`, { events: 2, data: text })
        return { ...append, metadata: number % 2 === 0 ? '{}' : `{"text":${oddTexts[4]},"n":"\\u0000"}` }
      })
      // One by one and in one call: these are often two ways through a store.
      const rows = await mustAppendRows(store, at(appends, 0))
      const results = await store.append(appends.slice(1))
      for (const [place, result] of results.entries()) {
        if (result.type === 'appended') rows.push(...rowsOf(at(appends, place + 1), result.index))
      }
      const came = plainRows(await store.readStream(key('a'), { fromSequence: 1, limit: 100 }))
      for (const [number, text] of oddTexts.entries()) {
        expectEqual({
          did: `append an event whose data is the text ${text}, then readStream`,
          expected: rows.slice(number * 2, number * 2 + 2),
          came: came.slice(number * 2, number * 2 + 2),
          advice:
            'keep data and metadata as text: do not parse them, and no jsonb column, which forgets spaces, order and digits',
        })
      }
    },
  },
  {
    name: 'names that look alike are different, and odd ones come back as they are',
    async check({ open }) {
      const store = await open()
      const ids = [
        'a',
        'A',
        'a ',
        ' a',
        'a%',
        'a_',
        "a'",
        'a"',
        'a\\',
        'a/b',
        'é',
        'e\u0301',
        '😀',
        'null',
        'NULL',
        '0',
        '00',
        '{a}',
        'a,b',
        '$1',
        'x'.repeat(256),
        'x'.repeat(255),
      ]
      for (const id of ids) await mustAppend(store, appendTo(id, 0, id))
      expectEqual({
        did: `append to aggregates with the ids ${inShort(ids)}, then sequences() of all`,
        expected: ids.map(() => 1),
        came: [...(await store.sequences(ids.map(id => key(id))))],
        advice:
          'compare names byte for byte: no case folding, no trimming, no Unicode normalisation, no LIKE',
      })
      for (const id of ids) {
        const rows = await store.readCommand(key(id), id)
        expectEqual({
          did: `readCommand() of the aggregate ${inShort(id)} and the command id ${inShort(id)}`,
          expected: [[id, id]],
          came: rows.map(row => [row.aggregateId, row.commandId]),
          advice: 'names come back as they were written; they have up to 256 bytes',
        })
      }
    },
  },
  {
    name: 'a text that cannot be kept is refused with INVALID_ARGUMENT, or kept, but never altered',
    async check({ open }) {
      const store = await open()
      for (const [number, [did, data]] of (
        [
          ['the character NUL', '"\u0000"'],
          ['half a character (a lone surrogate)', '"\ud800"'],
        ] as const
      ).entries()) {
        const append = appendTo(`a${number}`, 0, 'c', { data })
        let results: readonly unknown[]
        try {
          results = plainResults(await store.append([append]))
        } catch (error) {
          if (hasCode(error, 'INVALID_ARGUMENT')) continue
          throw error
        }
        const [row] = await store.readStream(append.aggregate, { fromSequence: 1, limit: 1 })
        if (row?.data === data) continue
        throw new BrokenClaim({
          did: `append an event whose data contains ${did} itself, which is no JSON`,
          expected: 'INVALID_ARGUMENT, or the same text when it is read',
          came: `${inShort(results)}, and the data read is ${inShort(row?.data)}`,
          advice: 'check texts before you write them; checkAppends() of glyn-node does it',
        })
      }
    },
  },
  {
    name: 'what makes no sense is refused, and leaves nothing behind',
    async check({ open }) {
      const store = await open()
      const good = appendTo('good', 0, 'c1')
      for (const [did, bad] of [
        ['no events', { ...appendTo('a', 0, 'c'), events: [] }],
        ['partition 0', { ...appendTo('a', 0, 'c'), partition: 0 }],
        [
          'a partition beyond those of the binding',
          { ...appendTo('a', 0, 'c'), partition: binding.partitions + 1 },
        ],
        ['expectedSequence -1', appendTo('a', -1, 'c')],
        ['expectedSequence 0.5', appendTo('a', 0.5, 'c')],
        ['an empty aggregate id', appendTo('', 0, 'c')],
        ['an empty command id', appendTo('a', 0, '')],
      ] as const) {
        await expectError({
          did: `append a good one and one with ${did}`,
          code: 'INVALID_ARGUMENT',
          call: () => store.append([good, bad]),
          advice: 'check the whole call before you write any of it; checkAppends() of glyn-node does it',
        })
      }
      expectEqual({
        did: 'the same, then statistics()',
        expected: 0,
        came: (await store.statistics()).events,
        advice: 'check the whole call before you write any of it',
      })
    },
  },
  {
    name: 'big events, many events and far times are kept',
    async check({ open }) {
      const store = await open()
      const megabyte = appendTo('big', 0, 'c1', { data: `"${'x€😀'.repeat(116_000)}"` })
      const many = appendTo('many', 0, 'c1', { events: 1000 })
      const odd: Append = {
        ...appendTo('odd', 0, 'c1'),
        timeMs: 8_640_000_000_000_000,
        events: [{ type: 'Größe geändert', version: 2_147_483_647, data: '1' }],
      }
      const past: Append = { ...appendTo('odd', 1, 'c2'), timeMs: -1 }
      const expected = []
      for (const append of [megabyte, many, odd, past]) {
        expected.push(...rowsOf(append, await mustAppend(store, append)))
      }
      const came = []
      for (const id of ['big', 'many', 'odd']) {
        came.push(...plainRows(await store.readStream(key(id), { fromSequence: 1, limit: 2000 })))
      }
      for (const [place, row] of expected.entries()) {
        if (isDeepStrictEqual(row, came[place])) continue
        expectEqual({
          did: `append an event of 1 MiB, a command with 1,000 events, one of version 2,147,483,647 in the year 275760, one before 1970; event ${row.sequence} of ${row.aggregateId}`,
          expected: row,
          came: came[place],
          advice:
            'data has up to 1 MiB, a command up to 1,000 events, timeMs is a whole number of milliseconds (53 bits and a sign)',
        })
      }
      const row = expected.find(({ aggregateId }) => aggregateId === 'many')
      const log = await store.readLog(row?.partition ?? 0, { afterIndex: (row?.index ?? 0) - 1, limit: 1 })
      expectEqual({
        did: 'readLog with limit 1 at an entry of 1,000 events',
        expected: 1000,
        came: log.length,
        advice: 'an entry is never cut, however long it is',
      })
    },
  },
]
