// The small parts under the HTTP API: lines, server-sent events, cursors, and many tasks in order per key.
import t from 'tap'
import { errorTable } from '../../src/core/errors.ts'
import type { EventEnvelope } from '../../src/core/event.ts'
import { createEventCursor } from '../../src/core/event-cursor.ts'
import { createKeyedScheduler } from '../../src/http/keyed-scheduler.ts'
import { lineBytesMax, readLineGroups } from '../../src/http/read-lines.ts'
import { readServerSentEvents } from '../../src/http/server-sent-events.ts'
import { statusOfError } from '../../src/http/status-of-error.ts'
import { gather } from '../support/gather.ts'

async function* inParts(text: string, bytes: number): AsyncGenerator<Uint8Array> {
  const all = Buffer.from(text)
  for (let at = 0; at < all.length; at += bytes) yield all.subarray(at, at + bytes)
}

t.test('lines are the same however the bytes arrive', async t => {
  const text = 'eins\n\nzwei ü €\r\ndrei'
  for (const bytes of [1, 2, 3, 5, 100]) {
    const groups = await gather(readLineGroups(inParts(text, bytes)))
    t.strictSame(groups.flat(), ['eins', '', 'zwei ü €', 'drei'], `${bytes} at a time`)
  }
  t.strictSame(await gather(readLineGroups(inParts('', 1))), [])
})

t.test('a line without an end is refused, not gathered for ever', async t => {
  const endless = (async function* () {
    for (;;) yield Buffer.alloc(65_536, 'x')
  })()
  await t.rejects(gather(readLineGroups(endless)), {
    code: 'MESSAGE_TOO_LARGE',
    message: `${lineBytesMax}`,
  })
})

t.test('server-sent events: fields, joined data, comments, ids that stay', async t => {
  const text = ': hello\n\nid: 1\ndata: a\n\nevent: end\ndata: b\ndata:c\n\nid: 2\n\ndata: cut'
  for (const bytes of [1, 4, 100]) {
    t.strictSame(await gather(readServerSentEvents(inParts(text, bytes))), [
      { event: 'message', data: 'a', id: '1' },
      { event: 'end', data: 'b\nc', id: '1' },
    ])
  }
})

t.test('a cursor resumes after any event, also between two of one entry', async t => {
  const places: [number, number][] = [
    [1, 1],
    [1, 1],
    [2, 1],
    [1, 2],
    [1, 2],
    [1, 2],
  ]
  const events = places.map(([partition, index]) => ({ position: { partition, index } }) as EventEnvelope)
  const first = createEventCursor('')
  const ids = events.map(event => first.advance(event))
  t.strictSame(ids, ['+1:1:1', '+1:1:2', '1:1+2:1:1', '1:1,2:1+1:2:1', '1:1,2:1+1:2:2', '1:1,2:1+1:2:3'])
  for (const [place, id] of ids.entries()) {
    const resumed = createEventCursor(id ?? '')
    const token = new Map(
      resumed.token
        .split(',')
        .filter(Boolean)
        .map(part => part.split(':').map(Number) as [number, number]),
    )
    // What a subscription from the token yields.
    const coming = events.filter(({ position }) => position.index > (token.get(position.partition) ?? 0))
    const rest = coming.map(event => resumed.advance(event)).filter(next => next !== null)
    t.strictSame(rest, ids.slice(place + 1), `after ${id}`)
  }
  for (const text of ['x', '1:2+', '1:2+3', '+1:2:x']) {
    t.throws(() => createEventCursor(text), { code: 'INVALID_ARGUMENT' }, text)
  }
})

t.test('tasks of one key run one after the other, others meanwhile, within the bounds', async t => {
  const scheduler = createKeyedScheduler({ runningMax: 3, heldMax: 10 })
  const done: string[] = []
  const running = new Set<string>()
  let runningMax = 0
  for (let place = 0; place < 60; place += 1) {
    const key = `k${place % 7}`
    await scheduler.add(key, async () => {
      t.notOk(running.has(key), 'one at a time')
      running.add(key)
      runningMax = Math.max(runningMax, running.size)
      await new Promise(resolve => setTimeout(resolve, (place * 7) % 5))
      running.delete(key)
      done.push(`${key} ${place}`)
    })
  }
  await scheduler.idle()
  t.equal(done.length, 60)
  t.equal(runningMax, 3)
  for (let key = 0; key < 7; key += 1) {
    const places = done.filter(name => name.startsWith(`k${key} `)).map(name => Number(name.slice(3)))
    t.strictSame(
      places,
      places.toSorted((a, b) => a - b),
    )
  }
})

t.test('a task that fails ends the schedule with its reason', async t => {
  const scheduler = createKeyedScheduler({ runningMax: 1, heldMax: 1 })
  await scheduler.add('a', async () => {
    throw new Error('broken')
  })
  await t.rejects(
    scheduler.add('b', async () => {}),
    { message: 'broken' },
  )
  await t.rejects(scheduler.idle(), { message: 'broken' })
})

t.test('every error code has an HTTP status that fits', async t => {
  for (const [code, { retryable }] of Object.entries(errorTable)) {
    const status = statusOfError[code as keyof typeof errorTable]
    t.equal(retryable, [429, 503, 504].includes(status), `${code} is ${status}`)
  }
})
