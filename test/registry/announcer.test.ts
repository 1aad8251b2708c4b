// What the announcer writes into the DHT: a record that holders take, also after the clock of the machine was set back.
import t from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createMemoryNetwork } from '../../src/mesh/memory/memory-mesh.ts'
import { createAnnouncer } from '../../src/registry/announcer.ts'
import { openPlacementRecord, placementRecordRules } from '../../src/registry/placement-record.ts'
import { createManualClock } from '../mesh/manual-clock.ts'

t.test('a record is later than the one before, also when the clock was set back', async t => {
  const clock = createManualClock()
  const real = createMemoryNetwork({ clock }).createMesh({ peerId: 'a' })
  await real.start()
  const rules = placementRecordRules({ scope: 's', mesh: real, partitionsMax: 32 })
  const issued: number[] = []
  const refused: unknown[] = []
  const mesh: typeof real = {
    ...real,
    async putRecord(key, value) {
      await rules.validate(key, value).catch((error: unknown) => refused.push(error))
      issued.push((await openPlacementRecord(key, value, { scope: 's', mesh: real })).issuedAtMs)
      return { acknowledged: 1 }
    },
  }
  let wallTimeMs = 2_000_000
  const announcer = createAnnouncer({
    mesh,
    clock,
    log: silentLog,
    scope: 's',
    partitions: () => [1],
    recordOf: partition => ({
      clusterId: 'c1',
      partition,
      term: 3,
      leader: 'a',
      addresses: [],
      replicas: ['a'],
      issuedAtMs: wallTimeMs,
    }),
  })
  t.teardown(() => announcer.stop())
  for (const time of [2_000_000, 1_000_000, 1_000_100, 3_000_000]) {
    wallTimeMs = time
    announcer.announce(1)
    await clock.advance(2000)
  }
  t.same(refused, [])
  t.same(issued, [2_000_000, 2_000_001, 2_000_002, 3_000_000])
})
