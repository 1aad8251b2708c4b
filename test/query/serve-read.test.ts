// Reads for runners that cannot read the log by themselves: answered, failed, too late, and forgotten.
import t from 'tap'
import type { EventSource } from '../../src/query/query.ts'
import { serveRead } from '../../src/query/serve-read.ts'
import { createManualClock } from '../mesh/manual-clock.ts'
import { countHeld } from '../support/let-go.ts'

const request = { type: 'read', id: 7, partition: 1, afterIndex: 3, limit: 10 } as const

const sourceThat = (read: EventSource['read']): EventSource => ({
  heads: () => new Map(),
  onAdvance: () => () => undefined,
  read,
  localLog: null,
})
const never: EventSource['read'] = () => new Promise(() => undefined)

t.test('a read is answered with what the source says, or with its failure', async t => {
  const init = { clock: createManualClock(), readMsMax: 1000, ended: new AbortController().signal }
  const source = sourceThat(async () => ({ events: [], throughIndex: 9 }))
  t.strictSame(await serveRead({ ...init, source }, request), {
    type: 'events',
    id: 7,
    events: [],
    throughIndex: 9,
  })
  const broken = sourceThat(() => Promise.reject(new Error('no replica')))
  t.strictSame(await serveRead({ ...init, source: broken }, request), {
    type: 'read-failed',
    id: 7,
    error: { message: 'no replica', stack: null },
  })
})

t.test('a read that takes too long fails, and one of a runner that is gone is nobody’s', async t => {
  const clock = createManualClock()
  const late = serveRead(
    { source: sourceThat(never), clock, readMsMax: 1000, ended: new AbortController().signal },
    request,
  )
  await clock.advance(1000)
  t.match(await late, { type: 'read-failed', error: { message: 'no answer within 1000 ms' } })
  const gone = new AbortController()
  const init = { source: sourceThat(never), clock, readMsMax: 1000, ended: gone.signal }
  const asked = serveRead(init, request)
  gone.abort()
  t.equal(await asked, null)
  t.equal(await serveRead(init, request), null, 'also before it began')
})

t.test('a read leaves nothing behind while its runner lives on', async t => {
  const ended = new AbortController()
  const held = await countHeld(50, async () => {
    let signal: object = {}
    const source = sourceThat(async (_partition, _range, options) => {
      signal = options.signal
      return { events: [], throughIndex: 9 }
    })
    await serveRead({ source, clock: createManualClock(), readMsMax: 1000, ended: ended.signal }, request)
    return signal
  })
  t.equal(held, 0)
  ended.abort()
})
