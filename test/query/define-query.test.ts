import t from 'tap'
import { z } from 'zod'
import { checkQuery, defineQuery, normalizeQuery } from '../../src/query/define-query.ts'

const handle = (): void => {}

t.test('what is no query is refused with the name of the field and what is allowed', async t => {
  const table: [unknown, RegExp][] = [
    [null, /the definition is null; allowed: an object/],
    ['x', /the definition is "x"/],
    [{ handle }, /name is missing; allowed: lower-case letters/],
    [{ name: 'Balance', handle }, /name is "Balance"/],
    [{ name: '../x', handle }, /name is "..\/x"/],
    [{ name: 'a'.repeat(65), handle }, /at most 64/],
    [{ name: 'x' }, /handle is missing; allowed: a function/],
    [{ name: 'x', handle: async () => {} }, /handle is "an async function"; allowed: a synchronous one/],
    [{ name: 'x', handle, init: 1 }, /init is 1/],
    [{ name: 'x', handle, init: async () => {} }, /init is "an async function"/],
    [{ name: 'x', handle, version: 0 }, /version is 0; allowed: a positive integer/],
    [{ name: 'x', handle, version: 1.5 }, /version is 1.5/],
    [{ name: 'x', handle, filter: 'bank' }, /filter is "bank"/],
    [{ name: 'x', handle, filter: { types: [] } }, /filter.types .* allowed: aggregateTypes, eventTypes/],
    [
      { name: 'x', handle, filter: { eventTypes: 'A' } },
      /filter.eventTypes is "A"; allowed: a list of names/,
    ],
    [{ name: 'x', handle, answer: [1] }, /answer.0 is 1; allowed: a function/],
    [{ name: 'x', handle, answer: { get: 'select' } }, /answer.get is "select"/],
    [{ name: 'x', handle, onError: 'skip' }, /onError is "skip"; allowed: retry, park, stop/],
    [{ name: 'x', handle, onError: 'park', attempts: 0 }, /attempts is 0; allowed: an integer from 1 to 100/],
    [{ name: 'x', handle, onError: 'park', attempts: 101 }, /attempts is 101/],
    [{ name: 'x', handle, attempts: 3 }, /attempts is 3; allowed: only with onError: 'park'/],
    [
      { name: 'x', handle, onError: 'park', afterParked: 'skip' },
      /afterParked is "skip"; allowed: hold, handle/,
    ],
    [{ name: 'x', handle, onError: 'stop', afterParked: 'hold' }, /afterParked is "hold"; allowed: only/],
    [
      { name: 'x', handle, answer: { parked: () => 1 } },
      /answer is "parked"; allowed: any name but parked, sql/,
    ],
    [
      { name: 'x', handle, answer: { top: { parameters: {}, answer: () => 1 } } },
      /answer.top.parameters is {}; allowed: a Standard Schema/,
    ],
    [{ name: 'x', handle, answer: { top: { parameters: z.object() } } }, /answer.top.answer is missing/],
  ]
  for (const [value, message] of table) {
    t.throws(() => checkQuery(value), { code: 'INVALID_ARGUMENT', message }, String(message))
  }
})

t.test('a definition is returned as it is', async t => {
  const definition = { name: 'x', handle }
  t.equal(defineQuery(definition), definition)
  t.match(normalizeQuery({ ...definition, answer: { get: () => 1 } }), {
    version: 1,
    questions: ['get'],
    onError: 'retry',
  })
})

t.test('a function bears the name that it is given, or its own', async t => {
  t.equal(normalizeQuery(() => {}, 'audit').name, 'audit')
  t.equal(normalizeQuery(function audit() {}).name, 'audit')
  t.throws(() => normalizeQuery(() => {}, 'Audit Log'), { message: /name is "Audit Log"/ })
  t.throws(() => normalizeQuery((() => () => {})()), { message: /name is ""/ })
})
