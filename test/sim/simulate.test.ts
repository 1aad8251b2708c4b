// The door of the simulator: what it refuses, what it reports, and that its parts behave like what they stand for.
import t from 'tap'
import { bootstrapEntry } from '../../src/raft/create-raft.ts'
import { hashEntry } from '../../src/store/hash-entry.ts'
import { simulate } from '../../src/testing/index.ts'
import { createDice } from '../../src/testing/simulator/seeded-random.ts'
import { createSimulatedDisk, healthyDisk } from '../../src/testing/simulator/simulated-disk.ts'
import { createSimulatedProcess } from '../../src/testing/simulator/simulated-process.ts'
import { createVirtualTime } from '../../src/testing/simulator/virtual-time.ts'

const unexpected = (error: unknown): void => {
  throw error
}

t.test('options that make no sense are refused by name', async t => {
  await t.rejects(simulate({ seed: 1.5 }), { code: 'INVALID_ARGUMENT', message: /seed is 1\.5/ })
  await t.rejects(simulate({ seed: 1, nodes: 0 }), { code: 'INVALID_ARGUMENT', message: /nodes is 0/ })
  await t.rejects(simulate({ seed: 1, faults: ['rain' as 'crash'] }), {
    message: /a fault is rain; allowed: crash/,
  })
  await t.rejects(simulate({ seed: 1, aggregates: [] }), { message: /workload is missing/ })
})

t.test('without faults everything is accepted, and nothing is told but the claim that failed', async t => {
  const quiet = await simulate({ seed: 3, faults: [], nodes: 3, seconds: 2 })
  t.same(
    { ok: quiet.ok, violation: quiet.violation, story: quiet.story },
    { ok: true, violation: null, story: [] },
  )
  t.ok(quiet.accepted > 20, `${quiet.accepted} accepted`)
  const claimed = await simulate({
    seed: 3,
    faults: [],
    seconds: 1,
    workload: async client => client.expect(client.number !== 2, 'client 2 is not to be trusted'),
  })
  t.equal(claimed.violation, 'client 2 is not to be trusted')
  t.match(claimed.story.at(-1), /client 2 is not to be trusted/)
})

t.test('a workload that throws ends the run with its words', async t => {
  const report = await simulate({ seed: 1, workload: () => Promise.reject(new Error('no idea what to ask')) })
  t.match(report.violation, /no idea what to ask/)
})

t.test('events run in the order of their times, and promises between them', async t => {
  const time = createVirtualTime()
  const seen: string[] = []
  time.after(5, () => seen.push('later'))
  time.after(1, () => {
    seen.push('first')
    void Promise.resolve().then(() => seen.push('its promise'))
  })
  time.after(1, () => seen.push('second'))
  time.after(2, () => seen.push('never'))()
  t.equal(await time.run(() => false), false, 'nothing is left')
  t.same(seen, ['first', 'its promise', 'second', 'later'])
  t.equal(time.now(), 5)
})

t.test('a process that stands still takes in later what came meanwhile, a dead one never', async t => {
  const time = createVirtualTime()
  const process = createSimulatedProcess({ time, rate: 2, wallTimeMs: 0, onUncaught: unexpected })
  const seen: string[] = []
  process.clock.after(20, () => seen.push(`timer at ${time.now()}`))
  process.clock.after(200, () => seen.push('dead'))
  process.pause()
  process.take(() => seen.push('message'))
  time.after(50, () => process.resume())
  time.after(90, () => process.kill())
  await time.run(() => false)
  t.same(seen, ['message', 'timer at 50'], 'its clock runs twice as fast, but it was not there')
})

t.test('a crash loses what was not durable, and only that', async t => {
  const time = createVirtualTime()
  const durable: number[] = []
  const disk = createSimulatedDisk({
    time,
    dice: createDice(1),
    storageId: 'disk',
    onHardening: () => {},
    onDurable: batch => durable.push(...batch.partitions.map(({ partition }) => partition)),
    onRefused: unexpected,
  })
  const process = createSimulatedProcess({ time, rate: 1, wallTimeMs: 0, onUncaught: unexpected })
  disk.health = { ...healthyDisk, syncMsMin: 10, syncMsMax: 10 }
  const store = disk.open(process)
  const entry = bootstrapEntry({ configuration: { voters: ['a/disk'], learners: [] }, hashEntry })
  const write = (partition: number): Promise<void> =>
    store.write({
      partitions: [
        { partition, hardState: { term: 1, vote: null, commit: 1 }, truncateFrom: null, entries: [entry] },
      ],
      snapshots: [],
      settings: {},
    })
  const acknowledged: number[] = []
  const note = (partition: number): void => void write(partition).then(() => acknowledged.push(partition))
  note(1)
  note(2)
  time.after(12, () => note(3))
  // The first fsync ends at 10 with what was there when it began, the second, of what waited, at 20.
  time.after(15, () => {
    t.same(acknowledged, [1])
    process.kill()
    disk.crash()
  })
  await time.run(() => false)
  t.same(acknowledged, [1], 'nobody hears of the rest')
  t.same(
    [1, ...[2].filter(partition => durable.includes(partition))],
    durable,
    'what was under way may be there, what waited is not',
  )
  t.equal(disk.durable.recover().length, durable.length)
})

t.test('a disk that fails is final for the process', async t => {
  const time = createVirtualTime()
  const disk = createSimulatedDisk({
    time,
    dice: createDice(1),
    storageId: 'disk',
    onHardening: () => {},
    onDurable: () => {},
    onRefused: unexpected,
  })
  const process = createSimulatedProcess({ time, rate: 1, wallTimeMs: 0, onUncaught: unexpected })
  const store = disk.open(process)
  disk.health = { ...healthyDisk, failure: 'full' }
  const nothing = { partitions: [], snapshots: [], settings: {} }
  const codes: unknown[] = []
  const note = (): void =>
    void store.write(nothing).catch((error: { code: unknown }) => codes.push(error.code))
  note()
  time.after(10, () => {
    disk.health = healthyDisk
    note()
  })
  await time.run(() => false)
  t.same(codes, ['STORE_FULL', 'STORE_FULL'])
})
