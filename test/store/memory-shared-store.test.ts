import t from 'tap'
import {
  createMemorySharedStore,
  createSharedMemory,
  type SharedMemory,
} from '../../src/store/memory/memory-shared-store.ts'
import { checkClaim, sharedStoreClaims } from '../../src/testing/shared-store/check-shared-store.ts'

t.test('the shared memory store keeps the promises of a shared store', async t => {
  const places = new Map<string, SharedMemory>()
  const create = (place: string) => {
    const memory = places.get(place) ?? createSharedMemory()
    places.set(place, memory)
    return createMemorySharedStore({ memory })
  }
  for (const claim of sharedStoreClaims) {
    await t.test(claim.name, () => checkClaim(claim, { create, remove: place => void places.delete(place) }))
  }
})

t.test('a store that was not opened says so', async t => {
  const store = createMemorySharedStore()
  await t.rejects(store.heads(), { code: 'EVENT_STORE_ERROR', message: /call open\(\) first/ })
})
