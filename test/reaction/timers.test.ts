// When timers are due: by the wall clock of the leader, whatever that does, and never later than one more delay.
import t, { type Test } from 'tap'
import { GlynError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import { type PendingTimer, timerKey } from '../../src/reaction/checkpoint-aggregate.ts'
import type { ReactionEnvironment } from '../../src/reaction/reaction.ts'
import { createTimers } from '../../src/reaction/timers.ts'
import { createManualClock } from '../mesh/manual-clock.ts'

const minuteMs = 60_000

/** `fired`: the ids of commands that were accepted, in order. */
function start(t: Test, { failures = 0 } = {}) {
  const manual = createManualClock()
  let aheadMs = 0
  let left = failures
  const fired: string[] = []
  const over = new AbortController()
  const timers = createTimers({
    environment: {
      clock: { ...manual, wallTime: () => manual.wallTime() + aheadMs },
      log: silentLog,
      execute(_partition: number, { commandId }: { commandId: string }) {
        left -= 1
        if (left >= 0) return Promise.reject(new GlynError('OVERLOADED', 'not now'))
        fired.push(commandId)
        return Promise.resolve({})
      },
    } as unknown as ReactionEnvironment,
    partition: 1,
    signal: over.signal,
    isKnown: process => process === 'p',
  })
  t.teardown(() => over.abort())
  const timer = (name: string, delayMs: number, dueMs = manual.wallTime() + delayMs): PendingTimer => ({
    process: 'p',
    instance: 'i',
    name,
    setBy: 1,
    dueMs,
    delayMs,
  })
  return { manual, timers, timer, fired, over, setWallAhead: (ms: number) => (aheadMs = ms) }
}

t.test('each fires once, when it is due, and what is gone does not', async t => {
  const { manual, timers, timer, fired } = start(t)
  timers.set(timer('late', 10 * minuteMs))
  timers.set(timer('soon', 1500))
  timers.set(timer('gone', 1500))
  timers.gone(timerKey(timer('gone', 1500)))
  t.equal(timers.count('p'), 2)
  await manual.advance(1499)
  t.same(fired, [])
  await manual.advance(10)
  t.same(fired, ['glyn:due/p/1/soon/i'])
  await manual.advance(5 * minuteMs)
  t.equal(fired.length, 1, 'once, though its step was not read back yet')
  timers.gone(timerKey(timer('soon', 0)))
  t.equal(timers.count('p'), 1)
  await manual.advance(5 * minuteMs)
  t.same(fired.slice(1), ['glyn:due/p/1/late/i'])
})

t.test('a wall clock that is set forward is noticed within a second', async t => {
  const { manual, timers, timer, fired, setWallAhead } = start(t)
  timers.set(timer('day', 24 * 60 * minuteMs))
  await manual.advance(minuteMs)
  setWallAhead(24 * 60 * minuteMs)
  await manual.advance(1000)
  t.equal(fired.length, 1)
})

t.test('a new leader whose clock is behind waits for the delay once more at most', async t => {
  const { manual, timers, timer, fired } = start(t)
  // As the former leader wrote it down, whose clock is an hour ahead.
  timers.set(timer('x', minuteMs, manual.wallTime() + 61 * minuteMs))
  await manual.advance(minuteMs - 1)
  t.same(fired, [])
  await manual.advance(2)
  t.equal(fired.length, 1)
})

t.test('what was due long ago fires at once; what cannot be written is tried again', async t => {
  const { manual, timers, timer, fired } = start(t, { failures: 3 })
  timers.set(timer('x', minuteMs, 5))
  await manual.advance(10)
  t.same(fired, [])
  await manual.advance(1000)
  t.equal(fired.length, 1)
})

t.test('thousands that are due at once are fired as fast as they are written', async t => {
  const { manual, timers, timer, fired } = start(t)
  for (let n = 0; n < 5000; n += 1) timers.set(timer(`n-${n}`, minuteMs))
  await manual.advance(minuteMs + 1000)
  t.equal(new Set(fired).size, 5000)
  t.equal(fired.length, 5000)
})

t.test('timers that are set without end do not put off those that are due', async t => {
  const { manual, timers, timer, fired } = start(t)
  timers.set(timer('due', 10))
  for (let n = 0; n < 100; n += 1) {
    timers.set(timer(`n-${n}`, minuteMs))
    await manual.advance(0.5)
  }
  t.same(fired, ['glyn:due/p/1/due/i'])
})

t.test('timers of a process that is not here wait, and so do all after the leadership', async t => {
  const { manual, timers, timer, fired, over } = start(t)
  timers.set({ ...timer('x', 5), process: 'other' })
  timers.set(timer('y', minuteMs))
  await manual.advance(minuteMs / 2)
  over.abort()
  await manual.advance(10 * minuteMs)
  t.same(fired, [])
})
