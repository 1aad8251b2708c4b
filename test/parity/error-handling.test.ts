// Errors: what the domain says is a value, what the world or the caller does wrong has a stable code, and nothing crashes.
import t from 'tap'
import { type Command, defineAggregate, isGlynError } from '../../src/index.ts'
import { bankAccount, deposit, open, startBank, withdraw } from './bank-node.ts'

t.test('errors of the domain crash nobody', async t => {
  const node = await startBank(t)
  t.match(await node.execute(bankAccount, 'acc-1', withdraw(50)), {
    type: 'rejected',
    code: 'cant_operate_on_unopened_account',
  })
  await node.execute(bankAccount, 'acc-1', open)
  t.match(await node.execute(bankAccount, 'acc-1', deposit(-50)), {
    type: 'rejected',
    code: 'cant_deposit_negative_amount',
  })
  t.match(await node.execute(bankAccount, 'acc-1', deposit(50)), { type: 'accepted', sequence: 2 })
  t.match(await node.loadAggregate(bankAccount, 'acc-1'), { sequence: 2, state: { balance: 50 } })
})

t.test('code that throws fails its command, and the aggregate goes on', async t => {
  const brittle = defineAggregate({
    type: 'brittle',
    emptyState: 0,
    handle(_state, command: Command<'Count' | 'Throw', null>) {
      if (command.type === 'Throw') throw new Error('not today')
      return { type: 'Counted', data: null }
    },
    apply: state => state + 1,
  })
  const node = await startBank(t, { aggregates: [brittle] })
  await node.execute(brittle, 'a', { type: 'Count', data: null })
  const failed = await node
    .execute(brittle, 'a', { type: 'Throw', data: null })
    .catch((error: unknown) => error)
  t.ok(isGlynError(failed))
  t.match(failed, { code: 'AGGREGATE_FAILED', retryable: false, message: /handle\(Throw\) threw: not today/ })
  t.match(await node.execute(brittle, 'a', { type: 'Count', data: null }), { type: 'accepted', sequence: 2 })
})

t.test('numbers that must be positive are', async t => {
  const node = await startBank(t)
  for (const timeoutMs of [0, -1, 0.5, Number.NaN]) {
    await t.rejects(node.execute(bankAccount, 'acc-1', open, { timeoutMs }), {
      code: 'NON_POSITIVE_ARGUMENT',
    })
    await t.rejects(node.loadAggregate(bankAccount, 'acc-1', { timeoutMs }), {
      code: 'NON_POSITIVE_ARGUMENT',
    })
  }
  for (const snapshotEvery of [0, -5])
    t.throws(() => defineAggregate({ ...bankAccount, snapshotEvery }), { code: 'NON_POSITIVE_ARGUMENT' })
})

t.test('mistakes of the caller name the thing, the value, and what is allowed', async t => {
  const node = await startBank(t)
  const typo = { type: 'DepositMony', data: { amount: 5 } }
  await t.rejects(node.execute('bank_account', 'acc-1', typo), {
    code: 'UNKNOWN_COMMAND',
    message: /no command "DepositMony"; allowed: OpenAccount, DepositMoney/,
  })
  await t.rejects(node.execute('bank_account', 'acc-1', { type: 'DepositMoney', data: { amount: 'much' } }), {
    code: 'INVALID_COMMAND',
    message: /amount: is "much"; allowed: a finite number/,
  })
  await t.rejects(node.execute(bankAccount, '', open), {
    code: 'INVALID_ARGUMENT',
    message: /aggregate id is ""/,
  })
})
