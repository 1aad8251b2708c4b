import t from 'tap'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { testConformance } from './conformance.ts'

t.test('the memory store keeps the promises of a local store', t =>
  testConformance(t, {
    async open(t) {
      const store = createMemoryStore()
      t.teardown(() => store.close())
      return store
    },
  }),
)

t.test('its storage id can be given', async t => {
  t.equal(createMemoryStore({ storageId: 'given' }).storageId, 'given')
})
