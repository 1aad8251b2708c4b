// What is asked while an aggregate is about to forget something waits for that, whatever it is that is asked.
import t from 'tap'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { holdable, partition, startSingleHost } from './single-host.ts'

t.test('a sequence is told when what is under way is settled', async t => {
  const store = holdable(createMemoryStore())
  const solo = await startSingleHost({ store })
  t.teardown(() => solo.stop())
  const aggregate = { type: 'counter', id: 'a' }
  await solo.add('a', 1)
  store.hold()
  const underWay = solo.add('a', 2)
  solo.host.forgetKeysOf([aggregate])
  const sequence = solo.host.sequenceOf(partition, aggregate)
  const looked = sequence.catch((error: unknown) => error)
  // Long enough for its read to be confirmed.
  await solo.host.head(partition)
  for (let turn = 0; turn < 20; turn += 1) await new Promise(resolve => setImmediate(resolve))
  store.release()
  await underWay
  t.equal(await looked, 2)
})
