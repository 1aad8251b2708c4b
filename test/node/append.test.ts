// node.append through three nodes: gathered by partition, in order per aggregate, exactly once through changes of leadership.
import t from 'tap'
import { hasCode } from '../../src/core/errors.ts'
import { partitionOf } from '../../src/core/partition-of.ts'
import { createRpc } from '../../src/mesh/create-rpc.ts'
import { createAppender } from '../../src/node/appender.ts'
import type { GivenAppend } from '../../src/node/node-api.ts'
import { requestAppends } from '../../src/node/remote-appends.ts'
import { systemClock } from '../../src/node/system-clock.ts'
import { createMemoryCluster, eventually, type MemoryNode } from './memory-cluster.ts'

const partitions = 4
const given = (id: string, sequence: number, more: Partial<GivenAppend> = {}): GivenAppend => ({
  aggregate: { type: 'counter', id },
  expectedSequence: sequence - 1,
  commandId: `${id}-${sequence}`,
  timeMs: sequence,
  metadata: '{}',
  events: [{ type: 'Added', version: 1, data: '{"by":1}' }],
  ...more,
})
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1)

function appenderOf(node: MemoryNode, requests: number[] = []) {
  const { parts } = node
  return createAppender({
    router: parts.router,
    clock: systemClock,
    partitions,
    here(partition, appends) {
      requests.push(appends.length)
      return parts.host.append(partition, appends)
    },
    there(request) {
      requests.push(request.records.length)
      return parts.remote.append(request)
    },
  })
}

t.test('any node takes appends; leaders die meanwhile; every event is there once, in its order', async t => {
  const cluster = createMemoryCluster({ partitions, replicas: 3 })
  t.teardown(() => cluster.stop())
  const first = await cluster.start('n0')
  await cluster.start('n1')
  await cluster.start('n2')
  await eventually(
    () =>
      range(partitions).every(
        partition => first.parts.engine.status(partition)?.configuration.voters.length === 3,
      ),
    'three voters each',
  )
  const ids = ['a', 'b', 'c', 'd', 'e', 'f']
  const requests: number[] = []
  const appender = appenderOf(first, requests)
  const all = ids.flatMap(id => range(200).map(sequence => given(id, sequence)))
  const done = appender.append(all, { timeoutMs: 60_000 })
  const victim = cluster.nodes.find(node => node !== first)
  victim?.crash()
  const results = await done
  t.equal(results.length, all.length)
  for (const { type } of results) if (type === 'conflict') t.fail('a conflict where nobody else appends')
  for (const id of ids)
    t.same(await first.load(id), { ...(await first.load(id)), sequence: 200, state: { total: 200 } })
  t.ok(requests.length < all.length / 4, `${requests.length} requests for ${all.length} appends`)
  const again = await appender.append(all, { timeoutMs: 60_000 })
  t.ok(again.every(({ type }) => type === 'duplicate'))
  t.match(again[0], {
    events: [
      { aggregateId: 'a', sequence: 1, partition: partitionOf({ type: 'counter', id: 'a' }, partitions) },
    ],
  })
  t.equal(appender.underWay(), 0)
})

t.test('what is wrong is refused before anything is written, and names the append', async t => {
  const cluster = createMemoryCluster({ partitions, replicas: 1 })
  t.teardown(() => cluster.stop())
  const node = await cluster.start('n0')
  const appender = appenderOf(node)
  const refused = async (
    more: Partial<GivenAppend>,
    message: RegExp,
    code = 'INVALID_ARGUMENT',
  ): Promise<void> => {
    const call = appender.append([given('w', 1), given('w', 2, more)], { timeoutMs: 5000 })
    await t.rejects(call, { code, message })
  }
  await refused(
    { aggregate: { type: 'glyn.reactions', id: 'x' } },
    /append 2: aggregate type is "glyn\.reactions"/,
  )
  await refused({ expectedSequence: -1 }, /append 2: expectedSequence is -1/)
  await refused({ timeMs: Number.NaN }, /append 2: timeMs is null/)
  await refused({ metadata: '{"a":1}' }, /append 2: metadata a is 1/)
  await refused({ events: [] }, /append 2: events is \[\]/)
  await refused({ events: [{ type: 'A', version: 0, data: '{}' }] }, /append 2: event 1: version is 0/)
  await refused({ events: [{ type: 'A', version: 1, data: '{' }] }, /append 2: event 1: data is "\{"/)
  const large = { type: 'A', version: 1, data: JSON.stringify('x'.repeat(1_000_000)) }
  await refused(
    { events: [large, large, large] },
    /append 2 has 3\d+ bytes; allowed: 2097152/,
    'MESSAGE_TOO_LARGE',
  )
  t.equal((await node.load('w')).sequence, 0)
  const given2 = appender.append([given('w', 1), given('w', 1, { commandId: 'other' })], { timeoutMs: 5000 })
  t.match(await given2, [
    { type: 'appended', index: Number },
    { type: 'conflict', sequence: 1 },
  ])
})

t.test('without a leader it is UNAVAILABLE at its deadline, and a caller may give up before', async t => {
  const cluster = createMemoryCluster({ partitions, replicas: 3 })
  t.teardown(() => cluster.stop())
  const first = await cluster.start('n0')
  await cluster.start('n1')
  await cluster.start('n2')
  await eventually(
    () =>
      range(partitions).every(
        partition => first.parts.engine.status(partition)?.configuration.voters.length === 3,
      ),
    'three voters each',
  )
  for (const node of [...cluster.nodes]) if (node !== first) node.crash()
  const appender = appenderOf(first)
  const controller = new AbortController()
  const waiting = appender.append([given('u', 1)], { timeoutMs: 60_000, signal: controller.signal })
  await t.rejects(appender.append([given('v', 1)], { timeoutMs: 300 }), { code: 'UNAVAILABLE' })
  controller.abort()
  await t.rejects(waiting, { code: 'TIMEOUT' })
  await eventually(() => appender.underWay() === 0, 'nothing waits')
})

t.test('a client claims no id of the reactions', async t => {
  const cluster = createMemoryCluster({ partitions: 1, replicas: 1 })
  t.teardown(() => cluster.stop())
  await cluster.start('n0')
  const mesh = cluster.network.createMesh({ peerId: 'client' })
  await mesh.start()
  t.teardown(() => mesh.stop())
  await mesh.connect('/memory/n0', { signal: AbortSignal.timeout(10_000) })
  const rpc = createRpc({ mesh, clock: systemClock })
  const { encodeAppend } = await import('../../src/node/append-frame.ts')
  const ask = (append: GivenAppend) =>
    requestAppends(rpc, { peerId: 'n0', partition: 1, records: [encodeAppend(append)], timeoutMs: 5000 })
  const failure = await ask(given('a', 1, { commandId: 'glyn:x' })).catch((error: unknown) => error)
  t.ok(hasCode(failure, 'INVALID_ARGUMENT'))
  t.match(await ask(given('a', 1)), [{ type: 'appended' }])
})
