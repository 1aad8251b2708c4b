// A query that stands still while the log moves is noticed, said, and started again; one that has a reason is left alone.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createHeadHistory } from '../../src/query/head-history.ts'
import { queryLimits } from '../../src/query/query-limits.ts'
import { createQuerySupervisor } from '../../src/query/query-supervisor.ts'
import type { FromRunner, RunnerEvents, ToRunner } from '../../src/query/runner-messages.ts'
import { createManualClock } from '../mesh/manual-clock.ts'
import { createMemorySource } from './memory-source.ts'
import { until, withHost } from './with-host.ts'

const deposit = ['CustomerDepositedCash', { amount: 1 }] as const

/** A supervisor whose runner says what the test says. */
async function supervised(t: Test) {
  const clock = createManualClock()
  const source = createMemorySource()
  const runners: { readonly events: RunnerEvents; readonly heard: ToRunner[] }[] = []
  const lines: string[] = []
  const write = (_: object, message: string): void => void lines.push(message)
  const supervisor = createQuerySupervisor({
    name: 'sum',
    file: null,
    contentHash: 'hash',
    history: 'test',
    mayReadLog: false,
    isServing: true,
    claim: () => ({ path: ':memory:', nextPath: null }),
    onChange() {},
    source,
    headHistory: createHeadHistory({ clock, source }),
    clock,
    log: { debug() {}, info: write, warn: write, error: write },
    limits: queryLimits,
    spawn(events) {
      const heard: ToRunner[] = []
      runners.push({ events, heard })
      return { post: message => void heard.push(message), terminate: () => Promise.resolve() }
    },
  })
  const stopListening = source.onAdvance(() => supervisor.advance())
  t.teardown(stopListening)
  const say = (message: FromRunner): void => runners.at(-1)?.events.onMessage(message)
  const open = (): void => {
    const about = { name: 'sum', version: 1, questions: [], takesMessages: false, code: null } as const
    say({ type: 'loaded', ...about, onError: 'retry', attempts: 1 })
    say({ type: 'opened', positions: [], note: null, hasNext: false, parked: { failed: 0, held: 0 } })
    say({ type: 'idle' })
  }
  const commit = async (): Promise<number> => {
    const index = source.append(1, { id: 'a', events: [deposit] })
    await clock.advance(1)
    return index
  }
  const progress = (index: number): void =>
    say({ type: 'progress', partition: 1, index, events: 1, timeMs: clock.wallTime() })
  void supervisor.start()
  open()
  return { clock, supervisor, runners, lines, say, open, commit, progress }
}

t.test('a thread that says nothing more is started again, and sees what it has missed', async t => {
  const { clock, supervisor, runners, lines, open, commit } = await supervised(t)
  await commit()
  await clock.advance(queryLimits.stallMsMax - 2)
  t.equal(runners.length, 1, 'not before its time')
  await clock.advance(queryLimits.backoffMsMin + 2)
  t.equal(runners.length, 2)
  t.match(
    lines.join('\n'),
    /query sum: it stood still for 60000 ms, 1 entries behind, while the log moved; its thread is started again/,
  )
  t.match(supervisor.status(), { state: 'retrying', lag: 1, lastError: { message: /^it stood still/ } })
  open()
  t.match(
    runners.at(-1)?.heard.find(({ type }) => type === 'heads'),
    { heads: [{ partition: 1, index: 1 }] },
  )
})

t.test('one that gets further, is idle, paused, at work or waits to retry is left alone', async t => {
  const { clock, runners, say, commit, progress, supervisor } = await supervised(t)
  for (let round = 0; round < 5; round += 1) {
    const index = await commit()
    await clock.advance(queryLimits.stallMsMax * 0.8)
    progress(index)
    say({ type: 'idle' })
  }
  await clock.advance(queryLimits.stallMsMax * 3)
  t.equal(runners.length, 1, 'there was nothing more to see')

  const paused = supervisor.hold('pause')
  say({ type: 'held' })
  await paused
  await commit()
  await clock.advance(queryLimits.stallMsMax * 3)
  t.match(supervisor.status(), { state: 'paused', lag: 1 })
  supervisor.release('pause')
  say({ type: 'failed', partition: 1, by: 'source', error: { message: 'no replica answers', stack: null } })
  for (let round = 0; round < 20; round += 1) {
    await clock.advance(queryLimits.backoffMsMax)
    say({ type: 'failed', partition: 1, by: 'source', error: { message: 'no replica answers', stack: null } })
  }
  t.equal(runners.length, 1)
  t.match(supervisor.status(), { state: 'retrying', lastError: { message: 'no replica answers' } })
})

t.test('how far behind it is, in seconds too, and how fast', async t => {
  const { clock, supervisor, commit, progress, say } = await supervised(t)
  t.match(supervisor.status(), { lag: 0, lagSeconds: 0, ratePerSecond: 0 })
  const index = await commit()
  await clock.advance(30_000)
  t.match(supervisor.status(), { lag: 1, lagSeconds: 30, progress: null })
  say({ type: 'progress', partition: 1, index, events: 500, timeMs: clock.wallTime() - 30_000 })
  t.match(supervisor.status(), { lag: 0, lagSeconds: 0 })
  await clock.advance(1500)
  const { ratePerSecond } = supervisor.status()
  t.ok(ratePerSecond > 80 && ratePerSecond <= 500, `${ratePerSecond} per second`)
  await clock.advance(10_000)
  t.equal(supervisor.status().ratePerSecond, 0)
  progress(index)
})

t.test('a plugin whose own timer loops for ever is ended and started again', async t => {
  const text = `
import { existsSync, writeFileSync } from 'node:fs'
const flag = process.env.GLYN_DATA_DIR + '/looped'
let isBegun = false
export default {
  name: 'sum',
  init: db => db.exec('create table if not exists seen (id text)'),
  handle(id, events, { db }) {
    for (const event of events) db.prepare('insert into seen values (?)').run(event.id)
    if (existsSync(flag)) return
    writeFileSync(flag, '')
    setTimeout(() => { writeFileSync(flag + '-on', ''); for (;;) {} }, 1)
  },
  answer: { count: db => db.prepare('select count(*) from seen').pluck().get() },
}
`
  const { host, source, status, lines, directory } = await withHost(t, {
    files: { 'sum.mjs': text },
    limits: { stallMsMax: 2000 },
  })
  source.append(1, { id: 'a', events: [deposit] })
  await until(() => status('sum').lag === 0)
  // Else it might see the next event before it loops.
  await until(() => existsSync(join(directory, 'data', 'looped-on')))
  source.append(1, { id: 'a', events: [deposit] })
  await until(() => lines.some(({ message }) => /it stood still for 2000 ms/.test(message)), {
    see: host.status,
  })
  await until(() => status('sum').lag === 0, { see: host.status })
  t.equal(await host.ask('sum', 'count', {}, { timeoutMs: 60_000 }), 2)
})
