// What must compile, and what must not, of calls by definition. Compiled by `npm run check`; nothing here runs.
import {
  defineAnswer,
  defineQuery,
  type EnvelopesOf,
  type GlynNode,
  type LoadedAggregate,
  type NewQueryMessage,
} from 'glyn-node'
import { z } from 'zod'
import bankAccount, { type BankAccount } from '../../config/aggregates/bank-account.ts'
import balance, { type Balance } from '../../config/queries/balance.ts'
import { same } from './same.ts'

export async function commands(node: GlynNode): Promise<void> {
  const outcome = await node.execute(bankAccount, 'acc-1', { type: 'DepositMoney', data: { amount: 100 } })
  if (outcome.type === 'rejected') {
    same<
      typeof outcome.code,
      | 'cant_deposit_negative_amount'
      | 'cant_operate_on_unopened_account'
      | 'cant_withdraw_more_than_current_balance'
    >()
    // @ts-expect-error: there is no such code
    if (outcome.code === 'no_such_code') throw new Error()
    return
  }
  for (const event of outcome.events) {
    if (event.type === 'CustomerDepositedCash') same<typeof event.data.amount, number>()
    // @ts-expect-error: there is no such event
    if (event.type === 'Nothing') throw new Error()
    // @ts-expect-error: an account that was opened has no amount
    if (event.type === 'AccountOpened') event.data.amount
  }
  // @ts-expect-error: the amount is a number
  await node.execute(bankAccount, 'acc-1', { type: 'DepositMoney', data: { amount: '100' } })
  // @ts-expect-error: there is no such command
  await node.execute(bankAccount, 'acc-1', { type: 'RobBank', data: { amount: 100 } })
  // @ts-expect-error: an id is missing
  await node.execute(bankAccount, { type: 'OpenAccount', data: {} })
  // By name: any command, any answer, and no types.
  const byName = await node.execute('bank_account', 'acc-1', { type: 'RobBank', data: {} })
  if (byName.type === 'accepted') same<(typeof byName.events)[number]['data'], unknown>()
  else same<typeof byName.code, string>()
}

export async function reading(node: GlynNode): Promise<void> {
  const loaded = await node.loadAggregate(bankAccount, 'acc-1')
  same<typeof loaded, LoadedAggregate<BankAccount>>()
  const snapshot = await node.latestSnapshot(bankAccount, 'acc-1')
  if (snapshot !== null) same<typeof snapshot.state, BankAccount>()
  await node.aggregateStats(bankAccount, 'acc-1')
  const events = await node.loadEvents(bankAccount, 'acc-1', { fromSequence: 2 })
  same<typeof events, readonly EnvelopesOf<typeof bankAccount>[]>()

  const all = node.subscribe({ from: 'start', filter: { aggregates: [bankAccount] } })
  for await (const event of all) same<typeof event, EnvelopesOf<typeof bankAccount>>()
  const some = node.subscribe({
    from: 'start',
    filter: { aggregates: [bankAccount], eventTypes: ['CustomerDepositedCash', 'CustomerWithdrewCash'] },
  })
  for await (const { data } of some) same<typeof data.balance, number>()
  node.subscribe({
    from: 'start',
    // @ts-expect-error: there is no such event
    filter: { aggregates: [bankAccount], eventTypes: ['Nothing'] },
  })
  for await (const { data } of node.subscribe({ from: 'now' })) same<typeof data, unknown>()
}

export async function questions(node: GlynNode): Promise<void> {
  const one = await node.query(balance, 'get', { id: 'acc-1' })
  same<typeof one, Balance | null>()
  const top = await node.query(balance, 'top', { limit: 3 })
  same<typeof top, Balance[]>()
  const total = await node.query(balance, 'total', {})
  same<typeof total, { accounts: number; amount: number } | null>()
  // @ts-expect-error: there is no such question
  await node.query(balance, 'worst', {})
  // @ts-expect-error: the id is a text
  await node.query(balance, 'get', { id: 1 })
  // @ts-expect-error: the id is missing
  await node.query(balance, 'get', {})
  const byName = await node.query('balance', 'worst', { any: 'thing' })
  same<typeof byName, unknown>()
}

const checked = defineQuery({
  name: 'checked',
  handle(_id, events: readonly EnvelopesOf<typeof bankAccount>[]) {
    for (const event of events)
      if (event.type === 'CustomerDepositedCash') same<typeof event.data.amount, number>()
  },
  answer: {
    since: defineAnswer({
      parameters: z.object({ days: z.coerce.number().default(7) }),
      answer: (_db, { days }) => ({
        days: same<typeof days, number>() ?? days,
        at: new Date(),
        skip: () => 1,
      }),
    }),
    raw: (_db, { anything }) => String(same<typeof anything, unknown>() ?? anything),
    nothing: () => undefined,
  },
})

interface Wanted {
  readonly id: string
}
const byInterface = defineQuery({
  name: 'by_interface',
  handle() {},
  answer: { get: (_db, { id }: Wanted) => id.length },
})
const silent = defineQuery({ name: 'silent', handle() {} })
const explicit = defineQuery<{ readonly type: 'Counted'; readonly data: { readonly by: number } }>({
  name: 'explicit',
  handle(_id, events) {
    for (const { data } of events) same<typeof data.by, number>()
  },
  answer: {
    get: (_db, { id }: { id: string }) => id,
    any: (_db, { id }) => same<typeof id, unknown>() ?? id,
  },
})

export async function otherQuestions(node: GlynNode): Promise<void> {
  const since = await node.query(checked, 'since', {})
  same<typeof since, { days: number; at: string }>()
  same<Awaited<ReturnType<typeof node.query<typeof checked, 'raw'>>>, string>()
  same<Awaited<ReturnType<typeof node.query<typeof checked, 'nothing'>>>, null>()
  same<Awaited<ReturnType<typeof node.query<typeof byInterface, 'get'>>>, number>()
  await node.query(byInterface, 'get', { id: 'a' })
  // @ts-expect-error: the id is a text
  await node.query(byInterface, 'get', { id: 1 })
  // @ts-expect-error: it answers nothing
  await node.query(silent, 'get', {})
  const loose = await node.query(explicit, 'get', { id: 'a' })
  same<typeof loose, unknown>()
}

export const message: NewQueryMessage = { type: 'RateChanged', data: { rate: 1 } }
