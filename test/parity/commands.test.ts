// Commands: sent and forgotten, or awaited with their response.
import t from 'tap'
import { bankAccount, close, deposit, eventually, open, startBank, withdraw } from './bank-node.ts'

t.test('without a response: the command is carried out all the same', async t => {
  const node = await startBank(t)
  const sent = node.execute(bankAccount, 'acc-1', open)
  // Nobody looks at it here.
  sent.catch(() => {})
  await eventually(
    async () => (await node.loadAggregate(bankAccount, 'acc-1')).state.status === 'open',
    'the account is open',
  )
})

t.test('with a response: the events, or what the domain says against it', async t => {
  const node = await startBank(t)
  const opened = await node.execute(bankAccount, 'acc-1', {
    type: 'OpenAccount',
    data: { accountId: 'acc-1' },
  })
  t.match(opened, {
    type: 'accepted',
    sequence: 1,
    replicas: 1,
    replayed: false,
    events: [{ type: 'AccountOpened', data: { accountId: 'acc-1' }, sequence: 1 }],
  })
  t.match(await node.execute(bankAccount, 'acc-1', deposit(100)), { type: 'accepted', sequence: 2 })
  t.match(await node.execute(bankAccount, 'acc-1', withdraw(101)), {
    type: 'rejected',
    code: 'cant_withdraw_more_than_current_balance',
    details: { amount: 101, balance: 100 },
  })
  t.match(await node.loadAggregate(bankAccount, 'acc-1'), { sequence: 2, state: { balance: 100 } })
})

t.test('a command sent again under its id has its first response, and no second effect', async t => {
  const node = await startBank(t)
  await node.execute(bankAccount, 'acc-1', open)
  const options = { commandId: 'deposit-1' }
  const first = await node.execute(bankAccount, 'acc-1', deposit(5), options)
  const second = await node.execute(bankAccount, 'acc-1', deposit(5), options)
  t.match(second, { ...first, replayed: true })
  t.match(await node.loadAggregate(bankAccount, 'acc-1'), { sequence: 2, state: { balance: 5 } })
})

t.test('a longer story: deposits, withdrawals, and the end', async t => {
  const node = await startBank(t)
  const story = [open, deposit(1000), deposit(500), deposit(250), withdraw(300), withdraw(200)]
  for (const command of story)
    t.match(await node.execute(bankAccount, 'acc-1', command), { type: 'accepted' }, command.type)
  t.match(await node.loadAggregate(bankAccount, 'acc-1'), { sequence: 6, state: { balance: 1250 } })
  t.match(await node.execute(bankAccount, 'acc-1', close), { type: 'accepted' })
  t.match(await node.execute(bankAccount, 'acc-1', deposit(1)), {
    type: 'rejected',
    code: 'cant_operate_on_unopened_account',
  })
})
