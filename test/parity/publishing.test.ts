// `publish`: a message to the queries of every node that is not an event and is stored nowhere.
import t from 'tap'
import { defineQuery } from '../../src/index.ts'
import { bankAccount, eventually, open, startBank } from './bank-node.ts'

const listener = () => {
  const heard: unknown[] = []
  const query = defineQuery({
    name: 'listener',
    handle() {},
    onMessage: ({ type, data, aggregate }) => void heard.push({ type, data, aggregate }),
  })
  return { heard, query }
}

t.test('every node tells its queries, and no history has it', async t => {
  const [a, b] = [listener(), listener()]
  const first = await startBank(t, { name: 'a', queries: [a.query] })
  await startBank(t, { name: 'b', bootstrap: first.addresses().slice(0, 1), queries: [b.query] })
  await first.execute(bankAccount, 'acc-1', open)
  const aggregate = { type: 'bank_account', id: 'acc-1' }
  // Gossip needs a moment until both know each other's subscription.
  await eventually(async () => {
    await first.publish({ type: 'RateChanged', data: { rate: 1.5 }, aggregate })
    return a.heard.length > 0 && b.heard.length > 0
  }, 'both were told')
  for (const { heard } of [a, b])
    t.strictSame(heard[0], { type: 'RateChanged', data: { rate: 1.5 }, aggregate })
  t.equal((await first.loadEvents(bankAccount, 'acc-1')).length, 1)
  await t.rejects(first.publish({ type: '' }), { code: 'INVALID_ARGUMENT' })
})

t.test('committed events are published: whoever subscribes is told, in order', async t => {
  const node = await startBank(t)
  const live = node.subscribe({ from: 'start', filter: { aggregates: [bankAccount] } })
  await node.execute(bankAccount, 'acc-1', open)
  for await (const event of live) {
    t.match(event, { type: 'AccountOpened', sequence: 1 })
    break
  }
})
