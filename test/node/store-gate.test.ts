// The gate before a shared store: whoever gives a call up is told so, whatever the store does.
import t from 'tap'
import { createStoreGate } from '../../src/node/store-gate.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import { createMemorySharedStore } from '../../src/store/memory/memory-shared-store.ts'
import type { AppendOptions } from '../../src/store/shared-store.ts'

async function hanging() {
  const inner = createMemorySharedStore()
  const given: AppendOptions[] = []
  const store = {
    ...inner,
    append: (_: unknown, options: AppendOptions = {}) => {
      given.push(options)
      return new Promise<never>(() => {})
    },
  }
  const gate = createStoreGate({ store, clock: systemClock })
  await gate.connect(
    { scope: 'test', partitions: 1 },
    { signal: new AbortController().signal, onProgress: () => {}, check: () => {} },
  )
  return { gate, given }
}

t.test('an append whose caller gives up rejects with the reason, and the store is told', async t => {
  const { gate, given } = await hanging()
  const caller = new AbortController()
  const waiting = gate.store.append([], { isAtomic: true, signal: caller.signal })
  const reason = new Error('enough')
  caller.abort(reason)
  await t.rejects(waiting, reason)
  t.match(given, [{ isAtomic: true, signal: { aborted: true } }])
  t.equal(given[0]?.signal?.reason, reason)
  t.equal(gate.problem(), null, 'that says nothing about the store')
})

t.test('a signal that is aborted already ends the call before it begins', async t => {
  const { gate, given } = await hanging()
  const reason = new Error('never mind')
  await t.rejects(gate.store.append([], { signal: AbortSignal.abort(reason) }), reason)
  t.equal(given.length, 0)
})
