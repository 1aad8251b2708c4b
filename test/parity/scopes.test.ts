// Two scopes, or two topics: they never see each other, also in one process.
import t from 'tap'
import { bankAccount, countByAggregate, deposit, eventually, open, recorder, startBank } from './bank-node.ts'

t.test('two scopes with the same topic are two worlds', async t => {
  const [here, there] = [recorder(), recorder()]
  const one = await startBank(t, { scope: 'one', queries: [here.query] })
  const two = await startBank(t, { scope: 'two', queries: [there.query] })
  t.not(one.clusterId, two.clusterId)
  await one.execute(bankAccount, 'acc-1', open)
  await one.execute(bankAccount, 'acc-1', deposit(100))
  await two.execute(bankAccount, 'acc-1', open)
  // Both events may come in one call.
  await eventually(
    () => countByAggregate(here.calls)['acc-1'] === 2 && there.calls.length >= 1,
    'each was told of its own',
  )
  t.match(await one.loadAggregate(bankAccount, 'acc-1'), { sequence: 2, state: { balance: 100 } })
  t.match(await two.loadAggregate(bankAccount, 'acc-1'), { sequence: 1, state: { balance: 0 } })
  t.strictSame(there.calls, [['acc-1', 1]])
  t.equal((await one.status()).members.length, 1)
})

t.test('a node of another scope or topic does not join', async t => {
  const one = await startBank(t, { scope: 'one' })
  const bootstrap = one.addresses().slice(0, 1)
  const gaveUp = { signal: AbortSignal.timeout(3000) }
  await t.rejects(startBank(t, { scope: 'two', bootstrap, ...gaveUp }))
  await t.rejects(startBank(t, { scope: 'one', topic: 'other_events', bootstrap }), {
    code: 'CLUSTER_MISMATCH',
  })
  t.equal((await one.status()).members.length, 1)
})
