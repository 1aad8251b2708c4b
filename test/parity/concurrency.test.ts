// Many at once: none is lost, none counts twice, and histories have no gaps.
import t from 'tap'
import { bankAccount, deposit, open, startBank, withdraw } from './bank-node.ts'

t.test('commands to one aggregate at the same time are carried out one after the other', async t => {
  const node = await startBank(t)
  await node.execute(bankAccount, 'acc-1', open)
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, () => node.execute(bankAccount, 'acc-1', deposit(1))),
  )
  const sequences = outcomes.map(outcome => (outcome.type === 'accepted' ? outcome.sequence : 0))
  t.strictSame(
    sequences.toSorted((a, b) => a - b),
    Array.from({ length: 100 }, (_, n) => n + 2),
  )
  t.match(await node.loadAggregate(bankAccount, 'acc-1'), { sequence: 101, state: { balance: 100 } })
})

t.test('of two who take the last money one gets it', async t => {
  const node = await startBank(t)
  await node.execute(bankAccount, 'acc-1', open)
  await node.execute(bankAccount, 'acc-1', deposit(100))
  const outcomes = await Promise.all([1, 2, 3].map(() => node.execute(bankAccount, 'acc-1', withdraw(100))))
  t.strictSame(outcomes.map(({ type }) => type).toSorted(), ['accepted', 'rejected', 'rejected'])
  t.match(await node.loadAggregate(bankAccount, 'acc-1'), { state: { balance: 0 } })
})
