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
