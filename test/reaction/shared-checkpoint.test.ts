// Checkpoints on a shared store, where one that leads no more does not know it yet.
import t from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import {
  type Checkpoint,
  checkpointAggregate,
  checkpointKey,
  noCheckpoint,
  type PendingTimer,
} from '../../src/reaction/checkpoint-aggregate.ts'
import { createCheckpointer } from '../../src/reaction/checkpointer.ts'
import type { ReactionEnvironment } from '../../src/reaction/reaction.ts'
import { createSharedMemory } from '../../src/store/memory/memory-shared-store.ts'
import { openMemory, startSharedHost } from '../partition/shared-hosts.ts'
import { partition } from '../partition/single-host.ts'

const key = checkpointKey(partition, 1)
const done = { performed: 1, passed: 0 }
const timer = (setBy: number): PendingTimer => ({
  process: 'p',
  instance: 'i',
  name: 'due',
  setBy,
  dueMs: setBy,
  delayMs: 1,
})

t.test('what a deposed leader writes late does not take back what the next one has written', async t => {
  const memory = createSharedMemory()
  const lead = async (term: number) => {
    const { host } = await startSharedHost({
      store: await openMemory(memory),
      aggregate: checkpointAggregate,
      term,
    })
    const { state, sequence } = await host.load(partition, key)
    const over = new AbortController()
    t.teardown(() => over.abort())
    const environment = {
      clock: systemClock,
      log: silentLog,
      checkpointScope: () => 'cluster/',
      execute: host.execute,
    } as unknown as ReactionEnvironment
    const known = { state: (state as Checkpoint) ?? noCheckpoint, part: 1, sequence, lastPart: 1 }
    return {
      host,
      checkpointer: createCheckpointer({ environment, partition, term, known, signal: over.signal }),
    }
  }
  const first = await lead(1)
  first.checkpointer.set(timer(5))
  first.checkpointer.note('p', 5, done)
  const second = await lead(2)
  second.checkpointer.set(timer(7))
  second.checkpointer.note('p', 7, done)
  await second.checkpointer.flush()
  await first.checkpointer.flush()
  second.checkpointer.note('p', 8, done)
  await second.checkpointer.flush()
  t.match((await first.host.load(partition, key)).state, {
    positions: { p: 8 },
    timers: { 'p/due/i': { setBy: 7 } },
  })
  // Terms that begin anew (a recovered cluster, another one on the same store) come after what is there.
  const third = await lead(1)
  third.checkpointer.note('p', 9, done)
  await third.checkpointer.flush()
  t.match((await first.host.load(partition, key)).state, { positions: { p: 9 } })
})
