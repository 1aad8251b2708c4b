// The bank of the original: its rules, its three errors, and what a caller sees of a mistake.
import t from 'tap'
import type { BankAccount } from '../../config/aggregates/bank-account.ts'
import { checkAggregate } from '../../src/core/aggregate.ts'
import { decide } from '../../src/core/decide.ts'
import { installPluginResolution } from '../../src/plugin/resolve-hook.ts'

installPluginResolution()
const { default: bankAccount } = await import('../../config/aggregates/bank-account.ts')

const unopened = bankAccount.emptyState
const open = (balance: number): BankAccount => ({ status: 'open', balance })
const closed = (balance: number): BankAccount => ({ status: 'closed', balance })

t.test('what is accepted', async t => {
  checkAggregate(bankAccount)
  const table: [BankAccount, string, unknown, string, unknown, BankAccount][] = [
    [unopened, 'OpenAccount', { accountId: 'acc-1' }, 'AccountOpened', { accountId: 'acc-1' }, open(0)],
    [unopened, 'OpenAccount', {}, 'AccountOpened', {}, open(0)],
    [unopened, 'OpenAccount', undefined, 'AccountOpened', {}, open(0)],
    [open(1), 'DepositMoney', { amount: 2 }, 'CustomerDepositedCash', { amount: 2, balance: 3 }, open(3)],
    [open(5), 'WithDrawMoney', { amount: 2 }, 'CustomerWithdrewCash', { amount: 2, balance: 3 }, open(3)],
    [open(5), 'WithDrawMoney', { amount: 5 }, 'CustomerWithdrewCash', { amount: 5, balance: 0 }, open(0)],
    [open(5), 'CloseAccount', {}, 'AccountClosed', {}, closed(5)],
  ]
  for (const [state, type, data, eventType, eventData, next] of table) {
    const decided = decide(bankAccount, state, { type, data })
    if (decided.type !== 'accepted') {
      t.fail(`${type} was ${decided.rejection.code}`)
      continue
    }
    t.strictSame(
      decided.events.map(event => [event.type, event.version, JSON.parse(event.data)]),
      [[eventType, 1, eventData]],
      `${type} in ${JSON.stringify(state)}`,
    )
    t.strictSame(decided.state, next)
  }
})

t.test('what is rejected', async t => {
  const table: [BankAccount, string, unknown, string][] = [
    [unopened, 'DepositMoney', { amount: 1 }, 'cant_operate_on_unopened_account'],
    [unopened, 'WithDrawMoney', { amount: 1 }, 'cant_operate_on_unopened_account'],
    [unopened, 'CloseAccount', {}, 'cant_operate_on_unopened_account'],
    [open(1), 'OpenAccount', {}, 'cant_operate_on_unopened_account'],
    [closed(1), 'OpenAccount', {}, 'cant_operate_on_unopened_account'],
    [closed(1), 'DepositMoney', { amount: 1 }, 'cant_operate_on_unopened_account'],
    [closed(1), 'CloseAccount', {}, 'cant_operate_on_unopened_account'],
    [open(1), 'DepositMoney', { amount: 0 }, 'cant_deposit_negative_amount'],
    [open(1), 'DepositMoney', { amount: -1 }, 'cant_deposit_negative_amount'],
    [open(1), 'WithDrawMoney', { amount: 1.01 }, 'cant_withdraw_more_than_current_balance'],
    [open(1), 'WithDrawMoney', { amount: -1 }, 'cant_withdraw_more_than_current_balance'],
  ]
  for (const [state, type, data, code] of table) {
    t.match(
      decide(bankAccount, state, { type, data }),
      { type: 'rejected', rejection: { code, message: /./ } },
      `${type} ${JSON.stringify(data)} in ${JSON.stringify(state)}`,
    )
  }
})

t.test('what is no command of a bank account', async t => {
  t.throws(() => decide(bankAccount, unopened, { type: 'DepositMony', data: {} }), {
    code: 'UNKNOWN_COMMAND',
    message: /allowed: OpenAccount, DepositMoney, WithDrawMoney, CloseAccount/,
  })
  const table: [string, unknown, RegExp][] = [
    [
      'DepositMoney',
      { amount: '100' },
      /amount: is "100"; allowed: a finite number \(on the command line: amount:=100\)/,
    ],
    ['DepositMoney', {}, /amount: is missing/],
    ['DepositMoney', { amount: Number.NaN }, /amount: is null/],
    [
      'DepositMoney',
      { amount: 1, currency: 'EUR' },
      /currency: is no field of this command; allowed: amount/,
    ],
    ['DepositMoney', [1], /data is \[1\]; allowed: an object/],
    ['WithDrawMoney', 'all', /data is "all"/],
    ['OpenAccount', { accountId: 7 }, /accountId: is 7; allowed: a text/],
  ]
  for (const [type, data, message] of table) {
    t.throws(() => decide(bankAccount, open(1), { type, data }), { code: 'INVALID_COMMAND', message })
  }
})
