// A query that fails stops neither commands nor other queries, and misses nothing when it is well again.
import t from 'tap'
import { balance, bankAccount, deposit, eventually, open, startBank } from './bank-node.ts'

t.test('a query that throws is called again with the same events', async t => {
  let isBroken = true
  const seen: string[] = []
  const node = await startBank(t, {
    queries: [
      function moody(_id, events) {
        if (isBroken) throw new Error('not today')
        for (const { id } of events) seen.push(id)
      },
      balance,
    ],
  })
  await node.execute(bankAccount, 'acc-1', open)
  const paid = await node.execute(bankAccount, 'acc-1', deposit(5))
  const after = paid.type === 'accepted' ? paid.token : ''
  t.match(await node.query(balance, 'get', { id: 'acc-1' }, { after }), { amount: 5 }, 'others go on')
  const moody = async () => (await node.queries.list()).find(({ name }) => name === 'moody')
  await eventually(async () => (await moody())?.state === 'retrying', 'it says that it fails')
  t.match(await moody(), { lastError: { message: /not today/ }, lag: Number })
  isBroken = false
  await eventually(() => seen.length === 2, 'it was told of both in the end')
  t.strictSame(seen, ['bank_account/acc-1/1', 'bank_account/acc-1/2'])
})

t.test('a question that is none, and a query that is none', async t => {
  const node = await startBank(t, { queries: [balance] })
  await t.rejects(node.query('balance', 'worst', {}), {
    code: 'UNKNOWN_QUESTION',
    message: /allowed: get, top, total/,
  })
  await t.rejects(node.query('no_such', 'get', {}), { code: 'UNKNOWN_QUERY' })
})
