// Handlers on a shared store: what is appended while their leadership begins is theirs, too.
import t from 'tap'
import { createNode } from '../../src/node/create-node.ts'
import { createMemorySharedStore } from '../../src/store/memory/memory-shared-store.ts'
import type { SharedStore } from '../../src/store/shared-store.ts'
import { counter, testTiming } from './memory-cluster.ts'

t.test('an event that is appended while a new leader asks how far the store is reaches handlers', async t => {
  const inner = createMemorySharedStore()
  const released = Promise.withResolvers<void>()
  let asked = 0
  const store: SharedStore = {
    ...inner,
    // From the second question on (the one of the new leader) the answer is on its way until it is released.
    async heads() {
      asked += 1
      const isHeld = asked > 1
      const found = await inner.heads()
      if (isHeld) await released.promise
      return found
    },
  }
  const handled = Promise.withResolvers<string>()
  const node = await createNode({
    topic: 'test',
    dataDirectory: null,
    partitions: 1,
    aggregates: [counter],
    timing: testTiming,
    store,
    handlers: [
      { name: 'notes', startFrom: 'beginning', handle: event => handled.resolve(event.aggregate.id) },
    ],
  })
  t.teardown(() => node.close())
  t.match(await node.execute('counter', 'a', { type: 'Add', data: { by: 1 } }), { sequence: 1 })
  t.ok(asked > 1, 'the answer to the leader is still on its way')
  released.resolve()
  t.equal(await handled.promise, 'a')
})
