// Placement records: signed by their leader, never older than the one held, the higher term wins.
import { PbfWriter } from 'pbf'
import t from 'tap'
import { createMemoryNetwork } from '../../src/mesh/memory/memory-mesh.ts'
import type { Mesh } from '../../src/mesh/mesh.ts'
import {
  isNewer,
  openPlacementRecord,
  type PlacementRecord,
  placementKey,
  placementRecordRules,
  sealPlacementRecord,
} from '../../src/registry/placement-record.ts'
import { realClock } from '../mesh/real-clock.ts'

async function twoMeshes(): Promise<{ a: Mesh; b: Mesh }> {
  const network = createMemoryNetwork({ clock: realClock })
  const [a, b] = [network.createMesh({ peerId: 'a' }), network.createMesh({ peerId: 'b' })]
  await Promise.all([a.start(), b.start()])
  return { a, b }
}

const recordOf = (more: Partial<PlacementRecord> = {}): PlacementRecord => ({
  clusterId: 'c1',
  partition: 7,
  term: 3,
  leader: 'a',
  addresses: ['/memory/a'],
  replicas: ['a', 'b', 'c'],
  issuedAtMs: 1_700_000_000_000,
  ...more,
})
const key = placementKey('bank', 7)
const rulesOf = (mesh: Mesh) => placementRecordRules({ scope: 'bank', mesh, partitionsMax: 32 })

t.test('a record opens as it was sealed', async t => {
  const { a, b } = await twoMeshes()
  const record = recordOf()
  t.strictSame(
    await openPlacementRecord(key, await sealPlacementRecord(record, a), { scope: 'bank', mesh: b }),
    record,
  )
  const bare = recordOf({ addresses: [], replicas: [], issuedAtMs: 0 })
  t.strictSame(
    await openPlacementRecord(key, await sealPlacementRecord(bare, a), { scope: 'bank', mesh: b }),
    bare,
  )
})

t.test('the key carries the scope and the partition', async t => {
  t.equal(key, '/glyn/bank/7')
  t.equal(rulesOf((await twoMeshes()).a).prefix, '/glyn/bank/')
})

t.test('a record signed by somebody else is refused', async t => {
  const { a, b } = await twoMeshes()
  const forged = await sealPlacementRecord(recordOf({ leader: 'a' }), b)
  await t.rejects(rulesOf(a).validate(key, forged), { code: 'INVALID_ARGUMENT', message: /not signed by a/ })
})

t.test('a record with a changed bit is refused, or says the same', async t => {
  const { a, b } = await twoMeshes()
  const sealed = await sealPlacementRecord(recordOf(), a)
  let refused = 0
  for (let place = 0; place < sealed.length; place += 1) {
    const changed = Uint8Array.from(sealed)
    changed[place] = (changed[place] ?? 0) ^ 1
    const opened = await openPlacementRecord(key, changed, { scope: 'bank', mesh: b }).catch(() => undefined)
    if (opened === undefined) refused += 1
    else t.strictSame(opened, recordOf(), `byte ${place}`)
  }
  // Three bytes are tags of the envelope whose wire type nobody reads; all others are content or signature.
  t.equal(refused, sealed.length - 3)
})

t.test('a record is refused under the key of another partition or scope', async t => {
  const { a } = await twoMeshes()
  const sealed = await sealPlacementRecord(recordOf(), a)
  await t.rejects(rulesOf(a).validate(placementKey('bank', 8), sealed), {
    message: /it speaks of partition 7/,
  })
  await t.rejects(rulesOf(a).validate(placementKey('shop', 7), sealed), { code: 'INVALID_ARGUMENT' })
})

t.test('a record without a leader, without a term or of no partition is refused', async t => {
  const { a } = await twoMeshes()
  await t.rejects(rulesOf(a).validate(key, await sealPlacementRecord(recordOf({ leader: '' }), a)), {
    message: /no leader/,
  })
  await t.rejects(rulesOf(a).validate(key, await sealPlacementRecord(recordOf({ term: 0 }), a)), {
    message: /no term/,
  })
  const far = await sealPlacementRecord(recordOf({ partition: 33 }), a)
  await t.rejects(rulesOf(a).validate(placementKey('bank', 33), far), { message: /at most 32 partitions/ })
})

