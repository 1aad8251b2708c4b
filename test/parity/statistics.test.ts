// Statistics: of the node as a whole, and of one aggregate.
import t from 'tap'
import { balance, bankAccount, deposit, eventually, open, startBank, withdraw } from './bank-node.ts'

t.test('system statistics count what is stored and what was asked', async t => {
  const node = await startBank(t, { queries: [balance], name: 'one' })
  await node.execute(bankAccount, 'acc-1', open)
  const again = { commandId: 'deposit-1' }
  await node.execute(bankAccount, 'acc-1', deposit(5), again)
  const paid = await node.execute(bankAccount, 'acc-1', deposit(5), again)
  await node.execute(bankAccount, 'acc-2', open)
  await node.execute(bankAccount, 'acc-2', withdraw(5))
  await t.rejects(node.execute('bank_account', 'acc-2', { type: 'Nothing', data: {} }))
  const after = paid.type === 'accepted' ? paid.token : ''
  await node.query(balance, 'total', {}, { after })
  await eventually(
    async () => (await node.systemStats()).queries.running === 1,
    'the query has seen what came later, too',
  )
  t.match(await node.systemStats(), {
    node: { name: 'one', peerId: node.peerId },
    store: {
      partitions: 4,
      aggregates: [
        {
          type: 'bank_account',
          aggregates: 2,
          events: 3,
          kinds: [
            { type: 'AccountOpened', version: 1, events: 2 },
            { type: 'CustomerDepositedCash', version: 1, events: 1 },
          ],
        },
      ],
    },
    commands: { accepted: 3, replayed: 1, rejected: 1, failed: 1, pending: 0 },
    queries: { total: 1, running: 1, answered: 1 },
    mesh: { members: 1, connected: 0 },
    quarantined: 0,
  })
})

t.test('statistics of an aggregate', async t => {
  const node = await startBank(t)
  await node.execute(bankAccount, 'acc-1', open)
  await node.execute(bankAccount, 'acc-1', deposit(5))
  t.match(await node.aggregateStats(bankAccount, 'acc-1'), {
    aggregate: { type: 'bank_account', id: 'acc-1' },
    sequence: 2,
    events: 2,
    snapshot: null,
    pending: 0,
    quarantined: null,
  })
  t.match(await node.aggregateStats(bankAccount, 'nobody'), { sequence: 0, events: 0, firstTime: null })
})
