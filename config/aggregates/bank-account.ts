// The bank account of the Gleam package `eventsourcing`: the same commands, events and errors.
//
//   glyn-node send-command bank_account acc-1 OpenAccount
//   glyn-node send-command bank_account acc-1 DepositMoney amount:=100
//
// Its errors are the codes of rejections here:
//   CantDepositNegativeAmount           cant_deposit_negative_amount
//   CantOperateOnUnopenedAccount        cant_operate_on_unopened_account
//   CantWithdrawMoreThanCurrentBalance  cant_withdraw_more_than_current_balance
import { defineAggregate, reject } from 'glyn-node'
import { fields, finiteNumber, optionalText } from './_schema.ts'

export interface BankAccount {
  readonly status: 'unopened' | 'open' | 'closed'
  readonly balance: number
}

interface Account {
  readonly accountId?: string
}

interface Amount {
  readonly amount: number
}

interface Movement extends Amount {
  /** After the movement. */
  readonly balance: number
}

export type BankEvent =
  | { readonly type: 'AccountOpened'; readonly data: Account }
  | { readonly type: 'CustomerDepositedCash'; readonly data: Movement }
  | { readonly type: 'CustomerWithdrewCash'; readonly data: Movement }
  | { readonly type: 'AccountClosed'; readonly data: Account }

// No type arguments: what callers may send comes from the schemas, what they are told from `apply` and from the codes of
// `reject`. `node.execute(bankAccount, 'acc-1', { type: 'DepositMoney', data: { amount: 100 } })` knows all of it.
export default defineAggregate({
  type: 'bank_account',
  emptyState: { status: 'unopened', balance: 0 },
  snapshotEvery: 100,
  commands: {
    OpenAccount: fields<Account>({ accountId: optionalText }),
    DepositMoney: fields<Amount>({ amount: finiteNumber }),
    WithDrawMoney: fields<Amount>({ amount: finiteNumber }),
    CloseAccount: fields<Account>({ accountId: optionalText }),
  },

  handle({ status, balance }: BankAccount, command) {
    // As in the original, whatever does not fit the status is this one error; the message says which case it is.
    if (command.type === 'OpenAccount') {
      if (status === 'unopened') return { type: 'AccountOpened', data: command.data }
      return reject(
        'cant_operate_on_unopened_account',
        `the account is ${status}, it cannot be opened again`,
        {
          status,
        },
      )
    }
    if (status !== 'open') {
      return reject('cant_operate_on_unopened_account', `the account is ${status}`, { status })
    }
    switch (command.type) {
      case 'DepositMoney': {
        const { amount } = command.data
        if (amount > 0) return { type: 'CustomerDepositedCash', data: { amount, balance: balance + amount } }
        return reject('cant_deposit_negative_amount', `the amount is ${amount}; it must be above 0`, {
          amount,
        })
      }
      case 'WithDrawMoney': {
        const { amount } = command.data
        if (amount > 0 && amount <= balance) {
          return { type: 'CustomerWithdrewCash', data: { amount, balance: balance - amount } }
        }
        const text = `the amount is ${amount}; it must be above 0 and at most the balance, ${balance}`
        return reject('cant_withdraw_more_than_current_balance', text, { amount, balance })
      }
      case 'CloseAccount':
        return { type: 'AccountClosed', data: command.data }
    }
  },

  apply(state: BankAccount, event: BankEvent): BankAccount {
    switch (event.type) {
      case 'AccountOpened':
        return { status: 'open', balance: 0 }
      case 'CustomerDepositedCash':
      case 'CustomerWithdrewCash':
        return { ...state, balance: event.data.balance }
      case 'AccountClosed':
        return { ...state, status: 'closed' }
    }
  },
})
