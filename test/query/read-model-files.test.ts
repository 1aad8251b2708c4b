// Two read models change places: a crash after any step leaves a state that the next start goes on from.
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import t, { type Test } from 'tap'
import { openReadModel, type ReadModelIdentity } from '../../src/query/read-model.ts'
import {
  listReadModels,
  moveReadModel,
  placesOf,
  settleReadModels,
} from '../../src/query/read-model-files.ts'

const oldCode: ReadModelIdentity = { name: 'sum', version: 1, contentHash: 'old', history: 'h' }
const newCode: ReadModelIdentity = { ...oldCode, contentHash: 'new' }

/** Makes a read model at a place that has seen so much. `crash` leaves its write-ahead log behind, as a killed process does. */
function build(path: string, identity: ReadModelIdentity, position: number, crash = false): void {
  const { model } = openReadModel(path, identity)
  model.db.exec('create table if not exists seen (n integer)')
  model.db.prepare('insert into seen values (?)').run(position)
  model.writeCheckpoint(1, position)
  if (!crash) {
    model.close()
    return
  }
  // Another connection keeps the log from being taken into the database and removed.
  const reader = new Sqlite(path, { readonly: true })
  reader.exec('begin')
  reader.prepare('select * from seen').all()
  model.close()
  for (const suffix of ['', '-wal']) renameSync(`${path}${suffix}`, `${path}${suffix}.kept`)
  reader.close()
  rmSync(`${path}-shm`, { force: true })
  for (const suffix of ['', '-wal']) renameSync(`${path}${suffix}.kept`, `${path}${suffix}`)
}

function seen(path: string, identity: ReadModelIdentity): readonly [number | undefined, unknown] {
  const { model } = openReadModel(path, identity)
  const found = [model.positions.get(1), model.db.prepare('select n from seen').pluck().all()] as const
  model.close()
  return found
}

function folderOf(t: Test) {
  const folder = join(t.testdir(), 'queries')
  mkdirSync(folder)
  return placesOf(folder, 'sum')
}

t.test(
  'the swap: the new one lies in the place of the old one, whole, and nothing is left beside it',
  async t => {
    for (const oldCrashed of [false, true]) {
      const { path, nextPath } = folderOf(t)
      build(path, oldCode, 5, oldCrashed)
      build(nextPath, newCode, 7, true)
      const { model } = openReadModel(nextPath, newCode)
      moveReadModel(model, { from: nextPath, to: path })
      t.notOk(existsSync(nextPath))
      t.notOk(existsSync(`${nextPath}-wal`))
      t.notOk(existsSync(`${path}-wal`), 'a log of the old one would destroy the new one')
      t.strictSame(
        seen(path, newCode),
        [7, [7]],
        oldCrashed ? 'over one that crashed' : 'over one that was closed',
      )
      rmSync(path)
    }
  },
)

const states: readonly {
  readonly name: string
  readonly old: readonly [ReadModelIdentity, number] | null
  readonly next: readonly [ReadModelIdentity, number] | null
  readonly code: ReadModelIdentity
  readonly hasNext: boolean
  readonly found: number | undefined
}[] = [
  { name: 'nothing was built', old: [oldCode, 5], next: null, code: oldCode, hasNext: false, found: 5 },
  {
    name: 'the file was changed back',
    old: [oldCode, 5],
    next: [newCode, 3],
    code: oldCode,
    hasNext: false,
    found: 5,
  },
  {
    name: 'the new version was being built',
    old: [oldCode, 5],
    next: [newCode, 3],
    code: newCode,
    hasNext: false,
    found: 3,
  },
  {
    name: 'the old one was gone already',
    old: null,
    next: [newCode, 7],
    code: newCode,
    hasNext: false,
    found: 7,
  },
  {
    name: 'the same version was built again',
    old: [oldCode, 5],
    next: [oldCode, 3],
    code: oldCode,
    hasNext: true,
    found: 5,
  },
]
for (const { name, old, next, code, hasNext, found } of states) {
  t.test(`a start after a crash: ${name}`, async t => {
    const { path, nextPath } = folderOf(t)
    if (old !== null) build(path, ...old, true)
    if (next !== null) build(nextPath, ...next, true)
    t.equal(settleReadModels({ path, nextPath, identity: code }), hasNext)
    t.equal(existsSync(nextPath), hasNext)
    t.strictSame(seen(path, code), [found, [found]])
    if (hasNext) t.strictSame(seen(nextPath, code), [3, [3]])
  })
}

t.test('what is damaged is not of this version', async t => {
  const { path, nextPath } = folderOf(t)
  build(path, oldCode, 5)
  writeFileSync(nextPath, 'x'.repeat(5000))
  t.equal(settleReadModels({ path, nextPath, identity: oldCode }), false)
  t.notOk(existsSync(nextPath))
  t.strictSame(seen(path, oldCode), [5, [5]])
})

t.test('the names of the read models in a folder', async t => {
  const folder = t.testdir({
    'a.db': '',
    'a.db-wal': '',
    'b.next.db': '',
    'c.db.damaged': '',
    'notes.json': '',
  })
  t.strictSame(listReadModels(folder), ['a', 'b'])
  t.strictSame(listReadModels(join(folder, 'missing')), [])
})
