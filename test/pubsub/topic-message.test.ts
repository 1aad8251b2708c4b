// What travels on the topic: there and back, open to what newer versions add.
import { PbfWriter } from 'pbf'
import t from 'tap'
import {
  decodeEntries,
  decodeTopicMessage,
  encodeEntries,
  encodeTopicMessage,
  type TopicMessage,
} from '../../src/pubsub/topic-message.ts'
import { loadSchema } from '../support/load-schema.ts'
import { entryAt } from './entries.ts'

const message: TopicMessage = {
  clusterId: 'c1',
  heads: [
    { partition: 1, term: 2, index: 30 },
    { partition: 32, term: Number.MAX_SAFE_INTEGER, index: Number.MAX_SAFE_INTEGER },
  ],
  groups: [
    { partition: 1, entries: [entryAt(29), entryAt(30)] },
    { partition: 2, entries: [] },
  ],
  messages: [
    {
      id: 'm-1',
      type: 'Look ü',
      data: '{"at":[1,null]}',
      aggregate: { type: 'counter', id: 'a/b' },
      timeMs: 1_700_000_000_123,
    },
    { id: 'm-2', type: 'Look', data: '{}', aggregate: null, timeMs: 0 },
  ],
}

t.test('a message survives the wire', async t => {
  t.strictSame(decodeTopicMessage(encodeTopicMessage(message)), message)
  const bare = { clusterId: 'c1', heads: [], groups: [], messages: [] }
  t.strictSame(decodeTopicMessage(encodeTopicMessage(bare)), bare)
})

t.test('the answer to a fetch survives the wire', async t => {
  const group = { partition: 3, entries: [entryAt(1), entryAt(2), entryAt(3)] }
  t.strictSame(decodeEntries(encodeEntries(group)), group)
  t.strictSame(decodeEntries(encodeEntries({ partition: 3, entries: [] })), { partition: 3, entries: [] })
})

t.test('unknown fields are passed over', async t => {
  const writer = new PbfWriter()
  writer.writeStringField(90, 'news')
  writer.writeStringField(1, 'c1')
  writer.writeMessage(
    2,
    (_: null, head: PbfWriter) => {
      head.writeVarintField(1, 4)
      head.writeVarintField(2, 5)
      head.writeVarintField(3, 6)
      head.writeBytesField(91, new Uint8Array(4))
    },
    null,
  )
  writer.writeDoubleField(92, 1.5)
  t.strictSame(decodeTopicMessage(writer.finish()), {
    clusterId: 'c1',
    heads: [{ partition: 4, term: 5, index: 6 }],
    groups: [],
    messages: [],
  })
})

t.test('bytes that are cut off are refused, or say no more than the whole did', async t => {
  const whole = encodeTopicMessage(message)
  for (let length = 1; length < whole.length; length += 1) {
    let found: TopicMessage
    try {
      found = decodeTopicMessage(whole.subarray(0, length))
    } catch {
      continue
    }
    for (const [place, head] of found.heads.entries())
      t.strictSame(head, message.heads[place], `head, cut at ${length}`)
    for (const [place, group] of found.groups.entries())
      t.strictSame(group, message.groups[place], `group, cut at ${length}`)
  }
})

t.test('the published schema says the same as our codec, both ways', async t => {
  const schema = await loadSchema('pubsub/topic-message.proto')
  const type = schema.lookupType('glyn.pubsub.TopicMessage')
  const bytes = encodeTopicMessage(message)
  const read = type.toObject(type.decode(bytes), { longs: Number, arrays: true, defaults: true })
  t.match(read, {
    clusterId: 'c1',
    heads: [{ partition: 1, term: 2, index: 30 }, { term: Number.MAX_SAFE_INTEGER }],
    groups: [
      { partition: 1, entries: [{ index: 29 }, { index: 30 }] },
      { partition: 2, entries: [] },
    ],
    messages: [
      {
        id: 'm-1',
        data: '{"at":[1,null]}',
        aggregateType: 'counter',
        aggregateId: 'a/b',
        timeMs: 1_700_000_000_123,
      },
      { id: 'm-2', type: 'Look', data: '{}', aggregateType: '', timeMs: 0 },
    ],
  })
  const record = schema.lookupType('glyn.store.Record')
  const [entry] = (read['groups'] as { entries: { payload: Uint8Array }[] }[])[0]?.entries ?? []
  const written = record.toObject(record.decode(entry?.payload ?? new Uint8Array()), { longs: Number })
  t.strictSame(written, {
    aggregateType: 'counter',
    aggregateId: 'c',
    commandId: 'command-29',
    firstSequence: 29,
    timeMs: 1_700_000_000_000,
    // The metadata `{}` and the version 1 are left out.
    events: [{ type: 'Added', data: '{"n":29}' }],
  })
  const theirs = type.encode(type.fromObject(read)).finish()
  t.equal(Buffer.compare(encodeTopicMessage(decodeTopicMessage(theirs)), bytes), 0)
})
