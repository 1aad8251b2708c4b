// `subscribers`: which nodes run which queries.
import t from 'tap'
import type { NodeSubscribers } from '../../src/node/node-api.ts'
import { balance, eventually, recorder, startBank } from './bank-node.ts'

t.test('every node with every query of it, and how far each is', async t => {
  const { query } = recorder()
  const first = await startBank(t, { name: 'a', queries: [balance] })
  const second = await startBank(t, {
    name: 'b',
    bootstrap: first.addresses().slice(0, 1),
    queries: [balance, query],
  })
  const wanted = [
    ['a', ['balance']],
    ['b', ['balance', 'query']],
  ]
  for (const node of [first, second]) {
    let found: readonly NodeSubscribers[] = []
    await eventually(async () => {
      found = await node.subscribers()
      return found.length === 2 && found.every(({ state }) => state === 'known')
    }, 'both are known')
    t.strictSame(
      found.map(({ name, queries }) => [name, queries.map(one => one.name)]),
      wanted,
    )
  }
  await second.close()
  const [, gone] = await first.subscribers({ timeoutMs: 500 })
  t.match(gone, { name: 'b', state: 'unknown', error: String }, 'who does not answer is named')
})
