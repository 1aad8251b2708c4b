// The wire form of consensus: what goes in comes out, and what a newer version adds is passed over.
import { PbfWriter } from 'pbf'
import t from 'tap'
import { decodeRaftFrame, encodeRaftFrame, type PartitionMessage } from '../../src/partition/raft-frame.ts'
import type { Entry } from '../../src/raft/entry.ts'
import type { RaftMessage } from '../../src/raft/message.ts'

const ends = { fromPeer: '12D3KooWfrom', toPeer: '12D3KooWto' }
const addressed = { from: '12D3KooWfrom/s1', to: '12D3KooWto/s2', term: 7 }
const entry = (index: number, kind: Entry['kind'], payload: Uint8Array): Entry => ({
  index,
  term: 6,
  kind,
  payload,
  hash: new Uint8Array(32).fill(index),
})
const far = Number.MAX_SAFE_INTEGER

const messages: readonly RaftMessage[] = [
  { ...addressed, type: 'pre-vote', lastIndex: 12, lastTerm: 6 },
  { ...addressed, type: 'pre-vote', lastIndex: 0, lastTerm: 0 },
  { ...addressed, type: 'pre-vote-response', granted: true },
  { ...addressed, type: 'pre-vote-response', granted: false },
  { ...addressed, type: 'vote', lastIndex: 12, lastTerm: 6, transfer: false },
  { ...addressed, type: 'vote', lastIndex: far, lastTerm: far, transfer: true },
  { ...addressed, type: 'vote-response', granted: true },
  { ...addressed, type: 'vote-response', granted: false },
  { ...addressed, type: 'append', previousIndex: 0, previousTerm: 0, entries: [], commit: 0 },
  {
    ...addressed,
    type: 'append',
    previousIndex: 9,
    previousTerm: 5,
    commit: 8,
    entries: [
      entry(10, 'noop', new Uint8Array()),
      entry(11, 'config', new Uint8Array([1, 2, 3])),
      entry(12, 'command', new Uint8Array(700).fill(255)),
    ],
  },
  { ...addressed, type: 'append-response', accepted: true, index: 12, hintIndex: 0, hintTerm: 0 },
  { ...addressed, type: 'append-response', accepted: false, index: 12, hintIndex: 4, hintTerm: 3 },
  { ...addressed, type: 'heartbeat', commit: 12, readRound: 0 },
  { ...addressed, type: 'heartbeat', commit: 0, readRound: far },
  { ...addressed, type: 'heartbeat-response', readRound: 5 },
  { ...addressed, type: 'timeout-now' },
]
const everyMessage: PartitionMessage[] = messages.map((message, partition) => ({ partition, message }))
const frame = { clusterId: 'c1', fromStorage: 's1', toStorage: 's2', messages: everyMessage }

/** Makes sure that a new kind of message is added to this test. */
const kinds: Record<RaftMessage['type'], true> = {
  'pre-vote': true,
  'pre-vote-response': true,
  vote: true,
  'vote-response': true,
  append: true,
  'append-response': true,
  heartbeat: true,
  'heartbeat-response': true,
  'timeout-now': true,
}

t.test('every kind of message survives the wire', async t => {
  t.same(new Set(messages.map(({ type }) => type)), new Set(Object.keys(kinds)))
  const decoded = decodeRaftFrame(encodeRaftFrame(frame), ends)
  t.equal(decoded.clusterId, 'c1')
  t.equal(decoded.messages.length, messages.length)
  for (const [place, found] of decoded.messages.entries()) {
    t.strictSame(found, everyMessage[place], `${messages[place]?.type} ${place}`)
  }
})

t.test('a replica cannot speak for another peer: the names come from the connection', async t => {
  const forged = { ...addressed, from: 'somebody-else/s1', to: 'nobody/s2' }
  const bytes = encodeRaftFrame({
    ...frame,
    messages: [{ partition: 1, message: { ...forged, type: 'timeout-now' } }],
  })
  const [only] = decodeRaftFrame(bytes, ends).messages
  t.same([only?.message.from, only?.message.to], [addressed.from, addressed.to])
})

t.test('unknown kinds of messages are passed over, the others arrive', async t => {
  const newer = new PbfWriter()
  newer.writeStringField(1, 'c1')
  newer.writeStringField(2, 's1')
  newer.writeStringField(3, 's2')
  newer.writeMessage(
    4,
    (_: null, writer: PbfWriter) => {
      writer.writeVarintField(1, 3)
      writer.writeVarintField(2, 99)
      writer.writeVarintField(3, 7)
    },
    null,
  )
  newer.writeMessage(
    4,
    (_: null, writer: PbfWriter) => {
      writer.writeVarintField(1, 3)
      writer.writeVarintField(2, 9)
      writer.writeVarintField(3, 7)
    },
    null,
  )
  t.strictSame(decodeRaftFrame(newer.finish(), ends).messages, [
    { partition: 3, message: { ...addressed, type: 'timeout-now' } },
  ])
})

t.test('unknown fields of the frame and of a message are passed over', async t => {
  const newer = new PbfWriter()
  newer.writeStringField(1, 'c1')
  newer.writeStringField(2, 's1')
  newer.writeStringField(3, 's2')
  newer.writeStringField(77, 'from the future')
  newer.writeMessage(
    4,
    (_: null, writer: PbfWriter) => {
      writer.writeVarintField(1, 3)
      writer.writeVarintField(2, 8)
      writer.writeVarintField(3, 7)
      writer.writeVarintField(7, 5)
      writer.writeBytesField(78, new Uint8Array(9))
      writer.writeFixed64Field(79, 12)
    },
    null,
  )
  t.strictSame(decodeRaftFrame(newer.finish(), ends).messages, [
    { partition: 3, message: { ...addressed, type: 'heartbeat-response', readRound: 5 } },
  ])
})

t.test('bytes that are no frame throw or yield nothing, they never yield half a message', async t => {
  const whole = encodeRaftFrame(frame)
  for (let length = 0; length < whole.length; length += 1) {
    const cut = whole.subarray(0, length)
    let found: readonly PartitionMessage[] = []
    try {
      found = decodeRaftFrame(cut, ends).messages
    } catch {
      continue
    }
    for (const [place, message] of found.entries())
      t.strictSame(message, everyMessage[place], `cut at ${length}`)
  }
})
