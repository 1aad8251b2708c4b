// Several queries: each event to each of them, independently, once.
import t from 'tap'
import { balance, bankAccount, deposit, eventually, open, recorder, startBank } from './bank-node.ts'

t.test('each query is told of each event, with the aggregate that it is of', async t => {
  const [one, two, three] = [recorder(), recorder(), recorder()]
  const named = (name: string, query: typeof one.query) =>
    Object.defineProperty(query, 'name', { value: name })
  const node = await startBank(t, {
    queries: [named('one', one.query), named('two', two.query), named('three', three.query), balance],
  })
  await node.execute(bankAccount, 'acc-1', open)
  for (const { calls } of [one, two, three]) {
    await eventually(() => calls.length === 1, 'it was told')
    t.strictSame(calls, [['acc-1', 1]])
  }
  const paid = await node.execute(bankAccount, 'acc-1', deposit(5))
  const after = paid.type === 'accepted' ? paid.token : ''
  t.match(await node.query(balance, 'get', { id: 'acc-1' }, { after }), { amount: 5 })
  for (const { calls } of [one, two, three]) {
    await eventually(() => calls.length === 2, 'and again')
    t.strictSame(calls, [
      ['acc-1', 1],
      ['acc-1', 1],
    ])
  }
})

t.test('a query on each node of a cluster', async t => {
  const seen = [recorder(), recorder()]
  const first = await startBank(t, { name: 'a', queries: [seen[0]?.query ?? (() => {})] })
  await startBank(t, {
    name: 'b',
    bootstrap: first.addresses().slice(0, 1),
    queries: [seen[1]?.query ?? (() => {})],
  })
  await first.execute(bankAccount, 'acc-1', open)
  for (const { calls } of seen) {
    await eventually(() => calls.length === 1, 'each node has told its query')
    t.strictSame(calls, [['acc-1', 1]])
  }
})
