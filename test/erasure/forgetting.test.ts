// What is said of a member that confirms, and then does not answer any more.
import t from 'tap'
import { createForgetting } from '../../src/erasure/forgetting.ts'
import type { KeyExchange } from '../../src/erasure/key-exchange.ts'
import { encodeJson } from '../../src/erasure/known-keys-codec.ts'
import type { Tombstones } from '../../src/erasure/tombstones.ts'
import type { Rpc } from '../../src/mesh/rpc.ts'
import { createMemoryKeyStore } from '../../src/store/memory/memory-key-store.ts'
import { createManualClock } from '../mesh/manual-clock.ts'

t.test('who has confirmed has forgotten, also when it does not answer later', async t => {
  const clock = createManualClock()
  const store = createMemoryKeyStore()
  const asked = new Map<string, number>()
  const rpc: Pick<Rpc, 'serve' | 'request'> = {
    serve() {},
    async request(peerId, method) {
      if (method === 'subject.status')
        return encodeJson({ state: 'remembers', keys: 1, untold: 0 }) as Uint8Array<ArrayBuffer>
      const times = (asked.get(peerId) ?? 0) + 1
      asked.set(peerId, times)
      if (peerId === 'away') throw new Error('nobody there')
      if (times > 1) throw new Error('too slow')
      return encodeJson({ state: 'forgotten', keys: 1, untold: 0 }) as Uint8Array<ArrayBuffer>
    },
  }
  const forgetting = createForgetting({
    self: 'self',
    scope: 'default',
    store,
    exchange: { join: async known => void (await store.join(known)) } as Pick<
      KeyExchange,
      'join'
    > as KeyExchange,
    tombstones: { pending: () => 0 } as Pick<Tombstones, 'pending'> as Tombstones,
    rpc: rpc as Rpc,
    clock,
    members: () => ['self', 'slow', 'away'].map(peerId => ({ peerId, name: peerId })),
  })
  const forgotten = forgetting.forget('person', { timeoutMs: 600 })
  await clock.advance(600)
  const report = await forgotten
  t.ok((asked.get('slow') ?? 0) > 1, 'it was asked again, because another is missing')
  t.equal(report.complete, false)
  t.match(report.members, [
    { name: 'away', state: 'unknown', keys: null, untold: null, error: 'nobody there' },
    { name: 'self', state: 'forgotten', error: null },
    { name: 'slow', state: 'forgotten', keys: 1, untold: null, error: 'too slow' },
  ])
})
