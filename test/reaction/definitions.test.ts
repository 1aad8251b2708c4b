// What people write: delays, actions, definitions of handlers and processes, and what is refused, by name.
import t from 'tap'
import { defineAggregate } from '../../src/core/aggregate.ts'
import { after, cancel, end, send, sortActions } from '../../src/reaction/actions.ts'
import { defineHandler, normalizeHandler } from '../../src/reaction/define-handler.ts'
import { defineProcess } from '../../src/reaction/define-process.ts'
import { parseDelay } from '../../src/reaction/delay.ts'
import { dueId, inputId, outputId, rejectionId } from '../../src/reaction/derived-id.ts'

const invalid = (message: RegExp) => ({ code: 'INVALID_ARGUMENT', message })

t.test('delays are whole numbers with a unit', async t => {
  for (const [text, ms] of [
    ['0ms', 0],
    ['500ms', 500],
    ['90s', 90_000],
    ['15m', 900_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['3650d', 315_360_000_000],
  ] as const) {
    t.equal(parseDelay(text), ms, text)
  }
  for (const wrong of [
    '15',
    '15 m',
    '1.5h',
    '-1s',
    '15min',
    '',
    'm',
    '3651d',
    '9999999999999ms',
    900,
    null,
  ]) {
    t.throws(() => parseDelay(wrong), invalid(/delay is .*; allowed: a whole number with ms, s, m, h or d/))
  }
})

t.test('actions name what is wrong with them', async t => {
  const sent = send('order', 'o-1', { type: 'Cancel' })
  t.same(sent, {
    type: 'send',
    aggregate: { type: 'order', id: 'o-1' },
    command: { type: 'Cancel', data: {} },
  })
  t.throws(() => send('', 'o-1', { type: 'Cancel' }), invalid(/aggregate type is ""/))
  t.throws(() => send('glyn.reactions', '1', { type: 'Checkpoint' }), invalid(/does not begin with glyn\./))
  t.throws(() => send('order', 'o-1', { type: '' }), invalid(/command type is ""/))
  t.throws(() => after('15 minutes', sent), invalid(/delay is "15 minutes"/))
  t.throws(() => after('1s', []), invalid(/after: what to do/))
  t.throws(() => after('1s', end() as unknown as typeof sent), invalid(/after: what to do/))
  t.throws(() => after('1s', sent, { name: 'a/b' }), invalid(/name of a timer/))
  t.throws(() => after('1s', sent, { name: '__proto__' }), invalid(/name of a timer/))
  t.throws(() => cancel(''), invalid(/name of a timer/))
  t.throws(() => sortActions([{ type: 'sned' }]), invalid(/an action: found .*sned/))
  t.throws(() => sortActions('no'), invalid(/a list of at most 100/))
  t.throws(() => sortActions(Array(101).fill(sent)), invalid(/a list of at most 100/))
  t.throws(() => sortActions([after('1s', sent), end()]), invalid(/together with end/))
  const twice = [after('1s', sent, { name: 'x' }), after('2s', sent, { name: 'x' })]
  t.throws(() => sortActions(twice), invalid(/each name once/))
})

t.test('a handler is an object or a function', async t => {
  const handle = (): void => {}
  const whole = { name: 'mail', onError: 'retry', startFrom: 'now', timeoutMs: 30_000, filter: {} }
  t.match(normalizeHandler({ name: 'mail', handle }), whole)
  t.match(normalizeHandler(handle, 'mail'), whole, 'a function bears the name of its file')
  t.match(
    normalizeHandler(function mail() {}),
    whole,
    'or its own',
  )
  const wrong = (change: object) => () =>
    defineHandler({ name: 'mail', handle, ...change } as Parameters<typeof defineHandler>[0])
  t.throws(wrong({ name: 'Mail' }), invalid(/handler: name is "Mail"; allowed: lower-case/))
  t.throws(wrong({ handle: 'x' }), invalid(/handler: handle is "x"/))
  t.throws(wrong({ onError: 'park' }), invalid(/onError is "park"; allowed: retry, skip, stop/))
  t.throws(wrong({ startFrom: 'start' }), invalid(/startFrom is "start"; allowed: now, beginning/))
  t.throws(wrong({ timeoutMs: 0 }), invalid(/timeoutMs is 0/))
  t.throws(wrong({ filter: { types: [] } }), invalid(/filter\.types/))
  t.throws(() => normalizeHandler(7), invalid(/handler: the definition is 7/))
  t.throws(() => normalizeHandler(() => {}), invalid(/name is ""/))
})

t.test('a process names the field that is wrong', async t => {
  const right = { name: 'p', correlate: () => null, emptyState: {}, react: () => undefined }
  t.equal(defineProcess(right).name, 'p')
  const wrong = (change: object) => () => defineProcess({ ...right, ...change })
  t.throws(wrong({ name: 'a b' }), invalid(/process: name is "a b"/))
  t.throws(wrong({ correlate: undefined }), invalid(/correlate is missing/))
  t.throws(wrong({ react: 1 }), invalid(/react is 1/))
  t.throws(wrong({ rejected: {} }), invalid(/rejected is \{\}/))
  t.throws(wrong({ filter: { eventTypes: 'x' } }), invalid(/filter\.eventTypes is "x"/))
  const { emptyState: _, ...without } = right
  t.throws(() => defineProcess(without as typeof right), invalid(/emptyState is missing/))
})

t.test('nobody else defines aggregates of ours', async t => {
  const definition = { type: 'glyn.mine', emptyState: 0, handle: () => [], apply: (state: number) => state }
  t.throws(() => defineAggregate(definition), invalid(/type is "glyn\.mine"; allowed: .*kept for glyn-node/))
})

t.test('derived ids are the same for the same cause, others for others, and never too long', async t => {
  const long = 'x'.repeat(256)
  const ids = [
    inputId('p', 'order/o-1/1'),
    inputId('p', 'order/o-1/2'),
    inputId('q', 'order/o-1/1'),
    outputId('p', 'o-1', { sequence: 1, ordinal: 0 }),
    outputId('p', 'o-1', { sequence: 1, ordinal: 1 }),
    outputId('p', '0/o-1', { sequence: 1, ordinal: 1 }),
    rejectionId('p', 'o-1', { sequence: 1, ordinal: 0 }),
    dueId('p', 'o-1', { setBy: 1, name: 'pay' }),
    dueId('p', long, { setBy: 1, name: 'pay' }),
    dueId('p', long, { setBy: 2, name: 'pay' }),
    inputId('p', `order/${long}/1`),
  ]
  t.equal(new Set(ids).size, ids.length)
  for (const id of ids) t.ok(Buffer.byteLength(id) <= 256, id)
  t.equal(inputId('p', `order/${long}/1`), ids.at(-1))
})
