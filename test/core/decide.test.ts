// One decision: what a command yields, and every way in which it can go wrong.
import t from 'tap'
import { z } from 'zod'
import { type AnyAggregate, defineAggregate, reject } from '../../src/core/aggregate.ts'
import { applyEvent, decide } from '../../src/core/decide.ts'
import { limits } from '../../src/core/limits.ts'

const yielding = (event: unknown, extra: Partial<AnyAggregate> = {}): AnyAggregate => ({
  type: 'thing',
  emptyState: [],
  handle: () => event as never,
  apply: (state: readonly unknown[], { data }: { data: unknown }) => [...state, data],
  ...extra,
})
const ask = { type: 'Ask', data: {} }
const accepted = (aggregate: AnyAggregate, state: unknown = aggregate.emptyState) => {
  const decided = decide(aggregate, state, ask)
  if (decided.type !== 'accepted') throw new Error('it was rejected')
  return decided
}

t.test('one event, several events and none are all accepted', async t => {
  t.same(accepted(yielding({ type: 'One', data: 1 })).state, [1])
  t.same(
    accepted(
      yielding([
        { type: 'One', data: 1 },
        { type: 'Two', data: 2 },
      ]),
    ).state,
    [1, 2],
  )
  const none = accepted(yielding([]), ['before'])
  t.same([none.events, none.state], [[], ['before']])
})

t.test('a rejection by the domain is a value', async t => {
  t.same(decide(yielding(reject('no', 'because', 7)), [], ask), {
    type: 'rejected',
    rejection: { rejected: true, code: 'no', message: 'because', details: 7 },
  })
})

t.test('the state that is decided on and the state that is read later see the same data', async t => {
  const data = { date: new Date(0), gone: undefined, map: new Map([[1, 2]]), nan: Number.NaN, text: 'ä' }
  const decided = accepted(yielding({ type: 'Odd', data }))
  const seen = [{ date: '1970-01-01T00:00:00.000Z', map: {}, nan: null, text: 'ä' }]
  t.strictSame(decided.state, seen)
  t.strictSame(
    decided.events.map(event => JSON.parse(event.data)),
    seen,
  )
})

t.test('an event without data has the empty object, and version 1', async t => {
  t.strictSame(accepted(yielding({ type: 'Bare' })).events, [{ type: 'Bare', version: 1, data: '{}' }])
})

t.test('a new event has the version that its chain ends at, or an older one that it says', async t => {
  const lift = (data: unknown): unknown => ({ lifted: data })
  const upcast = { Third: [lift, lift], Second: { 1: lift } }
  const versionOf = (event: object) => accepted(yielding(event, { upcast })).events[0]?.version
  t.equal(versionOf({ type: 'Third' }), 3)
  t.equal(versionOf({ type: 'Second' }), 2)
  t.equal(versionOf({ type: 'Other' }), 1)
  const old = accepted(yielding({ type: 'Third', version: 2, data: 'x' }, { upcast }))
  t.strictSame(old.events, [{ type: 'Third', version: 2, data: '"x"' }])
  t.same(old.state, [{ lifted: 'x' }], 'what is applied is what a later reader will see')
  for (const [event, message] of [
    [{ type: 'Third', version: 4 }, /Third with version 4; allowed: 1 to 3, as its upcast chain says/],
    [{ type: 'Other', version: 2 }, /Other with version 2; allowed: 1, because it has no upcast chain/],
  ] as const) {
    t.throws(() => accepted(yielding(event, { upcast })), { code: 'AGGREGATE_FAILED', message })
  }
})

t.test('with a list of events, another type is a mistake', async t => {
  const events = ['Known', 'Third']
  t.equal(accepted(yielding({ type: 'Known' }, { events })).events.length, 1)
  t.throws(() => accepted(yielding({ type: 'Knwon' }, { events })), {
    code: 'AGGREGATE_FAILED',
    message: /yielded Knwon; its events allow: Known, Third/,
  })
  t.throws(() => applyEvent(yielding(null, { events }), [], { type: 'Gone', version: 1, data: 1 }), {
    code: 'AGGREGATE_FAILED',
    message: 'thing: the history has Gone v1, and the aggregate knows only Known, Third',
    details: { misfit: 'unknown-type' },
  })
})

t.test('what is not an event is named', async t => {
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  const table: readonly (readonly [unknown, RegExp])[] = [
    [undefined, /thing: handle\(Ask\) yielded undefined; allowed/],
    [null, /yielded null/],
    ['text', /yielded text/],
    [{ data: 1 }, /an event without a type/],
    [{ type: '', data: 1 }, /an event without a type/],
    [{ type: 'A', version: 0 }, /A with version 0/],
    [{ type: 'A', version: 1.5 }, /A with version 1.5/],
    // No 64 bits hold it: the row could not be stored.
    [{ type: 'A', version: 1e19 }, /A with version 10000000000000000000/],
    [{ type: 'A', data: circular }, /A with data that is not JSON/],
    [{ type: 'A', data: 10n }, /A with data that is not JSON/],
    [{ type: 'A', data: () => 1 }, /A with data that is not JSON/],
    [{ type: '🙂'.repeat(65) }, /an event type of 260 bytes; allowed: 256/],
    [Promise.resolve({ type: 'A' }), /a promise; allowed: events, because handle is synchronous/],
    [[{ type: 'A' }, 3], /yielded 3/],
  ]
  for (const [event, message] of table)
    t.throws(() => decide(yielding(event), [], ask), { code: 'AGGREGATE_FAILED', message })
})

