// Claims about atomic calls and about calls that are given up.
import { GlynError, hasCode } from '../../core/errors.ts'
import {
  appendTo,
  BrokenClaim,
  expectEqual,
  expectError,
  inShort,
  key,
  mustAppend,
  plainResults,
  type SharedStoreClaim,
} from './claim.ts'

export const transactionClaims: readonly SharedStoreClaim[] = [
  {
    name: 'an atomic call whose appends are all good is written',
    async check({ open }) {
      const store = await open()
      const appends = [
        ...Array.from({ length: 20 }, (_, number) => appendTo(`a${number}`, 0, 'c1')),
        appendTo('a0', 1, 'c2', { events: 2 }),
      ]
      expectEqual({
        did: 'append 21 appends over all partitions with isAtomic, two of them for one aggregate',
        expected: appends.map(() => 'appended'),
        came: (await store.append(appends, { isAtomic: true })).map(({ type }) => type),
        advice: 'isAtomic changes what happens when one is refused, and nothing else',
      })
      expectEqual({
        did: 'the same, then sequences()',
        expected: [3, 1, 1],
        came: [...(await store.sequences([key('a0'), key('a1'), key('a19')]))],
        advice: 'what was answered is what was written',
      })
    },
  },
  {
    name: 'an atomic call of which one is refused writes nothing, and says which and why',
    async check({ open }) {
      const store = await open()
      const before = await mustAppend(store, appendTo('old', 0, 'c1'))
      const good = Array.from({ length: 8 }, (_, number) => appendTo(`a${number}`, 0, 'c1'))
      const onTop = appendTo('old', 1, 'c2')
      for (const [did, appends, names] of [
        ['a conflict last', [...good, onTop, appendTo('old', 7, 'c3')], 'account/old'],
        ['a conflict first', [appendTo('old', 0, 'c3'), ...good], 'account/old'],
        [
          'a duplicate between them',
          [...good.slice(0, 4), appendTo('old', 1, 'c1'), ...good.slice(4)],
          'account/old',
        ],
        ['one command id twice', [...good, appendTo('a3', 1, 'c1')], 'account/a3'],
      ] as const) {
        const advice =
          'write all appends of an atomic call in one transaction, roll it back at the first that is refused, and throw TRANSACTION_ROLLED_BACK with a message that names its aggregate'
        try {
          const results = await store.append(appends, { isAtomic: true })
          throw new BrokenClaim({
            did: `append with isAtomic, ${did}`,
            expected: 'a GlynError with the code TRANSACTION_ROLLED_BACK',
            came: `no error, but ${inShort(plainResults(results))}`,
            advice,
          })
        } catch (error) {
          if (error instanceof BrokenClaim) throw error
          expectEqual({
            did: `append with isAtomic, ${did}`,
            expected: `TRANSACTION_ROLLED_BACK, with ${names} in the message`,
            came:
              hasCode(error, 'TRANSACTION_ROLLED_BACK') && error.message.includes(names)
                ? `TRANSACTION_ROLLED_BACK, with ${names} in the message`
                : inShort(error),
            advice,
          })
        }
        const { events, aggregates } = await store.statistics()
        expectEqual({
          did: `append with isAtomic, ${did}, then statistics()`,
          expected: { events: 1, aggregates: 1 },
          came: { events, aggregates },
          advice,
        })
      }
      expectEqual({
        did: 'after four atomic calls that were rolled back, append to the same partition',
        expected: before + 1,
        came: await mustAppend(store, onTop),
        advice: 'what is rolled back gives its indexes back',
      })
      const again = await store.append(good, { isAtomic: true })
      expectEqual({
        did: 'then append the good ones of those calls',
        expected: good.map(() => 'appended'),
        came: again.map(({ type }) => type),
        advice: 'what is rolled back leaves no command id and no sequence behind',
      })
    },
  },
  {
    name: 'atomic calls that cross each other neither wait for ever nor tear',
    async check({ open }) {
      const stores = [await open(), await open()]
      const ids = Array.from({ length: 12 }, (_, number) => `a${number}`)
      for (let round = 0; round < 15; round += 1) {
        const outcomes = await Promise.all(
          [0, 1, 2, 3].map(async number => {
            const order = number % 2 === 0 ? ids : [...ids].reverse()
            const appends = order.map(id => appendTo(id, round, `r${round}-${number}`))
            try {
              await stores[number % 2]?.append(appends, { isAtomic: true })
              return 'written'
            } catch (error) {
              if (hasCode(error, 'TRANSACTION_ROLLED_BACK')) return 'rolled back'
              throw error
            }
          }),
        )
        const did = `round ${round}: four atomic calls at once for the same 12 aggregates, in opposite orders`
        expectEqual({
          did,
          expected: ['rolled back', 'rolled back', 'rolled back', 'written'],
          came: outcomes.toSorted(),
          advice:
            'lock partitions in one order (their numbers), or retry when the database reports a deadlock',
        })
        expectEqual({
          did: `${did}, then sequences()`,
          expected: ids.map(() => round + 1),
          came: [...((await stores[0]?.sequences(ids.map(id => key(id)))) ?? [])],
          advice: 'all appends of an atomic call are written, or none',
        })
      }
    },
  },
  {
    name: 'a call whose signal is aborted rejects with its reason',
    async check({ open }) {
      const store = await open()
      const reason = new GlynError('TIMEOUT', 'given up by the kit')
      await expectError({
        did: 'append with a signal that is aborted already',
        code: 'TIMEOUT',
        call: () => store.append([appendTo('a', 0, 'c1')], { signal: AbortSignal.abort(reason) }),
        advice: 'call signal?.throwIfAborted() before you write',
      })
      expectEqual({
        did: 'the same, then sequences()',
        expected: [0],
        came: [...(await store.sequences([key('a')]))],
        advice: 'what is given up before it begins is not written',
      })
      const controller = new AbortController()
      const running = store.append([appendTo('b', 0, 'c1', { events: 3 })], { signal: controller.signal })
      controller.abort(reason)
      await running.catch(error => {
        if (error !== reason) throw error
      })
      await store.append([appendTo('c', 0, 'c1')])
      const [sequence = -1] = await store.sequences([key('b')])
      expectEqual({
        did: 'append of 3 events whose signal is aborted under way, then sequences()',
        expected: 'sequence 0 or 3',
        came: sequence === 0 || sequence === 3 ? 'sequence 0 or 3' : `sequence ${sequence}`,
        advice: 'what is given up under way is written wholly, or not at all',
      })
    },
  },
]
