// Handlers on a shared store: what is appended while their leadership begins is theirs, too.
import t from 'tap'
import { defineHandler } from '../../src/reaction/define-handler.ts'
import { createMemorySharedStore } from '../../src/store/memory/memory-shared-store.ts'
import { createMemoryCluster } from './memory-cluster.ts'

t.test('an event that is appended while a new leader asks how far the store is reaches handlers', async t => {
  const inner = createMemorySharedStore()
  await inner.open({ scope: 'default', partitions: 1 })
  const released = Promise.withResolvers<void>()
  let asked = 0
  const store = {
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
  const handler = defineHandler({
    name: 'notes',
    startFrom: 'beginning',
    handle: event => handled.resolve(event.aggregate.id),
  })
  const cluster = createMemoryCluster({ partitions: 1, replicas: 1 })
  t.teardown(() => cluster.stop())
  const node = await cluster.start('n0', { shared: store, handlers: [handler] })
  t.match(await node.execute('a', { type: 'Add', data: { by: 1 } }), { sequence: 1 })
  t.ok(asked > 1, 'the answer to the leader is still on its way')
  released.resolve()
  t.equal(await handled.promise, 'a')
})
