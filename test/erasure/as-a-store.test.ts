// A node with subjects that is used as an event store: what rests encrypted is read as it was, and no state rests in the clear.
import t from 'tap'
import { partitionOf } from '../../src/core/partition-of.ts'
import { createNode } from '../../src/node/create-node.ts'
import { glynStore } from '../../src/node/glyn-store.ts'
import { sqliteStore } from '../../src/node/inner-store.ts'
import { testTiming } from '../node/memory-cluster.ts'
import { directoryOf } from '../support/directory-of.ts'
import { customer, filesWith, tell } from './customers.ts'

t.test('events, outcomes and snapshots', { timeout: 60_000 }, async t => {
  const path = directoryOf(t)
  const store = glynStore({ topic: 'customers', scope: 'kit' }, sqliteStore({ path }))
  const node = await createNode({ store, aggregates: [customer], timing: testTiming, partitions: 2 })
  t.teardown(() => node.close())
  const aggregate = { type: 'customer', id: '1' }
  await tell(node, '1', 'Register', { name: 'Grace Secretname' }, 'first')
  await tell(node, '1', 'Move', { city: 'Secretcity' })
  const partition = partitionOf(aggregate, 2)
  const names = (rows: readonly { readonly data: string }[]) => rows.map(({ data }) => data)
  const expected = ['{"name":"Grace Secretname"}', '{"city":"Secretcity"}']
  t.same(names(await store.readStream(aggregate, { fromSequence: 1, limit: 10 })), expected)
  t.same(names(await store.readLog(partition, { afterIndex: 0, limit: 10 })), expected)
  t.same(names(await store.readCommand(aggregate, 'first')), expected.slice(0, 1))
  await store.writeSnapshots([
    { aggregate, sequence: 2, definition: 'mine', timeMs: 0, state: '{"name":"Grace Secretname"}' },
  ])
  t.equal(await store.latestSnapshot(aggregate), undefined, 'a state of subjects is not taken')
  await tell(node, '1', 'Visit', { page: 'plain' })
  await tell(node, '1', 'Visit', { page: 'plain' })
  const snapshot = await store.latestSnapshot(aggregate)
  t.notMatch(snapshot?.state ?? '', /\$encrypted/)
  t.same(filesWith(path, 'Secret'), [])
  await node.forget('person-1', { timeoutMs: 20_000 })
  t.notMatch(
    JSON.stringify(await store.readLog(partition, { afterIndex: 0, limit: 10 })),
    /Secret|\$encrypted/,
  )
  t.notMatch((await store.latestSnapshot(aggregate))?.state ?? '', /Secret|\$encrypted/)
})
