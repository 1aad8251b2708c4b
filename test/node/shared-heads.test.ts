// A node on a shared store says that it is ready when it knows how far the store is: `now` is that.
import t from 'tap'
import { createNode } from '../../src/node/create-node.ts'
import { createMemorySharedStore, createSharedMemory } from '../../src/store/memory/memory-shared-store.ts'
import { counter, testTiming } from './memory-cluster.ts'

t.test('a node that joins knows the history that was there before it', async t => {
  const memory = createSharedMemory()
  const start = async (more: { readonly bootstrap?: readonly string[]; readonly role?: 'query' } = {}) => {
    const node = await createNode({
      topic: 'test',
      dataDirectory: null,
      partitions: 1,
      aggregates: [counter],
      timing: testTiming,
      store: createMemorySharedStore({ memory }),
      ...more,
    })
    t.teardown(() => node.close())
    return node
  }
  const first = await start()
  for (const by of [1, 2, 3]) await first.execute('counter', 'a', { type: 'Add', data: { by } })
  const second = await start({ bootstrap: first.addresses(), role: 'query' })
  const present = second.subscribe({ from: 'now' })
  let seen = 0
  for await (const event of second.subscribe({ from: 'start', until: 'now' })) seen = event.sequence
  t.equal(seen, 3, 'all that was there')
  await second.execute('counter', 'a', { type: 'Add', data: { by: 4 } })
  for await (const event of present) {
    t.equal(event.sequence, 4, 'and now begins after it')
    break
  }
})
