// One call of a handler on this thread: its signal, its deadline, and that nothing of it stays.
import t from 'tap'
import type { EventEnvelope } from '../../src/core/event.ts'
import { normalizeHandler } from '../../src/reaction/define-handler.ts'
import { runHandler } from '../../src/reaction/run-handler.ts'
import { createManualClock } from '../mesh/manual-clock.ts'
import { countHeld } from '../support/let-go.ts'

const call = { event: {} as EventEnvelope, idempotencyKey: 'mail:e-1', attempt: 1 }

t.test('the signal is aborted when the time is up, and when the leadership is over', async t => {
  const clock = createManualClock()
  const signals: AbortSignal[] = []
  const handler = normalizeHandler({
    name: 'mail',
    timeoutMs: 100,
    handle: (_event: unknown, { signal }: { readonly signal: AbortSignal }) => {
      signals.push(signal)
      return new Promise<void>(() => undefined)
    },
  })
  const late = runHandler(handler, call, { signal: new AbortController().signal, clock })
  late.catch(() => undefined)
  await clock.advance(100)
  await t.rejects(late, { code: 'TIMEOUT' })
  const over = new AbortController()
  const left = runHandler(handler, call, { signal: over.signal, clock })
  over.abort(new Error('the leadership is over'))
  await t.rejects(left, { message: 'the leadership is over' })
  t.strictSame(
    signals.map(({ aborted }) => aborted),
    [true, true],
  )
})

t.test(
  'a call leaves nothing behind while the leadership goes on, also when its handler listens',
  async t => {
    const over = new AbortController()
    const held = await countHeld(50, async () => {
      let given: object = {}
      const handler = normalizeHandler({
        name: 'mail',
        handle(_event: unknown, { signal }: { readonly signal: AbortSignal }) {
          given = signal
          signal.addEventListener('abort', () => undefined)
        },
      })
      await runHandler(handler, call, { signal: over.signal, clock: createManualClock() })
      return given
    })
    t.equal(held, 0)
    over.abort()
  },
)
