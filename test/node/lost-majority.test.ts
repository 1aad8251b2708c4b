// A partition that lost its majority: callers are told within their deadline who is missing, and since when.
import t from 'tap'
import type { GlynError } from '../../src/core/errors.ts'
import { createMemoryCluster, eventually } from './memory-cluster.ts'
import { settle } from './settle.ts'

t.test('without a majority a command answers UNAVAILABLE in time, and names the missing', async t => {
  const cluster = createMemoryCluster({ partitions: 3 })
  t.teardown(() => cluster.stop())
  for (const name of ['a', 'b', 'c']) await cluster.start(name)
  await settle(cluster)
  const [a, b, c] = cluster.nodes
  if (a === undefined || b === undefined || c === undefined) throw new Error('three nodes')
  await a.execute('x', { type: 'Add', data: { by: 1 } })
  b.crash()
  await eventually(() => !a.parts.contacts.of('b').isConnected, 'a notices that b is gone')
  await a.execute('x', { type: 'Add', data: { by: 1 } }, { timeoutMs: 30_000 })
  const one = a.parts.missingOf(1)
  t.match(one, { voters: 3, missing: [{ peerId: 'b', name: 'b' }], hasMajority: true })
  t.notMatch(one?.text, /without a majority/, 'two of three go on')

  c.crash()
  await eventually(() => !a.parts.contacts.of('c').isConnected, 'a notices that c is gone')
  const startedAt = performance.now()
  const error = await a.execute('x', { type: 'Add', data: { by: 1 } }, { timeoutMs: 1500 }).then(
    () => undefined,
    (reason: GlynError) => reason,
  )
  const tookMs = performance.now() - startedAt
  t.match(error, {
    code: 'UNAVAILABLE',
    retryable: true,
    details: { missing: [{ name: 'b' }, { name: 'c' }] },
  })
  t.match(
    error?.message,
    /^partition \d could not be reached within 1500 ms: 2 of its 3 voters cannot be reached from here: [bc] \([bc]\) since 20\d\d-.*Z, for \d+ s; .*; without a majority nothing can be decided$/,
  )
  t.ok(tookMs >= 1400, `not before its deadline: ${tookMs} ms`)
  t.ok(tookMs < 10_000, `and not long after: ${tookMs} ms`)
})
