// The short run of chaos: real nodes in network namespaces, two sides split for a while, every kind of fault once, the checker.
import t from 'tap'
import { pairCalls } from './calls.ts'
import { isNemesis } from './history.ts'
import type { FaultKind, FaultReport } from './nemesis.ts'
import { missingForNetwork } from './network.ts'
import { once, split } from './plans.ts'
import { storyOf, summaryOf } from './report.ts'
import { type ChaosWorld, defaultOptions, runChaos } from './run-chaos.ts'
import { namePrefixOf } from './sweep.ts'

// Everything that is waited for has a bound of its own, and says what it was.
t.setTimeout(900_000)
const missing = await missingForNetwork(namePrefixOf(process.pid))
const skip = missing === null ? false : `chaos needs what this machine does not have: ${missing}`
const seed = Number(process.env['GLYN_CHAOS_SEED'] ?? 7)
const splitMs = 1000 * Number(process.env['GLYN_CHAOS_SPLIT_SECONDS'] ?? 15)

const kinds: readonly FaultKind[] = [
  'one-way',
  'flap',
  'slow',
  'loss',
  'kill',
  'pause',
  'full-disk',
  'restart',
  'replace',
  'leave',
]

async function* plan(world: ChaosWorld): AsyncGenerator<FaultReport> {
  yield* split(world, splitMs)
  yield* once(world, kinds)
}

t.test('the short run', { skip }, async t => {
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const options = {
    ...defaultOptions,
    clients: 6,
    // Some forty calls a second: most of the two cores is for nodes that start again, as it is elsewhere.
    thinkMsMax: 250,
    seed,
    faultMs: { min: 2500, max: 4000 },
    calmMs: 500,
    diskMb: 96,
    print: (line: string) => t.comment(line),
    signal: stop.signal,
  }
  const { violations, lines, faults, settledMs, folder } = await runChaos(options, plan)
  t.comment(`seed ${seed}\n${summaryOf({ lines, faults, settledMs })}`)
  const calls = pairCalls(lines)

  await t.test('every kind of fault was there, and every guarantee held', async t => {
    const where = `history, logs and disks: ${folder}; longer: npm run chaos -- --seed ${seed}`
    t.equal(storyOf(violations, lines), '', folder === null ? 'no violations' : where)
    t.same(faults.map(({ kind }) => kind).toSorted(), ['isolate-leader', ...kinds].toSorted())
    t.not(settledMs, null, 'all members agree')
    for (const op of ['deposit', 'withdraw', 'read', 'query'] as const) {
      t.ok(
        calls.some(call => call.op === op && call.end.type === 'ok'),
        `there was a ${op} that went well`,
      )
    }
  })

  await t.test(
    'of two sides that were split the minority acknowledged nothing, the majority went on',
    async t => {
      const [begin, end] = lines.filter(isNemesis)
      if (begin === undefined || end === undefined) throw new Error('the nemesis wrote nothing down')
      const { cutOff = [] } = begin.value
      t.equal(cutOff.length, 1)
      const during = lines.filter(({ time }) => time > begin.time && time < end.time)
      const asked = during.filter(
        line =>
          !isNemesis(line) && line.type === 'invoke' && line.commandId !== null && cutOff.includes(line.node),
      )
      t.ok(asked.length > 0, `the minority was asked: ${asked.length} commands`)
      // Of a command that was acknowledged before, anybody may tell: that decides nothing.
      const accepted = calls.filter(
        ({ commandId, invokedAt, endedAt, end: told }) =>
          commandId !== null &&
          told.type === 'ok' &&
          told.replayed !== true &&
          invokedAt > begin.time &&
          endedAt < end.time,
      )
      t.same(
        accepted.filter(({ node }) => cutOff.includes(node)),
        [],
      )
      t.ok(accepted.length > 0, `the majority acknowledged ${accepted.length} commands`)
    },
  )
})
