// Arguments of commands as people type them.
import t from 'tap'
import { parseCount, parseDuration, parseMetadata, parsePairs } from '../../src/cli/parse-arguments.ts'
import { findNearest } from '../../src/cli/suggest.ts'

t.test('key=text is a text, key:=json is JSON', async t => {
  const pairs = [
    'name=Ann Lee',
    'amount:=100',
    'empty=',
    'url=http://a:=b',
    'list:=[1,"2"]',
    'a:b=c',
    'gone:=null',
  ]
  t.strictSame(parsePairs(pairs), {
    name: 'Ann Lee',
    amount: 100,
    empty: '',
    url: 'http://a:=b',
    list: [1, '2'],
    'a:b': 'c',
    gone: null,
  })
  t.ok(Object.hasOwn(parsePairs(['__proto__:={"a":1}']), '__proto__'))
})

t.test('what is no pair or no JSON is named, with what is allowed', async t => {
  t.throws(() => parsePairs(['amount']), {
    code: 'INVALID_ARGUMENT',
    message: /"amount" is not a pair; allowed: key=text/,
  })
  t.throws(() => parsePairs(['=1']), { code: 'INVALID_ARGUMENT' })
  t.throws(() => parsePairs(['amount:=1o0']), {
    code: 'INVALID_ARGUMENT',
    message: /amount:= is "1o0".*not JSON/,
  })
  t.throws(() => parseMetadata(['user']), { code: 'INVALID_ARGUMENT', message: /"user"; allowed: key=text/ })
})

t.test('durations and counts', async t => {
  t.strictSame(
    ['10', '10s', '500ms', '2m', '0.5'].map(text => parseDuration('--timeout', text)),
    [10_000, 10_000, 500, 120_000, 500],
  )
  for (const text of ['0', '-1', '11m', 'soon', '']) {
    t.throws(() => parseDuration('--timeout', text), { code: 'INVALID_ARGUMENT', message: /--timeout is/ })
  }
  t.equal(parseCount('--concurrency', '32', 64), 32)
  for (const text of ['0', '65', '1.5', 'x']) t.throws(() => parseCount('--concurrency', text, 64))
})

t.test('the nearest word is a slip away, not any word', async t => {
  const commands = ['OpenAccount', 'DepositMoney', 'WithDrawMoney', 'CloseAccount']
  t.equal(findNearest('depositmony', commands), 'DepositMoney')
  t.equal(findNearest('WithdrawMoney', commands), 'WithDrawMoney')
  t.equal(findNearest('Transfer', commands), null)
  t.equal(findNearest('x', []), null)
})
