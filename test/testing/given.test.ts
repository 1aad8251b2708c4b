// given/when/then says yes to what an aggregate does, and no, in words, to everything else.
import { AssertionError } from 'node:assert'
import t from 'tap'
import { z } from 'zod'
import { type Command, defineAggregate, reject } from '../../src/index.ts'
import { given } from '../../src/testing/given.ts'
import { bankAccount } from '../support/bank.ts'

const opened = { type: 'AccountOpened', data: {} } as const
const paid = (amount: number, balance: number) =>
  ({ type: 'CustomerDepositedCash', data: { amount, balance } }) as const
const deposit = (amount: number) => ({ type: 'DepositMoney', data: { amount } }) as const

t.test('events, a command, and what follows', async t => {
  given(bankAccount, [opened, paid(100, 100)])
    .when({ type: 'WithDrawMoney', data: { amount: 30 } })
    .then({ type: 'CustomerWithdrewCash', data: { amount: 30, balance: 70 } })
    .thenState({ status: 'open', balance: 70 })
    .when(deposit(5))
    .then([paid(5, 75)])
    .thenState({ status: 'open', balance: 75 })
  given(bankAccount)
    .when({ type: 'OpenAccount', data: { accountId: 'acc-1' } })
    .then({ type: 'AccountOpened', data: { accountId: 'acc-1' } })
  given(bankAccount).thenState({ status: 'unopened', balance: 0 })
  const text = 'the account is unopened'
  given(bankAccount)
    .when(deposit(5))
    .then(reject('cant_operate_on_unopened_account', text, { status: 'unopened' }))
    .thenState({ status: 'unopened', balance: 0 })
  given(bankAccount).when(deposit(5)).thenRejected('cant_operate_on_unopened_account')
  t.pass('all of it holds')
})

t.test('what is not so is said, with the difference', async t => {
  const said = (claim: () => unknown): string => {
    try {
      claim()
    } catch (error) {
      if (error instanceof AssertionError) return error.message
      throw error
    }
    throw new Error('nothing was said')
  }
  const when = given(bankAccount, [opened]).when(deposit(5))
  const wrong = said(() => when.then(paid(5, 6)))
  t.match(wrong, /^what follows from DepositMoney is not what was expected:\n/)
  t.match(wrong, /\+ +balance: 5\n- +balance: 6/)
  t.match(
    said(() => when.then([])),
    /CustomerDepositedCash/,
  )
  t.match(
    said(() => when.thenRejected('cant_deposit_negative_amount')),
    /the rejection of DepositMoney/,
  )
  t.match(
    said(() => when.then(reject('cant_deposit_negative_amount', 'no'))),
    /cant_deposit/,
  )
  t.match(
    said(() => when.thenState({ status: 'open', balance: 6 })),
    /the state after DepositMoney/,
  )
  t.match(
    said(() => given(bankAccount).thenState({ status: 'open', balance: 0 })),
    /^the state is not/,
  )
  t.match(
    said(() => when.thenFails('INVALID_COMMAND')),
    /the failure of DepositMoney/,
  )
  const unlikely = deposit('5' as unknown as number)
  const failed = given(bankAccount, [opened]).when(unlikely).thenFails('INVALID_COMMAND')
  t.ok(failed, 'a command that does not fit its schema')
  const without = given(bankAccount, [opened]).when(unlikely)
  t.match(
    said(() => without.then([])),
    /amount: is \\?"5\\?"; allowed: a finite number/,
  )
  t.match(
    said(() => without.thenState({ status: 'open', balance: 0 })),
    /it failed: INVALID_COMMAND/,
  )
  try {
    when.then(paid(5, 6))
  } catch (error) {
    t.match(
      (error as Error).stack?.split('\n').find(line => line.includes('    at ')),
      /given\.test\.ts/,
    )
    t.match(error, { actual: [{ data: { balance: 5 } }], expected: [{ data: { balance: 6 } }] })
  }
  // The compiler refuses `await` here, and so does JavaScript.
  await t.rejects(Promise.resolve(when as unknown), { name: 'TypeError', message: /is no promise/ })
})

const counter = defineAggregate({
  type: 'counter',
  emptyState: { total: 0 },
  commands: { Add: z.object({ by: z.number().default(1) }) },
  handle: (_state, { data }) => [
    { type: 'Added', data: { by: data.by } },
    { type: 'Told', data: {} },
  ],
  apply: (state, event) => (event.type === 'Added' ? { total: state.total + event.data.by } : state),
  upcast: { Added: [data => ({ by: Number((data as { amount: string }).amount) })] },
})

t.test('former versions are upcast, schemas change what they check', async t => {
  given(counter, [
    { type: 'Added', version: 1, data: { amount: '5' } },
    { type: 'Added', data: { by: 6 } },
  ])
    .thenState({ total: 11 })
    .when({ type: 'Add', data: {} })
    .then([
      { type: 'Added', data: { by: 1 } },
      { type: 'Told', data: {} },
    ])
    .thenState({ total: 12 })
  t.throws(
    () =>
      given(counter)
        .when({ type: 'Add', data: {} })
        .then([
          { type: 'Added', version: 1, data: { by: 1 } } as { type: 'Added'; data: { by: number } },
          { type: 'Told', data: {} },
        ]),
    AssertionError,
    'a version is part of an event',
  )
})

t.test('code that is not pure is found', async t => {
  const mutating = defineAggregate({
    type: 'mutating',
    emptyState: { seen: [] as string[] },
    handle: (_state, command: Command<'See', string>) => ({ type: 'Seen', data: command.data }),
    apply(state, event) {
      state.seen.push(event.data)
      return state
    },
  })
  given(mutating).when({ type: 'See', data: 'a' }).thenFails('AGGREGATE_FAILED')
  t.throws(() => given(mutating, [{ type: 'Seen', data: 'a' }]), { code: 'AGGREGATE_FAILED' })
  let calls = 0
  const fickle = defineAggregate({
    type: 'fickle',
    emptyState: 0,
    handle(_state, _command: Command<'Count', null>) {
      calls += 1
      return { type: 'Counted', data: calls }
    },
    apply: (_state, event) => event.data,
  })
  t.throws(() => given(fickle).when({ type: 'Count', data: null }), { message: /^handle is not pure/ })
})

t.test('what is no aggregate is refused', async t => {
  t.throws(() => given({} as typeof counter), { code: 'INVALID_ARGUMENT', message: /type is missing/ })
})
