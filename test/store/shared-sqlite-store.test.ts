// One SQLite file that nodes share: the claims of the kit, several processes, kill -9, and files that are none of ours.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import t from 'tap'
import { sharedSqliteStore } from '../../src/store/sqlite/shared/shared-sqlite-store.ts'
import { checkClaim, sharedStoreClaims } from '../../src/testing/shared-store/check-shared-store.ts'
import { plainly } from '../support/plainly.ts'
import { binding, deposit } from './shared-appends.ts'
import { checkThreeProcesses } from './three-processes.ts'

t.test('a shared SQLite file keeps the promises of a shared store', async t => {
  const folder = t.testdir()
  const pathOf = (place: string) => join(folder, `${place}.db`)
  const remove = (place: string) => {
    for (const rest of ['', '-wal', '-shm']) rmSync(`${pathOf(place)}${rest}`, { force: true })
  }
  for (const claim of sharedStoreClaims) {
    await t.test(claim.name, () =>
      checkClaim(claim, { create: place => sharedSqliteStore({ path: pathOf(place) }), remove }),
    )
  }
})

t.test('three processes see one history', async t => {
  const path = join(t.testdir(), 'history.db')
  await checkThreeProcesses(t, path)
  const database = new Database(path, { readonly: true })
  t.teardown(() => database.close())
  const count = (sql: string): unknown => database.prepare(sql).pluck().get()
  t.equal(
    count(
      'select count(*) from (select max(idx) as last from events group by partition) join heads on last = last_index',
    ),
    4,
  )
  t.equal(count('select (select sum(sequence) from streams) - (select count(*) from events)'), 0)
  t.equal(
    count(`select count(*) from (select max(sequence) as last, aggregate_type as type, aggregate_id as id from events group by 2, 3)
      join streams on aggregate_type = type and aggregate_id = id where last <> sequence`),
    0,
    'what is kept beside the events agrees with them',
  )
})

t.test('what was acknowledged is there after kill -9', async t => {
  const path = join(t.testdir(), 'history.db')
  const script = fileURLToPath(new URL('./append-until-killed.ts', import.meta.url))
  for (let round = 0; round < 3; round += 1) {
    const child = spawn(
      ...plainly(process.execPath, ['--disable-warning=ExperimentalWarning', script, path, `${round}`]),
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    const ended = once(child, 'close')
    const acknowledged: string[] = []
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged.push(line)
      if (acknowledged.length === 200) child.kill('SIGKILL')
    }
    t.same((await ended)[1], 'SIGKILL')
    const store = sharedSqliteStore({ path })
    await store.open(binding)
    const sequences = await store.sequences(acknowledged.map(line => ({ type: 'bank_account', id: line })))
    t.ok(acknowledged.length >= 200 && sequences.every(sequence => sequence === 2), 'whole and all of them')
    await store.close()
  }
})

t.test('files that are none of ours are left alone', async t => {
  const folder = t.testdir()
  const foreign = join(folder, 'foreign.db')
  new Database(foreign).exec('create table mine (id integer)').close()
  const text = join(folder, 'text.db')
  writeFileSync(text, 'this is a text, and longer than the header of a database would be: '.repeat(20))
  const newer = join(folder, 'newer.db')
  const first = sharedSqliteStore({ path: newer })
  await first.open(binding)
  await first.close()
  const database = new Database(newer)
  database.pragma('user_version = 99')
  database.close()
  for (const [path, code, message] of [
    [foreign, 'STORE_FORMAT', /not one that nodes share/],
    [text, 'STORE_CORRUPT', /text\.db: the file is not a SQLite database/],
    [newer, 'STORE_FORMAT', /it has format 99; this version reads format 1/],
  ] as const) {
    const store = sharedSqliteStore({ path })
    await t.rejects(store.open(binding), { code, message })
    await t.rejects(store.heads(), { code: 'EVENT_STORE_ERROR', message: /call open\(\) first/ })
    await store.close()
  }
  t.throws(() => sharedSqliteStore({ path: '' }), { code: 'INVALID_ARGUMENT', message: /path is ""/ })
  const deep = join(folder, 'not', 'there', 'yet.db')
  const store = sharedSqliteStore({ path: deep })
  await store.open(binding)
  await store.close()
  t.ok(existsSync(deep), 'its folder is made')
})

t.test('who holds the file locked for long is named, and nothing is lost', async t => {
  const path = join(t.testdir(), 'history.db')
  const store = sharedSqliteStore({ path })
  await store.open(binding)
  t.teardown(() => store.close())
  const other = new Database(path)
  other.exec('begin immediate')
  await t.rejects(store.append([deposit('a', 0, 'c-1')]), {
    code: 'UNAVAILABLE',
    message: /other processes kept it locked; nothing was written/,
  })
  other.exec('rollback')
  other.close()
  t.same(await store.append([deposit('a', 0, 'c-1')]), [{ type: 'appended', index: 1 }], 'it goes on')
})
