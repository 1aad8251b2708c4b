// Sealed data open in their own place, with their own key, and say in words why they do not elsewhere.
import t from 'tap'
import type { CommandRecord, StoredEvent } from '../../src/core/record.ts'
import { toStoredEvents } from '../../src/core/record.ts'
import {
  createSubjectKey,
  openRow,
  openState,
  referenceOf,
  sealRecord,
  sealState,
} from '../../src/store/event-cipher.ts'
import { createMemoryKeyStore } from '../../src/store/memory/memory-key-store.ts'

const aggregate = { type: 'account', id: '1' }
const record: CommandRecord = {
  aggregate,
  commandId: 'c1',
  firstSequence: 4,
  timeMs: 0,
  metadata: '{}',
  events: [
    { type: 'Named', version: 1, data: '{"name":"Grace ü"}' },
    { type: 'Paid', version: 1, data: '{"amount":3}' },
    { type: 'Named', version: 2, data: '{"name":"Ada"}' },
  ],
}

async function setUp() {
  const store = createMemoryKeyStore()
  const key = createSubjectKey(referenceOf('default', 'ann'), aggregate)
  await store.join({ keys: [key], forgotten: [] })
  const rows = toStoredEvents(sealRecord(record, [key, undefined, key]), { partition: 1, index: 9 })
  return { store, key, rows: rows as [StoredEvent, StoredEvent, StoredEvent] }
}

t.test('what is sealed rests as JSON of another form, and opens as it was', async t => {
  const { store, key, rows } = await setUp()
  t.notMatch(JSON.stringify([rows[0], rows[2]]), /Grace|Ada/)
  t.match(JSON.parse(rows[0].data), { $encrypted: { keys: [key.id] } })
  t.same(
    rows.map(row => openRow(store, row)).map(({ data, key }) => [data, key]),
    record.events.map(({ data }, place) => [data, place === 1 ? undefined : key.id]),
  )
  t.equal(openRow(store, rows[1]), rows[1], 'what rests as it is costs nothing')
  const again = sealRecord(record, [key, undefined, undefined])
  t.not(again.events[0]?.data, rows[0].data, 'never sealed the same way twice')
})

t.test('moved, changed or cut, it does not open', async t => {
  const { store, key, rows } = await setUp()
  const [row, , other] = rows
  const unreadable = { code: 'EVENT_UNREADABLE', message: /account.*(changed|another)/ }
  const sealed = (JSON.parse(row.data) as { $encrypted: Record<string, string> }).$encrypted
  const changed: Partial<StoredEvent>[] = [
    { sequence: 5 },
    { aggregateId: '2' },
    { aggregateType: 'accounts' },
    { type: 'Renamed' },
    { version: 2 },
    { commandId: 'c2' },
    { data: other.data },
    ...['data', 'tag', 'iv'].flatMap(field => [
      {
        data: JSON.stringify({
          $encrypted: { ...sealed, [field]: `A${sealed[field]?.slice(1)}`.replace(/^AA/, 'BA') },
        }),
      },
      { data: JSON.stringify({ $encrypted: { ...sealed, [field]: '' } }) },
    ]),
  ]
  for (const change of changed) {
    t.throws(() => openRow(store, { ...row, ...change }), unreadable, JSON.stringify(change).slice(0, 60))
  }
  t.match(openRow(store, row), { data: '{"name":"Grace ü"}', key: key.id }, 'as it was, it does')
})

t.test('without its key it cannot be opened yet; with a destroyed one it is forgotten', async t => {
  const { store, key, rows } = await setUp()
  t.throws(() => openRow(createMemoryKeyStore(), rows[0]), {
    code: 'KEY_UNAVAILABLE',
    retryable: true,
    details: { key: key.id },
  })
  await store.join({ keys: [], forgotten: [key.subject] })
  t.match(openRow(store, rows[2]), {
    type: 'glyn.Forgotten',
    version: 1,
    data: JSON.stringify({ type: 'Named', key: key.id }),
    sequence: 6,
    index: 9,
  })
})

t.test('data of users that only look like it stay theirs', async t => {
  const { store, rows } = await setUp()
  for (const data of [
    '{"$encrypted":1}',
    '{"$encrypted":{"keys":["a"],"iv":"","tag":"","data":""},"b":1}',
    '{"$encrypted":{"keys":[]}}',
  ]) {
    t.equal(openRow(store, { ...rows[1], data }).data, data)
  }
})

t.test('a state opens with all of its keys only', async t => {
  const { store, key } = await setUp()
  const second = createSubjectKey(referenceOf('default', 'bob'), aggregate)
  await store.join({ keys: [second], forgotten: [] })
  const place = { aggregate, sequence: 6, definition: 'code' }
  const keys = [key.id, second.id]
  const sealed = sealState(store, '{"names":2}', { ...place, keys })
  if (sealed === undefined) throw new Error('it is sealed')
  t.same(openState(store, sealed, place), { state: '{"names":2}', keys })
  t.equal(openState(store, sealed, { ...place, sequence: 7 }), undefined, 'not elsewhere')
  t.same(openState(store, '{"plain":1}', place), { state: '{"plain":1}', keys: [] })
  await store.join({ keys: [], forgotten: [second.subject] })
  t.equal(openState(store, sealed, place), undefined, 'one is forgotten')
  t.equal(sealState(store, '{}', { ...place, keys }), undefined, 'and nothing more is sealed with it')
})

t.test('a reference says neither the subject nor the same in another scope', t => {
  t.match(referenceOf('default', 'customer-1'), /^[A-Za-z0-9_-]{43}$/)
  t.not(referenceOf('default', 'customer-1'), referenceOf('other', 'customer-1'))
  t.end()
})
