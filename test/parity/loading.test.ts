// Aggregates are loaded from their events.
import t from 'tap'
import { bankAccount, deposit, open, startBank, withdraw } from './bank-node.ts'

t.test('an aggregate is its events, applied', async t => {
  const node = await startBank(t)
  for (const command of [open, deposit(100), withdraw(30)]) await node.execute(bankAccount, 'acc-1', command)
  t.match(await node.loadAggregate(bankAccount, 'acc-1'), {
    aggregate: { type: 'bank_account', id: 'acc-1' },
    sequence: 3,
    state: { status: 'open', balance: 70 },
  })
  const events = await node.loadEvents(bankAccount, 'acc-1')
  t.strictSame(
    events.map(({ type, sequence, version }) => [type, sequence, version]),
    [
      ['AccountOpened', 1, 1],
      ['CustomerDepositedCash', 2, 1],
      ['CustomerWithdrewCash', 3, 1],
    ],
  )
})

t.test('one without events is the empty state at sequence 0, and has no events', async t => {
  const node = await startBank(t)
  t.match(await node.loadAggregate(bankAccount, 'nobody'), { sequence: 0, state: bankAccount.emptyState })
  t.strictSame(await node.loadEvents(bankAccount, 'nobody'), [])
})

t.test('what was acknowledged is there after a restart', async t => {
  const dataDirectory = t.testdir()
  const before = await startBank(t, { dataDirectory })
  await before.execute(bankAccount, 'acc-1', open)
  await before.execute(bankAccount, 'acc-1', deposit(5))
  await before.close()
  const node = await startBank(t, { dataDirectory })
  t.match(await node.loadAggregate(bankAccount, 'acc-1'), { sequence: 2, state: { balance: 5 } })
})