t.test('too many events and too much data are refused with their bounds', async t => {
  const many = Array.from({ length: limits.eventsPerCommandMax + 1 }, () => ({ type: 'A' }))
  t.throws(() => decide(yielding(many), [], ask), {
    code: 'MESSAGE_TOO_LARGE',
    message: /1001 events; allowed: 1000/,
  })
  t.equal(accepted(yielding(many.slice(1))).events.length, 1000)
  const large = { type: 'A', data: 'x'.repeat(limits.dataBytesMax) }
  t.throws(() => decide(yielding(large), [], ask), { code: 'MESSAGE_TOO_LARGE' })
  // 350,000 characters of three bytes each: the bound counts bytes of UTF-8.
  const wide = { type: 'A', data: '€'.repeat(350_000) }
  t.throws(() => decide(yielding(wide), [], ask), { code: 'MESSAGE_TOO_LARGE' })
})

t.test('code of the aggregate that throws fails that command, with its cause', async t => {
  const cause = new Error('out of luck')
  const fail = (): never => {
    throw cause
  }
  t.throws(() => decide(yielding(null, { handle: fail }), [], ask), {
    code: 'AGGREGATE_FAILED',
    message: 'thing: handle(Ask) threw: out of luck',
    cause,
  })
  t.throws(() => decide(yielding({ type: 'A' }, { apply: fail }), [], ask), {
    code: 'AGGREGATE_FAILED',
    message: 'thing: apply(A v1) threw: out of luck',
    cause,
  })
  t.throws(
    () =>
      decide(
        yielding(null, {
          handle: () => {
            throw 'a text'
          },
        }),
        [],
        ask,
      ),
    { code: 'AGGREGATE_FAILED', message: /threw: a text/ },
  )
})

t.test('commands with schemas', async t => {
  const aggregate = defineAggregate<readonly unknown[], { type: 'Deposit' | 'Close'; data: unknown }>({
    type: 'account',
    emptyState: [],
    commands: { Deposit: z.object({ amount: z.coerce.number().positive() }), Close: undefined as never },
    handle: (_, command) => ({ type: 'Done', data: command.data }),
    apply: (state, { data }) => [...state, data],
  })

  t.test('an unknown command is refused with the list of those that exist', async t => {
    for (const type of ['Depost', 'toString', '__proto__']) {
      t.throws(() => decide(aggregate, [], { type, data: {} }), {
        code: 'UNKNOWN_COMMAND',
        message: `account has no command ${JSON.stringify(type)}; allowed: Deposit, Close`,
        details: { allowed: ['Deposit', 'Close'] },
      })
    }
  })

  t.test('data that does not fit is refused with the path of every complaint', async t => {
    t.throws(() => decide(aggregate, [], { type: 'Deposit', data: { amount: -1 } }), {
      code: 'INVALID_COMMAND',
      message: /^account: Deposit has invalid data: amount: /,
      details: { issues: [{ path: 'amount' }] },
    })
    t.throws(() => decide(aggregate, [], { type: 'Deposit', data: 7 }), { code: 'INVALID_COMMAND' })
  })

  t.test('handle sees what the schema returned', async t => {
    const decided = decide(aggregate, [], { type: 'Deposit', data: { amount: '5' } })
    t.same(decided.type === 'accepted' && decided.state, [{ amount: 5 }])
  })

  t.test('a command listed without a schema takes any data', async t => {
    const decided = decide(aggregate, [], { type: 'Close', data: 'bye' })
    t.same(decided.type === 'accepted' && decided.state, ['bye'])
  })

  t.test('an asynchronous schema is a mistake of the aggregate', async t => {
    const slow = { ...aggregate, commands: { Deposit: z.string().refine(async () => true) } }
    t.throws(() => decide(slow, [], { type: 'Deposit', data: 'x' }), { code: 'AGGREGATE_FAILED' })
  })
})

t.test('old events are lifted step by step before they are applied', async t => {
  const steps = [
    (data: unknown) => ({ cents: (data as { euros: number }).euros * 100 }),
    (data: unknown) => ({ ...(data as object), currency: 'EUR' }),
  ]
  const aggregate = yielding(null, { upcast: { Paid: steps } })
  const lifted = (version: number, data: unknown): unknown =>
    (applyEvent(aggregate, [], { type: 'Paid', version, data }) as unknown[])[0]
  t.same(lifted(1, { euros: 3 }), { cents: 300, currency: 'EUR' })
  t.same(lifted(2, { cents: 5 }), { cents: 5, currency: 'EUR' })
  t.same(lifted(3, { cents: 5, currency: 'USD' }), { cents: 5, currency: 'USD' })
  t.throws(() => lifted(4, { later: true }), {
    code: 'AGGREGATE_FAILED',
    message: 'thing: the history has Paid v4, and the aggregate knows versions 1 to 3',
    details: { misfit: 'unknown-version' },
  })
  const byVersion = yielding(null, { upcast: { Paid: { 2: steps[1], 1: steps[0] } } } as object)
  t.same(applyEvent(byVersion, [], { type: 'Paid', version: 1, data: { euros: 3 } }), [
    { cents: 300, currency: 'EUR' },
  ])
  t.same(applyEvent(aggregate, [], { type: 'Other', version: 1, data: 1 }), [1])
  t.same(
    applyEvent(aggregate, [], { type: 'toString', version: 1, data: 1 }),
    [1],
    'a name of Object.prototype is no upcast',
  )
})

t.test('an upcast that throws is a failure of the aggregate', async t => {
  const aggregate = yielding(null, {
    upcast: {
      Paid: [
        () => {
          throw new Error('cannot lift')
        },
      ],
    },
  })
  t.throws(() => applyEvent(aggregate, [], { type: 'Paid', version: 1, data: 0 }), {
    code: 'AGGREGATE_FAILED',
    message: 'thing: upcast of Paid v1 to v2 threw: cannot lift',
    details: { misfit: 'upcast-failed' },
  })
})
