// When a replica that moved away is set at rest, and when it must not be.
import t from 'tap'
import { emptyClusterState } from '../../src/cluster/cluster-state.ts'
import { createLeftReplicas } from '../../src/cluster/left-replicas.ts'
import type { Seating } from '../../src/cluster/seats.ts'
import { silentLog } from '../../src/core/log.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import type { RaftStatus } from '../../src/raft/raft.ts'

const self = 'x/s'

/** What is at rest after one look. */
async function rested(status: Pick<RaftStatus, 'lastIndex' | 'configurationIndex' | 'role'>, index: number) {
  const resting: number[] = []
  const { promise: hasLooked, resolve } = Promise.withResolvers<void>()
  let first: (() => void) | undefined
  const left = createLeftReplicas({
    clock: {
      ...systemClock,
      after(_ms, action) {
        if (first === undefined) first = action
        // It schedules itself again when it has looked.
        else resolve()
        return () => {}
      },
    },
    log: silentLog,
    self,
    state: () => ({ ...emptyClusterState, wanted: new Map([[1, { voters: ['a/s'], learners: [] }]]) }),
    seats: {
      gather: async () =>
        new Map<number, readonly Seating[]>([
          [
            1,
            [
              {
                partition: 1,
                term: 7,
                isSure: true,
                leader: 'a',
                index,
                configuration: { voters: ['a/s'], learners: [] },
              },
            ],
          ],
        ]),
    },
    partitions: () => [1],
    statusOf: () => ({ ...status, id: self }) as RaftStatus,
    rest: partition => resting.push(partition),
  })
  left.start()
  first?.()
  await hasLooked
  left.stop()
  return resting
}

t.test('one that ends before its removal, or with it, rests', async t => {
  t.same(await rested({ role: 'follower', lastIndex: 9, configurationIndex: 2 }, 10), [1])
  t.same(await rested({ role: 'follower', lastIndex: 10, configurationIndex: 10 }, 10), [1])
})

t.test('one that went on alone as a leader of old, and was removed meanwhile, rests', async t => {
  t.same(await rested({ role: 'pre-candidate', lastIndex: 25, configurationIndex: 2 }, 10), [1])
})

t.test('one that has a later configuration was perhaps taken back, and does not rest', async t => {
  t.same(await rested({ role: 'follower', lastIndex: 12, configurationIndex: 11 }, 10), [])
})
