import t from 'tap'
import type { Libp2pMesh } from '../../src/mesh/libp2p/libp2p-mesh.ts'
import { numberedRecords } from './conformance.ts'
import { startCluster, startMesh } from './libp2p-cluster.ts'
import { until } from './real-clock.ts'

const key = '/glyn/default/1'
const soon = (): AbortSignal => AbortSignal.timeout(60_000)
const text = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString()
const withRules = (mesh: Libp2pMesh): void => mesh.setRecordRules(numberedRecords('/glyn/default/'))
const untilStored = async (mesh: Libp2pMesh, value: string, count: number): Promise<void> => {
  let stored = -1
  let isBusy = false
  await until(`${count} others store it`, () => {
    if (!isBusy) {
      isBusy = true
      void mesh.putRecord(key, Buffer.from(value), { signal: soon() }).then(({ acknowledged }) => {
        stored = acknowledged
        isBusy = false
      })
    }
    return stored === count
  })
}

t.test('a put counts who stored it, also when some are gone', async t => {
  const [a, b, c] = (await startCluster(t, 3, {}, withRules)) as [Libp2pMesh, Libp2pMesh, Libp2pMesh]
  await untilStored(a, '5', 2)
  await c.stop()
  await until('c is gone', () => !a.isConnected(c.peerId))
  const startMs = performance.now()
  await untilStored(a, '6', 1)
  t.equal(text(await b.getRecord(key, { signal: soon() })), '6')
  t.ok(performance.now() - startMs < 30_000, 'without waiting for the deadline')
  await b.stop()
  await until('b is gone', () => !a.isConnected(b.peerId))
  t.same(await a.putRecord(key, Buffer.from('7'), { signal: soon() }), { acknowledged: 0 })
  t.equal(text(await a.getRecord(key, { signal: soon() })), '7')
})

t.test('an old record put by one who knows no better replaces nothing', async t => {
  const [a, b] = (await startCluster(t, 2, {}, withRules)) as [Libp2pMesh, Libp2pMesh]
  await untilStored(a, '9', 1)
  // A third that has never seen the record puts an older one, past its own rules.
  const late = await startMesh(t, {}, mesh =>
    mesh.setRecordRules({ prefix: '/glyn/default/', validate: async () => {}, select: () => 0 }),
  )
  for (const mesh of [a, b]) await late.connect(mesh.addresses()[0] ?? '', { signal: soon() })
  let answers = 0
  let isBusy = false
  await until('both have refused it', () => {
    if (!isBusy) {
      isBusy = true
      void (async () => {
        for await (const event of late.libp2p.services.dht.put(Buffer.from(key), Buffer.from('3'), {
          signal: soon(),
        })) {
          if (event.name === 'QUERY_ERROR') answers += 1
        }
        isBusy = false
      })()
    }
    return answers >= 2
  })
  t.same(await late.putRecord(key, Buffer.from('3'), { signal: soon() }), { acknowledged: 0 })
  t.equal(text(await b.getRecord(key, { signal: soon() })), '9')
  t.equal(text(await a.getRecord(key, { signal: soon() })), '9')
})

t.test('a value is found although the peer that has an older one cannot be corrected', async t => {
  const [a, b] = (await startCluster(t, 2, {}, withRules)) as [Libp2pMesh, Libp2pMesh]
  await untilStored(a, '4', 1)
  b.setRecordRules({
    prefix: '/glyn/default/',
    validate: async (_, value) => {
      if (text(value) !== '4') throw new Error('b takes nothing new')
    },
    select: () => 0,
  })
  t.same(await a.putRecord(key, Buffer.from('8'), { signal: soon() }), { acknowledged: 0 })
  t.equal(text(await a.getRecord(key, { signal: soon() })), '8')
})
