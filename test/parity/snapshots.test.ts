// Snapshots every so many events: a long history is not read from its beginning, and nobody sees the difference.
import t from 'tap'
import { type Command, defineAggregate } from '../../src/index.ts'
import { startBank } from './bank-node.ts'

/** Counts how often `apply` is asked. */
function counted(snapshotEvery?: number) {
  let applied = 0
  const definition = defineAggregate({
    type: 'counted',
    emptyState: { total: 0 },
    handle: (_state, command: Command<'Add', number>) => ({ type: 'Added', data: command.data }),
    apply(state, event) {
      applied += 1
      return { total: state.total + event.data }
    },
  })
  return {
    aggregate: snapshotEvery === undefined ? definition : { ...definition, snapshotEvery },
    applied: () => applied,
  }
}

for (const [name, every, appliedMax] of [
  ['with a snapshot every 3 events the last few events are read', 3, 2],
  ['without snapshots all events are', undefined, 20],
] as const) {
  t.test(name, async t => {
    const dataDirectory = t.testdir()
    const first = counted(every)
    const before = await startBank(t, { dataDirectory, aggregates: [first.aggregate] })
    for (let n = 1; n <= 20; n += 1) await before.execute(first.aggregate, 'a', { type: 'Add', data: n })
    await before.close()

    const second = counted(every)
    const node = await startBank(t, { dataDirectory, aggregates: [second.aggregate] })
    t.match(await node.loadAggregate(second.aggregate, 'a'), { sequence: 20, state: { total: 210 } })
    if (every === undefined) t.equal(second.applied(), appliedMax)
    else t.ok(second.applied() <= appliedMax, `${second.applied()} events were applied`)
    t.equal((await node.loadEvents(second.aggregate, 'a')).length, 20, 'the history is whole')
    const snapshot = await node.latestSnapshot(second.aggregate, 'a')
    if (every === undefined) t.equal(snapshot, null)
    else t.match(snapshot, { sequence: 18, state: { total: 171 }, isCurrent: true }, 'the latest snapshot')
    t.equal(await node.latestSnapshot(second.aggregate, 'nobody'), null)
  })
}

t.test('every 0 or -1 events is refused', async t => {
  for (const every of [0, -1, 1.5])
    t.throws(() => defineAggregate(counted(every).aggregate), { code: 'NON_POSITIVE_ARGUMENT' })
})
