// Stores of keys: in memory, and on a disk that keeps no trace of what was destroyed.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { createSubjectKey } from '../../src/store/event-cipher.ts'
import { createMemoryKeyStore } from '../../src/store/memory/memory-key-store.ts'
import { keyBytesPath, keyDatabasePath } from '../../src/store/sqlite/key-files.ts'
import { openSqliteKeyReader } from '../../src/store/sqlite/sqlite-key-reader.ts'
import { openSqliteKeyStore } from '../../src/store/sqlite/sqlite-key-store.ts'
import { testKeyStore } from './key-store-conformance.ts'

const newDirectory = (t: Test): string => {
  const directory = mkdtempSync(join(tmpdir(), 'glyn-keys-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

t.test('in memory', t => testKeyStore(t, () => Promise.resolve(createMemoryKeyStore())))

t.test('on the disk', t =>
  testKeyStore(t, async () => {
    const store = await openSqliteKeyStore({ directory: newDirectory(t) })
    t.teardown(() => store.close())
    return store
  }),
)

const account = { type: 'account', id: '1' }

/** The names of the files in which these bytes are. */
const filesWith = (directory: string, bytes: Uint8Array): readonly string[] =>
  readdirSync(directory).filter(name => readFileSync(join(directory, name)).includes(Buffer.from(bytes)))

t.test('the bytes of a key are in one file, and in none when it is destroyed', async t => {
  const directory = newDirectory(t)
  const store = await openSqliteKeyStore({ directory })
  t.teardown(() => store.close())
  const keys = Array.from({ length: 400 }, (_, n) => createSubjectKey(`s${n % 4}`.padEnd(43, 'x'), account))
  for (const part of [keys.slice(0, 10), keys.slice(10, 200), keys.slice(200)])
    await store.join({ keys: part, forgotten: [] })
  const some = [...keys.entries()].filter(([n]) => n < 20 || n % 13 === 0)
  for (const [, { key }] of some) t.same(filesWith(directory, key ?? new Uint8Array()), ['keys.bin'])
  await store.join({ keys: [], forgotten: ['s1'.padEnd(43, 'x')] })
  for (const [n, { key }] of some) {
    t.same(filesWith(directory, key ?? new Uint8Array()), n % 4 === 1 ? [] : ['keys.bin'])
  }
})

t.test('it is there again after a restart, with what is forgotten and untold', async t => {
  const directory = newDirectory(t)
  let created = 0
  const onCreate = async (): Promise<void> => {
    created += 1
  }
  const first = await openSqliteKeyStore({ directory, onCreate })
  t.same(readdirSync(directory), [], 'no file before the first key')
  const ann = createSubjectKey('ann'.padEnd(43, 'x'), account)
  const bob = createSubjectKey('bob'.padEnd(43, 'x'), account)
  await first.join({ keys: [ann, bob], forgotten: [] })
  await first.join({ keys: [], forgotten: [bob.subject] })
  const fingerprints = first.fingerprints()
  await first.close()
  await t.rejects(first.join({ keys: [ann], forgotten: [] }), { code: 'SHUTTING_DOWN' })
  const second = await openSqliteKeyStore({ directory, onCreate })
  t.teardown(() => second.close())
  t.equal(created, 1)
  t.same(second.find(ann.id), ann)
  t.same(second.find(bob.id), { ...bob, key: null })
  t.same(second.untold(), [{ ...bob, key: null }])
  t.ok(second.isForgotten(bob.subject))
  t.same(second.fingerprints(), fingerprints)
})

t.test(
  'a crash after the row says destroyed and before the bytes are overwritten: the next start does it',
  async t => {
    const directory = newDirectory(t)
    const first = await openSqliteKeyStore({ directory })
    const key = createSubjectKey('ann'.padEnd(43, 'x'), account)
    await first.join({ keys: [key], forgotten: [] })
    await first.close()
    const database = new Database(keyDatabasePath(directory))
    database.exec('insert into forgotten select subject from keys; update keys set destroyed = 1')
    database.close()
    t.same(filesWith(directory, key.key ?? new Uint8Array()), ['keys.bin'])
    const second = await openSqliteKeyStore({ directory })
    t.teardown(() => second.close())
    t.same(filesWith(directory, key.key ?? new Uint8Array()), [])
    t.equal(second.find(key.id)?.key, null)
  },
)

t.test('bytes that no row speaks of, as a crash leaves them, are no key and in nobody’s way', async t => {
  const directory = newDirectory(t)
  const first = await openSqliteKeyStore({ directory })
  const key = createSubjectKey('ann'.padEnd(43, 'x'), account)
  await first.join({ keys: [key], forgotten: [] })
  await first.close()
  const left = new Uint8Array(45).fill(7)
  writeFileSync(keyBytesPath(directory), left, { flag: 'a' })
  const second = await openSqliteKeyStore({ directory })
  t.teardown(() => second.close())
  const next = createSubjectKey('bob'.padEnd(43, 'x'), account)
  await second.join({ keys: [next], forgotten: [] })
  t.same(second.find(key.id), key)
  t.same(second.find(next.id), next)
  t.same(filesWith(directory, left.subarray(0, 13)), [], 'they may have been a key once')
})

t.test('a reader on another connection sees at once what is destroyed', async t => {
  const directory = newDirectory(t)
  const store = await openSqliteKeyStore({ directory })
  t.teardown(() => store.close())
  const key = createSubjectKey('ann'.padEnd(43, 'x'), account)
  await store.join({ keys: [key], forgotten: [] })
  const reader = openSqliteKeyReader(directory)
  t.teardown(() => reader.close())
  t.same(reader.find(key.id), key)
  await store.join({ keys: [], forgotten: [key.subject] })
  t.equal(reader.find(key.id)?.key, null)
})

t.test('without its bytes, a file of keys is refused', async t => {
  const directory = newDirectory(t)
  const first = await openSqliteKeyStore({ directory })
  await first.join({ keys: [createSubjectKey('ann'.padEnd(43, 'x'), account)], forgotten: [] })
  await first.close()
  rmSync(keyBytesPath(directory))
  await t.rejects(openSqliteKeyStore({ directory }), { code: 'STORE_CORRUPT', message: /keys\.bin.*missing/ })
})

t.test('a file of another program is refused', async t => {
  const directory = newDirectory(t)
  const database = new Database(keyDatabasePath(directory))
  database.exec('create table mine (a)')
  database.close()
  await t.rejects(openSqliteKeyStore({ directory }), { code: 'STORE_FORMAT' })
})
