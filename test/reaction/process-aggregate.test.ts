// An instance of a process decides once about each thing that it is told, and its event holds all that follows.
import t from 'tap'
import { decide } from '../../src/core/decide.ts'
import { after, cancel, end, send } from '../../src/reaction/actions.ts'
import { defineProcess, type ProcessReaction } from '../../src/reaction/define-process.ts'
import { type InstanceState, processAggregate, type Reacted } from '../../src/reaction/process-aggregate.ts'

const remind = send('mail', 'm', { type: 'Remind' })
const reactions: Readonly<Record<string, ProcessReaction<{ seen: number }>>> = {
  Nothing: undefined,
  State: { state: { seen: 1 } },
  Send: [send('order', 'o', { type: 'Go', data: { n: 1 } })],
  Timer: [after('1m', remind, { name: 'remind' }), after('2m', [remind, remind])],
  Again: [after('5m', remind, { name: 'remind' })],
  Cancel: [cancel('remind'), cancel('unknown')],
  End: { state: { seen: 9 }, do: [end(), remind] },
  Promise: Promise.resolve() as never,
  Typo: { sate: {} } as never,
  Text: 'no' as never,
}
const instance = processAggregate(
  defineProcess<{ seen: number }>({
    name: 'reminders',
    correlate: ({ aggregate }) => aggregate.id,
    emptyState: { seen: 0 },
    react: (_state, { type }) => reactions[type],
    rejected: (state, { code }) => ({ state: { seen: state.seen + 100 }, do: code === 'bad' ? [end()] : [] }),
  }),
)

let events = 0
const told = (type: string) => {
  events += 1
  return { type: 'React', data: { event: { id: `order/o/${events}`, type } } }
}

/** What the instance recorded, and its state afterwards. */
function step(state: unknown, command: { readonly type: string; readonly data: unknown }) {
  const decided = decide(instance, state, command)
  if (decided.type === 'rejected') throw new Error('instances reject nothing')
  const [event] = decided.events
  const data = event === undefined ? null : (JSON.parse(event.data) as Reacted)
  return { data, state: decided.state as InstanceState }
}

t.test('whatever it is told is one event, also when there is nothing to do', async t => {
  const { data, state } = step(instance.emptyState, told('Nothing'))
  t.strictSame(data, { input: { type: 'event', id: `order/o/${events}`, event: 'Nothing' } })
  t.strictSame(state, { state: { seen: 0 }, sequence: 1, timers: {}, ended: false })
  t.strictSame(step(state, told('State')).state.state, { seen: 1 })
  t.match(step(state, told('Send')).data, {
    sends: [{ aggregate: { type: 'order', id: 'o' }, command: { type: 'Go', data: { n: 1 } } }],
  })
})

t.test('a timer is set, set anew, cancelled, and due only as it was set last', async t => {
  const set = step(instance.emptyState, told('Timer'))
  t.match(set.data?.timers, [
    { name: 'remind', delayMs: 60_000 },
    { name: '#1.1', delayMs: 120_000 },
  ])
  const fire = (state: unknown, name: string, setBy: number) =>
    step(state, { type: 'Fire', data: { name, setBy } })
  const fired = fire(set.state, '#1.1', 1)
  t.equal(fired.data?.sends?.length, 2)
  t.same(Object.keys(fired.state.timers), ['remind'])
  t.equal(fire(fired.state, '#1.1', 1).data, null, 'once')

  const again = step(set.state, told('Again'))
  t.equal(fire(again.state, 'remind', 1).data, null, 'the earlier one is no more')
  t.match(fire(again.state, 'remind', 2).data, { input: { type: 'timer', name: 'remind' }, sends: [{}] })

  const cancelled = step(set.state, told('Cancel'))
  t.same(cancelled.data?.cancelled, ['remind'], 'what is not set is not cancelled')
  t.equal(fire(cancelled.state, 'remind', 1).data, null)
})

t.test('the end forgets timers, and nothing is heard after it', async t => {
  const set = step(instance.emptyState, told('Timer'))
  const ended = step(set.state, told('End'))
  t.match(ended.data, { ended: true, cancelled: ['remind', '#1.1'], state: { seen: 9 }, sends: [{}] })
  t.match(ended.state, { ended: true, timers: {} })
  t.equal(step(ended.state, told('State')).data, null)
})

t.test('a rejection is an input like others', async t => {
  const rejection = {
    aggregate: { type: 'order', id: 'o' },
    command: { type: 'Go', data: {} },
    message: 'no',
  }
  const tell = (code: string) => ({
    type: 'Rejected',
    data: { rejection: { ...rejection, code }, commandId: 'glyn:out/x' },
  })
  const some = step(instance.emptyState, tell('other'))
  t.match(some, { data: { input: { type: 'rejection', code: 'other' } }, state: { state: { seen: 100 } } })
  t.ok(step(some.state, tell('bad')).state.ended)
})

t.test('what is no reaction fails, and says what is allowed', async t => {
  const failing = (type: string) => () => decide(instance, instance.emptyState, told(type))
  t.throws(failing('Promise'), { code: 'AGGREGATE_FAILED', message: /returned no reaction/ })
  t.throws(failing('Typo'), { code: 'AGGREGATE_FAILED', message: /returned sate; allowed: state, do/ })
  t.throws(failing('Text'), { code: 'AGGREGATE_FAILED', message: /returned no reaction/ })
})
