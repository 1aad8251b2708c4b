// Messages to queries as they come in: each once, in order, and what cannot be read is named.
import t from 'tap'
import type { LogFields } from '../../src/core/log.ts'
import type { QueryMessage } from '../../src/core/query-message.ts'
import { createMessageInbox } from '../../src/pubsub/message-inbox.ts'
import type { WireMessage } from '../../src/pubsub/topic-message.ts'

const wire = (id: string, data = '{"n":1}'): WireMessage => ({
  id,
  type: 'Look',
  data,
  aggregate: { type: 'counter', id: 'a' },
  timeMs: 1_700_000_000_123,
})

function setUp() {
  const lines: { readonly fields: LogFields; readonly message: string }[] = []
  const warn = (fields: LogFields, message: string) => void lines.push({ fields, message })
  const inbox = createMessageInbox({ log: { debug() {}, info() {}, warn, error() {} } })
  const seen: QueryMessage[] = []
  const stop = inbox.onMessage(message => seen.push(message))
  return { inbox, seen, lines, stop }
}

t.test('a message that comes again is given once; another author may have the same id', async t => {
  const { inbox, seen, stop } = setUp()
  inbox.receive('a', [wire('m-1'), wire('m-2')])
  inbox.receive('a', [wire('m-2'), wire('m-1'), wire('m-3')])
  inbox.receive('b', [wire('m-1')])
  t.strictSame(
    seen.map(({ publisher, id }) => `${publisher} ${id}`),
    ['a m-1', 'a m-2', 'a m-3', 'b m-1'],
  )
  t.strictSame(seen[0], {
    id: 'm-1',
    type: 'Look',
    data: { n: 1 },
    aggregate: { type: 'counter', id: 'a' },
    time: '2023-11-14T22:13:20.123Z',
    publisher: 'a',
  })
  stop()
  inbox.receive('a', [wire('m-9')])
  t.equal(seen.length, 4)
})

t.test('what cannot be read is named and left out, and the rest is given', async t => {
  const { inbox, seen, lines } = setUp()
  inbox.receive('a', [wire('m-1', '{'), { ...wire('m-2'), timeMs: Number.MAX_SAFE_INTEGER }, wire('m-3')])
  t.strictSame(
    seen.map(({ id }) => id),
    ['m-3'],
  )
  t.match(lines, [
    { fields: { peer: 'a', id: 'm-1' }, message: 'pubsub: a message of a member cannot be read' },
    { fields: { id: 'm-2' } },
  ])
})

t.test('ids are forgotten in the order of coming, so that memory is bounded', async t => {
  const { inbox, seen } = setUp()
  const many = Array.from({ length: 10_001 }, (_, n) => wire(`m-${n}`))
  inbox.receive('a', many)
  inbox.receive('a', many.slice(1))
  t.equal(seen.length, 10_001, 'the newest 10 000 are known')
  inbox.receive('a', many.slice(0, 1))
  t.equal(seen.length, 10_002, 'the oldest is not')
})
