// Tokens: positions as text, there and back.
import t from 'tap'
import { formatToken, parseToken, tokenOf } from '../../src/core/token.ts'

t.test('a token says partition and index, and positions come back from it', async t => {
  t.equal(tokenOf({ partition: 3, index: 17 }), '3:17')
  t.same([...parseToken('3:17')], [[3, 17]])
  t.same(
    [...parseToken('3:17,5:2')],
    [
      [3, 17],
      [5, 2],
    ],
  )
  t.equal(parseToken('').size, 0)
})

t.test('equal positions give equal tokens', async t => {
  t.equal(
    formatToken(
      new Map([
        [5, 2],
        [3, 17],
        [20, 1],
      ]),
    ),
    '3:17,5:2,20:1',
  )
  t.equal(
    formatToken(
      new Map([
        [20, 1],
        [3, 17],
        [5, 2],
      ]),
    ),
    '3:17,5:2,20:1',
  )
  t.equal(formatToken(new Map()), '')
  t.equal(formatToken(parseToken('20:1,3:17')), '3:17,20:1')
})

t.test('of a partition named twice the later place counts', async t => {
  t.same([...parseToken('1:5,1:3')], [[1, 5]])
  t.same([...parseToken('1:3,1:5')], [[1, 5]])
})

t.test('what is not a token is refused by its name and the allowed form', async t => {
  for (const wrong of [
    'x',
    '1',
    '1:',
    ':1',
    '1:-2',
    '1:2,',
    ',',
    '1:2;3:4',
    ' 1:2',
    '1:2\n',
    '1.5:2',
    '1:1e3',
    '9999999:1',
  ]) {
    t.throws(() => parseToken(wrong), {
      code: 'INVALID_ARGUMENT',
      message: JSON.stringify(wrong).slice(1, -1),
    })
    t.throws(() => parseToken(wrong), { message: /<partition>:<index>/ })
  }
})
