// What may name a thing that is stored.
import t from 'tap'
import { limits } from '../../src/core/limits.ts'
import { checkAggregateKey, checkName } from '../../src/core/names.ts'

t.test('any printable text within the limit is a name', async t => {
  for (const name of [
    'a',
    'acc-1',
    'Grüße 🙂',
    'a/b:c',
    ' ',
    'x'.repeat(limits.nameBytesMax),
    '🙂'.repeat(64),
  ]) {
    t.doesNotThrow(() => checkName('command id', name))
  }
})

t.test('the limit counts bytes of UTF-8, not characters', async t => {
  t.throws(() => checkName('command id', 'x'.repeat(limits.nameBytesMax + 1)), { code: 'INVALID_ARGUMENT' })
  t.throws(() => checkName('command id', `${'🙂'.repeat(64)}x`), { code: 'INVALID_ARGUMENT' })
})

t.test('a refusal names the field, the value and what is allowed', async t => {
  for (const value of ['', 'a\u0000b', 'a\nb', '\u007f', '\u0085', 7, null, undefined]) {
    t.throws(() => checkName('command id', value), {
      code: 'INVALID_ARGUMENT',
      message: /^command id is .*; allowed: a text of 1 to 256 bytes/,
    })
  }
  t.throws(() => checkAggregateKey({ type: 'counter', id: '' }), { message: /^aggregate id is ""/ })
  t.throws(() => checkAggregateKey({ type: '', id: 'a' }), { message: /^aggregate type is ""/ })
})

t.test('what would not come back from the disk as it was is no name', async t => {
  for (const value of ['a\ud800b', '\udc00', 'a\ud83d', '\ufeffaccount-number-1', '\ufeff']) {
    t.throws(() => checkName('aggregate id', value), {
      code: 'INVALID_ARGUMENT',
      message: /without control characters, half characters \(lone surrogates\) or a byte order mark$/,
    })
  }
})

t.test('a very long value is shown in part', async t => {
  try {
    checkName('aggregate id', 'y'.repeat(100_000))
    t.fail('it was allowed')
  } catch (error) {
    t.ok((error as Error).message.length < 300)
  }
})
