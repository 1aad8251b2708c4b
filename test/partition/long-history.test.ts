// Aggregates with a long history and no snapshot: they load page by page, and nobody sees a half of them.
import t from 'tap'
import type { Accepted } from '../../src/core/outcome.ts'
import { createMemoryStore } from '../../src/store/memory/memory-store.ts'
import { counterAggregate, holdable, partition, type SingleHost, startSingleHost } from './single-host.ts'

const history = 5500
const pageEvents = 1000

const store = holdable(createMemoryStore())

/** Every call: a node that was restarted, and has loaded nothing. */
async function restart(options: Parameters<typeof startSingleHost>[0] = {}) {
  const aggregate = counterAggregate()
  const solo = await startSingleHost({ store, aggregate, ...options })
  return { solo, applied: aggregate.applied }
}

t.before(async () => {
  const { solo } = await restart()
  await Promise.all(Array.from({ length: history }, () => solo.add('long', 1)))
  await solo.add('short', 1)
  await solo.stop()
})

const sequences = (outcomes: readonly Accepted[]): number[] => outcomes.map(({ sequence }) => sequence)

t.test(
  'a call reads one page; commands and reads that come meanwhile wait for all of it, in order',
  async t => {
    const { solo, applied } = await restart()
    t.teardown(() => solo.stop())
    const first = solo.add('long', 1)
    t.equal(applied.count, pageEvents, 'one page in the turn of the call')
    const short = solo.add('short', 1)
    const second = solo.add('long', 1)
    t.equal(
      applied.count,
      pageEvents + 2,
      'the second joins the load of the first; a short one does not wait',
    )
    t.equal(solo.host.pendingCount(), 3, 'those that wait for a load count as under way')
    t.equal((await short).sequence, 2)
    t.same(sequences(await Promise.all([first, second])), [history + 1, history + 2])
    t.same((await solo.load('long')).state, { total: history + 2 })
    t.equal(applied.count, history + 1 + 3, 'it was loaded once')
  },
)

t.test('a cache that holds nothing: each command loads anew, and sequences have no gaps', async t => {
  const { solo } = await restart({ cache: { actorsMax: 1, bytesMax: 1 } })
  t.teardown(() => solo.stop())
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => solo.add('long', 1)))
  const last = (await solo.load('long')).sequence
  t.same(
    sequences(outcomes),
    Array.from({ length: 20 }, (_, n) => last - 19 + n),
  )
  t.equal((await solo.add('long', 1)).sequence, last + 1)
})

t.test('the same command id twice while the history loads is one command', async t => {
  const { solo } = await restart()
  t.teardown(() => solo.stop())
  const [one, two] = await Promise.all([solo.add('long', 1, 'same'), solo.add('long', 1, 'same')])
  t.equal(one?.sequence, two?.sequence)
  t.same([one?.replayed, two?.replayed], [false, true])
})

t.test('leadership that is lost while the history loads: NOT_LEADER, and nothing more is read', async t => {
  const { solo, applied } = await restart()
  t.teardown(() => solo.stop())
  const waiting = [solo.add('long', 1), solo.load('long'), solo.add('long', 1)]
  lose(solo)
  t.same(await codes(waiting), ['NOT_LEADER', 'NOT_LEADER', 'NOT_LEADER'])
  t.equal(applied.count, pageEvents)
  t.equal(solo.host.pendingCount(), 0)
})

t.test('what the code of the aggregate throws while it loads reaches every caller', async t => {
  const aggregate = counterAggregate()
  let throwAt = 3000
  const solo = await startSingleHost({
    store,
    aggregate: {
      ...aggregate,
      apply(state: { total: number }, event: { data: { by: number } }) {
        throwAt -= 1
        if (throwAt === 0) throw new Error('tired')
        return { total: state.total + event.data.by }
      },
    } as unknown as typeof aggregate,
  })
  t.teardown(() => solo.stop())
  const waiting = [solo.add('long', 1), solo.add('long', 2)]
  t.same(await codes(waiting), ['AGGREGATE_QUARANTINED', 'AGGREGATE_QUARANTINED'])
  t.same(await codes([solo.load('long')]), ['AGGREGATE_QUARANTINED'], 'and is remembered')
  t.equal(solo.host.pendingCount(), 0)
})

async function codes(promises: readonly Promise<unknown>[]): Promise<unknown[]> {
  const results = await Promise.allSettled(promises)
  return results.map(result =>
    result.status === 'fulfilled' ? 'fulfilled' : (result.reason as { code?: unknown }).code,
  )
}

function lose({ host }: SingleHost): void {
  host.roleChanged(partition, { role: 'follower', term: 99, leader: null, canServe: false, reason: 'test' })
}