t.test('what is no record at all is refused', async t => {
  const { a } = await twoMeshes()
  for (const bytes of [
    new Uint8Array(),
    new Uint8Array(10),
    new TextEncoder().encode('hello'),
    new Uint8Array(500).fill(255),
  ]) {
    await t.rejects(rulesOf(a).validate(key, bytes))
  }
})

t.test('a record of an old term is refused once a newer one is held', async t => {
  const { a, b } = await twoMeshes()
  const rules = rulesOf(b)
  const old = await sealPlacementRecord(recordOf({ term: 3 }), a)
  await rules.validate(key, old)
  await rules.validate(key, old)
  await rules.validate(key, await sealPlacementRecord(recordOf({ term: 4, leader: 'b' }), b))
  await t.rejects(rules.validate(key, old), {
    code: 'INVALID_ARGUMENT',
    message: /term 3 is older than the one held, 4/,
  })
  const earlier = await sealPlacementRecord(recordOf({ term: 4, leader: 'b', issuedAtMs: 1 }), b)
  await t.rejects(
    rules.validate(key, earlier),
    { code: 'INVALID_ARGUMENT' },
    'of one term, the one issued later counts',
  )
})

t.test('a refused record leaves no trace: a forgery of a high term keeps no true record out', async t => {
  const { a, b } = await twoMeshes()
  const rules = rulesOf(b)
  await t.rejects(rules.validate(key, await sealPlacementRecord(recordOf({ term: 1000, leader: 'a' }), b)))
  await t.resolves(rules.validate(key, await sealPlacementRecord(recordOf({ term: 3 }), a)))
})

t.test('a record of somebody who cannot lead is refused, and leaves no trace', async t => {
  const { a, b } = await twoMeshes()
  const rules = placementRecordRules({
    scope: 'bank',
    mesh: b,
    partitionsMax: 32,
    mayLead: ({ leader }) => leader === 'b',
  })
  await t.rejects(rules.validate(key, await sealPlacementRecord(recordOf({ term: 1e9, leader: 'a' }), a)), {
    code: 'INVALID_ARGUMENT',
    message: /a of cluster c1 is no member of this cluster/,
  })
  await t.resolves(rules.validate(key, await sealPlacementRecord(recordOf({ term: 3, leader: 'b' }), b)))
})

t.test('the selector prefers the higher term, then the later record', async t => {
  const { a } = await twoMeshes()
  const sealed = (term: number, issuedAtMs: number) => sealPlacementRecord(recordOf({ term, issuedAtMs }), a)
  const values = await Promise.all([sealed(3, 900), sealed(5, 100), sealed(5, 200), sealed(4, 999)])
  t.equal(rulesOf(a).select(key, values), 2)
  t.equal(rulesOf(a).select(key, [...values].reverse()), 1)
  t.equal(rulesOf(a).select(key, values.slice(0, 1)), 0)
  t.equal(isNewer({ term: 2, issuedAtMs: 0 }, { term: 1, issuedAtMs: 9 }), true)
  t.equal(isNewer({ term: 2, issuedAtMs: 9 }, { term: 2, issuedAtMs: 9 }), false)
})

t.test('fields of a newer version are passed over', async t => {
  const { a, b } = await twoMeshes()
  const content = new PbfWriter()
  content.writeStringField(1, 'c1')
  content.writeVarintField(2, 7)
  content.writeVarintField(3, 3)
  content.writeStringField(4, 'a')
  content.writeStringField(50, 'news')
  const bytes = content.finish()
  const writer = new PbfWriter()
  writer.writeBytesField(1, bytes)
  writer.writeBytesField(2, await a.sign(bytes))
  writer.writeBytesField(51, new Uint8Array(3))
  const record = await openPlacementRecord(key, writer.finish(), { scope: 'bank', mesh: b })
  t.same([record.leader, record.term, record.partition], ['a', 3, 7])
})
