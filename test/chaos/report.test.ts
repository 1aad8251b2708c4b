// What a run tells people is what happened.
import t from 'tap'
import { longestStalls, storyOf, summaryOf } from './report.ts'
import { command, createSmallRun, event } from './small-history.ts'

/** Deposits that end at 150, 350 and 950 ms; the second one is the only one to partition 2. */
const lines = [
  { number: 1, partition: 1 },
  { number: 3, partition: 2 },
  { number: 9, partition: 1 },
].flatMap(({ number, partition }) => {
  const commandId = `c${number}`
  const own = event(number, { aggregate: 'acc-0', sequence: number, amount: 1, commandId, partition })
  return command(number, { op: 'deposit', commandId, event: own })
})

t.test('a stall is counted from the fault until writes are back', async t => {
  const fault = { kind: 'kill', beganAt: 100, endedAt: 800, recoveryMs: 150 }
  t.same(longestStalls(lines, fault), { anyMs: 600, oneMs: 800 })
})

t.test('without any write the whole fault is a stall', async t => {
  const fault = { kind: 'kill', beganAt: 1000, endedAt: 4000, recoveryMs: null }
  t.equal(longestStalls(lines, fault).anyMs, 3000)
})

t.test('the summary counts operations and faults', async t => {
  const fault = { kind: 'kill', beganAt: 100, endedAt: 800, recoveryMs: 150 }
  const text = summaryOf({ lines, faults: [fault, fault], settledMs: 12 })
  t.match(text, /^deposit +3 +3 +0 +0$/m)
  t.match(text, /^kill +2 +600 ms +800 ms +150 ms$/m)
  t.match(text, /3 operations and 2 faults in 1 s; all agreed again 12 ms after the peace/)
})

t.test('a story has the lines of its command and what happened to its aggregate meanwhile', async t => {
  const run = createSmallRun()
  const story = storyOf(
    [{ guarantee: 'G1', text: 'c2 is lost', aggregate: 'acc-0', commandId: 'c2' }],
    run.lines,
  )
  const [first, ...rest] = story.split('\n')
  t.equal(first, 'G1: c2 is lost')
  t.ok(rest.some(line => line.includes('invoke deposit acc-0 c2 at n3')))
  t.ok(rest.some(line => line.includes('ok read acc-0')))
  t.notOk(rest.some(line => line.includes('acc-1')))
})
