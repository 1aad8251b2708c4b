// Definitions of aggregates are checked when they are made, with words that name the field.
import t from 'tap'
import { checkAggregate, defineAggregate, reject } from '../../src/core/aggregate.ts'

const fine = { type: 'counter', emptyState: null, handle: () => [], apply: () => null }

t.test('a definition that is whole is returned as it is', async t => {
  t.equal(defineAggregate(fine), fine)
  t.doesNotThrow(() =>
    checkAggregate({ ...fine, emptyState: undefined, snapshotEvery: 1, commands: {}, upcast: {} }),
  )
})

t.test('a definition that is not whole is refused by the field', async t => {
  const { emptyState: _, ...withoutState } = fine
  const table: readonly (readonly [unknown, RegExp])[] = [
    [null, /the definition is null; allowed: an object/],
    ['text', /the definition is "text"/],
    [{ ...fine, type: undefined }, /type is missing; allowed: letters/],
    [{ ...fine, type: '1counter' }, /type is "1counter"/],
    [{ ...fine, type: 'a'.repeat(129) }, /at most 128/],
    [withoutState, /emptyState is missing/],
    [{ ...fine, handle: 3 }, /handle is 3; allowed: a function/],
    [{ ...fine, apply: undefined }, /apply is missing/],
    [{ ...fine, commands: null }, /commands is null/],
    [{ ...fine, upcast: 'no' }, /upcast is "no"/],
  ]
  for (const [definition, message] of table) {
    t.throws(() => checkAggregate(definition), { code: 'INVALID_ARGUMENT', message })
  }
})

t.test('a chain with a gap, or with what is no function, is refused with the type and the step', async t => {
  const lift = (data: unknown): unknown => data
  const sparse = [lift, lift, lift]
  delete sparse[1]
  const table: readonly (readonly [object, RegExp])[] = [
    [
      { Paid: [lift, undefined, lift] },
      /counter: upcast\.Paid\[1\] \(version 2 to 3\) is missing; allowed: a function/,
    ],
    [{ Paid: sparse }, /upcast\.Paid\[1\] \(version 2 to 3\) is missing; .* the chain has a gap/],
    [{ Paid: ['lift'] }, /upcast\.Paid\[0\] \(version 1 to 2\) is "lift"; allowed: a function/],
    [{ Paid: { 1: lift, 3: lift } }, /upcast\.Paid\[2\] \(version 2 to 3\) is missing; .* a gap/],
    [{ Paid: { 2: lift } }, /upcast\.Paid\[1\] \(version 1 to 2\) is missing/],
    [{ Paid: { 1: lift, 999999: lift } }, /upcast\.Paid\[2\] \(version 2 to 3\) is missing/],
    [{ Paid: { v1: lift } }, /upcast\.Paid, a key is "v1"; allowed: the version that the function lifts/],
    [{ Paid: { 0: lift } }, /a key is "0"/],
    [{ Paid: lift }, /upcast\.Paid is a function; allowed: a list of functions/],
  ]
  for (const [upcast, message] of table)
    t.throws(() => checkAggregate({ ...fine, upcast }), { code: 'INVALID_ARGUMENT', message })
  t.throws(() => checkAggregate({ ...fine, events: ['Paid'], upcast: { Piad: [lift] } }), {
    code: 'INVALID_ARGUMENT',
    message: /upcast\.Piad .* not in events.*; allowed: chains of Paid/,
  })
  t.throws(() => checkAggregate({ ...fine, events: 'Paid' }), { message: /counter: events is "Paid"/ })
  t.throws(() => checkAggregate({ ...fine, events: ['Paid', 3] }), { message: /events\[1\] is 3/ })
  for (const upcast of [{ Paid: [] }, { Paid: {} }, { Paid: [lift, lift] }, { Paid: { 2: lift, 1: lift } }])
    t.doesNotThrow(() => checkAggregate({ ...fine, events: ['Paid'], upcast }))
})

t.test('a snapshot frequency that is not positive has the code of the original', async t => {
  for (const snapshotEvery of [0, -1, 1.5, Number.NaN, '7']) {
    t.throws(() => checkAggregate({ ...fine, snapshotEvery }), {
      code: 'NON_POSITIVE_ARGUMENT',
      message: /counter: snapshotEvery/,
    })
  }
})

t.test('a rejection is a value, with details only when there are any', async t => {
  t.same(reject('no', 'because'), { rejected: true, code: 'no', message: 'because' })
  t.same(reject('no', 'because', { balance: 3 }), {
    rejected: true,
    code: 'no',
    message: 'because',
    details: { balance: 3 },
  })
})
