import { PbfReader, PbfWriter } from 'pbf'
import t from 'tap'
import type { CommandRecord } from '../../src/core/record.ts'
import { genesisHash } from '../../src/raft/entry.ts'
import { readEntry, writeEntry } from '../../src/store/entry-codec.ts'
import { hashEntry } from '../../src/store/hash-entry.ts'
import { decodeRecord, encodeRecord, isEncodingOf } from '../../src/store/record-codec.ts'
import { createChain } from './entries.ts'

const record: CommandRecord = {
  aggregate: { type: 'bank_account', id: 'acc-1' },
  commandId: '0193-7',
  firstSequence: 3,
  timeMs: 1_700_000_000_123,
  metadata: '{"user":"ada"}',
  events: [
    { type: 'CustomerDepositedCash', version: 1, data: '{"amount":100}' },
    { type: 'Renamed', version: 2, data: '{"name":"Ada 😀"}' },
  ],
}

t.test('a record survives the way into bytes and back', async t => {
  t.strictSame(decodeRecord(encodeRecord(record)), record)
  const plain = { ...record, metadata: '{}', firstSequence: Number.MAX_SAFE_INTEGER }
  t.strictSame(decodeRecord(encodeRecord(plain)), plain)
  const large = {
    ...record,
    events: [{ type: 'L', version: 1, data: JSON.stringify('ü'.repeat(2_000_000)) }],
  }
  t.strictSame(decodeRecord(encodeRecord(large)), large)
  t.strictSame(decodeRecord(encodeRecord(record)), record, 'after a large one')
})

t.test('the same record gives the same bytes, and they never change', async t => {
  t.strictSame(encodeRecord(structuredClone(record)), encodeRecord(record))
  t.equal(
    Buffer.from(encodeRecord(record)).toString('hex'),
    '0a0c62616e6b5f6163636f756e7412056163632d311a06303139332d37200328fbd095ffbc31320e7b2275736572223a22616461227d' +
      '3a270a15437573746f6d65724465706f7369746564436173681a0e7b22616d6f756e74223a3130307d' +
      '3a200a0752656e616d656410021a137b226e616d65223a2241646120f09f9880227d',
  )
})

t.test('bytes that encode a record in another way are told from its own', async t => {
  const bytes = encodeRecord(record)
  t.ok(isEncodingOf(record, bytes))
  t.notOk(isEncodingOf({ ...record, timeMs: record.timeMs + 1 }, bytes))
  t.notOk(isEncodingOf(record, bytes.subarray(1)))
  const invalid = Buffer.from(bytes)
  invalid[invalid.indexOf('Ada 😀') + 4] = 0xff
  t.notOk(isEncodingOf(decodeRecord(invalid), invalid), 'a byte that is no UTF-8')
  const marked = { ...record, events: [{ type: '\ufeffMarked', version: 1, data: '{}' }] }
  t.strictSame(decodeRecord(encodeRecord(marked)), marked, 'a byte order mark belongs to its text')
  const twice = Buffer.concat([encodeRecord(record), encodeRecord({ ...record, events: [] })])
  t.notOk(isEncodingOf(decodeRecord(twice), twice), 'fields that come twice')
})

t.test('fields of a newer version are skipped, in a record and in an event', async t => {
  const writer = new PbfWriter()
  writer.writeVarintField(90, 5)
  writer.writeStringField(1, 'type')
  writer.writeStringField(2, 'id')
  writer.writeStringField(3, 'command')
  writer.writeVarintField(4, 1)
  writer.writeDoubleField(91, 0.5)
  writer.writeMessage(
    7,
    (event: string, pbf) => {
      pbf.writeStringField(1, event)
      pbf.writeBytesField(17, Uint8Array.of(1, 2, 3))
      pbf.writeStringField(3, '{}')
    },
    'Opened',
  )
  writer.writeFixed32Field(92, 7)
  t.match(decodeRecord(writer.finish()), {
    aggregate: { type: 'type', id: 'id' },
    events: [{ type: 'Opened', version: 1, data: '{}' }],
  })
})

t.test('bytes that are not a whole record are refused', async t => {
  const bytes = encodeRecord(record)
  const whole = bytes.length
  for (let length = 0; length < whole; length += 1) {
    // Cut between the two events it is a whole record with one of them.
    if (length === whole - 34) continue
    t.throws(() => decodeRecord(bytes.subarray(0, length)), { code: 'INVALID_ARGUMENT' }, `cut at ${length}`)
  }
  t.throws(() => decodeRecord(Buffer.from('complete nonsense')), {
    code: 'INVALID_ARGUMENT',
    message: /record of 17 bytes is not readable/,
  })
})

t.test('entries of each kind survive the way into a message and back', async t => {
  const chain = createChain()
  chain.noop()
  chain.config(['a/1', 'b/2'])
  chain.command('x', { events: 3 })
  const writer = new PbfWriter()
  for (const entry of chain.entries) writer.writeMessage(5, writeEntry, entry)
  const reader = new PbfReader(writer.finish().slice())
  const entries = reader.readFields((tag, list: unknown[], pbf) => {
    if (tag === 5) list.push(readEntry(pbf))
  }, [])
  t.strictSame(entries, chain.entries)
})

t.test('what is not an entry is refused', async t => {
  const read = (bytes: readonly number[]) => () => readEntry(new PbfReader(Uint8Array.from(bytes)))
  t.throws(read([2, 8, 1]), { code: 'INVALID_ARGUMENT' }, 'no hash')
  t.throws(read([9, 8, 1]), { code: 'INVALID_ARGUMENT' }, 'cut off')
  t.throws(read([40, 8, 1, 24, 9, 42, 32, ...Array(32).fill(0), 16, 1]), { message: /kind is 9; allowed/ })
})

t.test('the hash covers every part of an entry and the hash before it, and never changes', async t => {
  const entry = { index: 1, term: 2, kind: 'command', payload: Uint8Array.of(1, 2, 3) } as const
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  t.equal(
    hex(hashEntry(genesisHash, entry)),
    '059908d215b470c8db1f0e546b8dd4a64573e51925667040ddc77ad256bfe521',
  )
  const others = [
    hashEntry(genesisHash, { ...entry, index: 2 }),
    hashEntry(genesisHash, { ...entry, term: 3 }),
    hashEntry(genesisHash, { ...entry, term: 2 + 2 ** 32 }),
    hashEntry(genesisHash, { ...entry, kind: 'noop' }),
    hashEntry(genesisHash, { ...entry, payload: Uint8Array.of(1, 2) }),
    hashEntry(genesisHash, { ...entry, payload: new Uint8Array(100_000) }),
    hashEntry(new Uint8Array(32).fill(1), entry),
  ].map(hex)
  t.equal(new Set([...others, hex(hashEntry(genesisHash, entry))]).size, 8)
})
