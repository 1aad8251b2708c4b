// What goes wrong with files and disks is explained by a code and a text that names the file.
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmdirSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { hashEntry } from '../../src/store/hash-entry.ts'
import { migrate, migrations } from '../../src/store/sqlite/sqlite-schema.ts'
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts'
import { verifyLog } from '../../src/store/verify-log.ts'
import { batchOf, createChain } from './entries.ts'
import { runChild } from './run-child.ts'

const run = (program: string, ...rest: string[]): boolean => spawnSync(program, rest).status === 0

/** A small file system of its own, unmounted at the end. Undefined where this process may not mount. */
function mountSmall(size: string): { readonly directory: string; readonly unmount: () => void } | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'glyn-disk-'))
  const isMounted = run('mount', '-t', 'tmpfs', '-o', `size=${size}`, 'glyn-test', directory)
  const unmount = (): void => {
    if (isMounted) run('umount', '-l', directory)
    rmdirSync(directory)
  }
  if (isMounted) return { directory, unmount }
  unmount()
  return undefined
}

/** Why tests that mount are skipped; false when they are not. */
function whyNoMount(): string | false {
  const probe = mountSmall('64k')
  probe?.unmount()
  return probe === undefined && 'this process may not mount file systems'
}
const noMount = whyNoMount()

function smallDisk(t: Test, size: string): string {
  const disk = mountSmall(size)
  if (disk === undefined) throw new Error('mount worked a moment ago')
  t.teardown(disk.unmount)
  return disk.directory
}

async function writeSome(path: string, entries = 500) {
  const store = await openSqliteStore({ path })
  const chain = createChain()
  for (let number = 0; number < entries; number += 1) {
    chain.command(`a${number % 7}`, { data: JSON.stringify({ note: 'x'.repeat(200), number }) })
  }
  const hardState = { term: 1, vote: null, commit: entries }
  await store.write(batchOf({ partitions: [{ partition: 1, hardState, entries: chain.entries }] }))
  const { storageId } = store
  await store.close()
  return { chain, storageId }
}

function firstFault(store: Awaited<ReturnType<typeof openSqliteStore>>, throughIndex: number) {
  const steps = verifyLog(store.log(1), { throughIndex, hashEntry })
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value
}

t.test('a second process is refused, by name, and gets in when the first is gone', async t => {
  const directory = t.testdir()
  const path = join(directory, 'glyn.db')
  const child = runChild('./write-until-killed.ts', { arguments: [path, '1', '1'] })
  t.teardown(() => child.process.kill('SIGKILL'))
  await child.line('open')
  await t.rejects(openSqliteStore({ path }), {
    code: 'ALREADY_RUNNING',
    message: `data directory ${directory} is in use by the process ${child.pid}; stop it, or use another --data-dir`,
  })
  child.process.kill('SIGKILL')
  await child.ended
  await (await openSqliteStore({ path })).close()
})

t.test('the storage id and the settings survive; another database has another id', async t => {
  const path = join(t.testdir(), 'glyn.db')
  const first = await openSqliteStore({ path })
  await first.write(batchOf({ settings: { cluster: 'c' } }))
  await first.close()
  const again = await openSqliteStore({ path })
  t.equal(again.storageId, first.storageId)
  t.equal(again.settings().get('cluster'), 'c')
  t.equal(again.location, path)
  await again.close()
  const other = await openSqliteStore({ path: join(t.testdirName, 'other', 'glyn.db') })
  t.not(other.storageId, first.storageId)
  await other.close()
})

t.test('a newer format is refused with both versions, and the file is left alone', async t => {
  const path = join(t.testdir(), 'glyn.db')
  await writeSome(path, 3)
  const database = new Database(path)
  database.pragma('user_version = 99')
  database.close()
  const before = readFileSync(path)
  await t.rejects(openSqliteStore({ path }), {
    code: 'STORE_FORMAT',
    message: /it has format 99; this version reads formats 1 to 3\. Use a newer glyn-node/,
    details: { found: 99, newest: 3 },
  })
  t.equal(Buffer.compare(readFileSync(path), before), 0)
})

t.test('the database of another program is refused', async t => {
  const path = join(t.testdir(), 'glyn.db')
  const database = new Database(path)
  database.exec('create table theirs (id)')
  database.close()
  await t.rejects(openSqliteStore({ path }), { code: 'STORE_FORMAT', message: /of another program/ })
})

t.test('migrations run in order, once each, and undo themselves when they fail', async t => {
  const database = new Database(join(t.testdir(), 'm.db'))
  t.teardown(() => database.close())
  const location = 'm.db'
  const steps = [
    { version: 1, sql: 'create table a (x)' },
    { version: 2, sql: 'insert into a values (1); alter table a add column y default 7' },
  ]
  const version = () => database.pragma('user_version', { simple: true })
  migrate(database, { location, migrations: steps.slice(0, 1) })
  t.equal(version(), 1)
  migrate(database, { location, migrations: steps })
  migrate(database, { location, migrations: steps })
  t.equal(version(), 2)
  t.strictSame(database.prepare('select * from a').all(), [{ x: 1, y: 7 }])
  const broken = { version: 3, sql: 'insert into a values (2, 2); select nonsense' }
  t.throws(() => migrate(database, { location, migrations: [...steps, broken] }))
  t.equal(version(), 2)
  t.equal(database.prepare('select count(*) from a').pluck().get(), 1)
  t.strictSame(
    migrations.map(step => step.version),
    migrations.map((_, place) => place + 1),
    'the real list counts 1, 2, 3 …',
  )
})

t.test('garbage in place of the header is named', async t => {
  const path = join(t.testdir(), 'glyn.db')
  await writeSome(path, 3)
  const file = openSync(path, 'r+')
  writeSync(file, 'garbage garbage garbage')
  closeSync(file)
  await t.rejects(openSqliteStore({ path }), {
    code: 'STORE_CORRUPT',
    message: new RegExp(`store ${path}: the file is not a SQLite database`),
  })
})

/** A leaf in the middle of the log. */
function middlePageOfLog(path: string): number {
  const database = new Database(path, { readonly: true })
  const leaves = database
    .prepare("select pageno from dbstat where name = 'log' and pagetype = 'leaf' order by path")
    .pluck()
    .all()
  database.close()
  return Number(leaves[Math.floor(leaves.length / 2)])
}

t.test('a damaged page is found when it is read, and the entries before it stay readable', async t => {
  const path = join(t.testdir(), 'glyn.db')
  await writeSome(path)
  const page = middlePageOfLog(path)
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, (page - 1) * 4096)
  closeSync(file)
  const store = await openSqliteStore({ path })
  t.teardown(() => store.close())
  const everything = { afterIndex: 0, throughIndex: 500, limit: 1000 }
  t.throws(() => store.readPartition(1, everything), {
    code: 'STORE_CORRUPT',
    message: /the file is damaged; keep it/,
  })
  const fault = firstFault(store, 500)
  t.ok(fault !== null && fault.index > 1 && fault.index < 500, `found at ${fault?.index}: ${fault?.reason}`)
  t.ok(store.log(1).entries(1, 5, 1e6).length === 5)
})

t.test('verify names the first entry whose content was changed, removed or replaced', async t => {
  const path = join(t.testdir(), 'glyn.db')
  const { chain } = await writeSome(path)
  const change = async (sql: string) => {
    const database = new Database(path)
    database.exec(sql)
    database.close()
    const store = await openSqliteStore({ path })
    try {
      return firstFault(store, 500)
    } finally {
      await store.close()
    }
  }
  t.equal(await change('select 1'), null)
  t.match(await change("update log set data = '{}' where idx = 400"), {
    index: 400,
    reason: /does not fit its hash/,
  })
  t.match(await change('update log set term = 9 where idx = 317'), { index: 317 })
  t.match(await change(`update log set command_id = 'x' where idx = 300`), { index: 300 })
  const forged = Buffer.from(chain.entries[5]?.hash ?? []).toString('hex')
  t.match(await change(`update log set hash = x'${forged}' where idx = 200`), { index: 200 })
  t.match(await change('update log set hash = null where idx = 100'), {
    index: 100,
    reason: /it has no hash/,
  })
  t.match(await change('delete from log where idx = 50'), { index: 50, reason: /missing/ })
})

t.test('a log that lost its end is refused', async t => {
  const path = join(t.testdir(), 'glyn.db')
  await writeSome(path)
  const database = new Database(path)
  database.exec('delete from log where idx > 490')
  database.close()
  const store = await openSqliteStore({ path })
  t.teardown(() => store.close())
  t.throws(() => store.recover(), {
    code: 'STORE_CORRUPT',
    message: /partition 1: the log ends at 490, but 500 was written/,
  })
})

t.test('a full disk ends the store for good, and loses nothing acknowledged', { skip: noMount }, async t => {
  const disk = smallDisk(t, '3m')
  const path = join(disk, 'glyn.db')
  const store = await openSqliteStore({ path })
  const chain = createChain()
  let acknowledged = 0
  let failure: unknown = null
  while (failure === null && acknowledged < 10_000) {
    const entries = [chain.command('a', { data: JSON.stringify('x'.repeat(5000)) })]
    await store.write(batchOf({ partitions: [{ partition: 1, entries }] })).then(
      () => {
        acknowledged += 1
      },
      error => {
        failure = error
      },
    )
  }
  t.match(failure, { code: 'STORE_FULL', message: `store ${path}: the disk is full` })
  t.ok(acknowledged > 10)
  t.equal(await store.write(batchOf({ settings: { a: 'b' } })).catch(error => error), failure)
  await store.close()

  t.ok(run('mount', '-o', 'remount,size=50m', disk), 'room again')
  const again = await openSqliteStore({ path })
  t.equal(again.recover()[0]?.lastIndex, acknowledged)
  t.equal(firstFault(again, acknowledged), null)
  const entries = chain.entries.slice(acknowledged)
  await again.write(batchOf({ partitions: [{ partition: 1, entries }] }))
  await again.close()
})

t.test('a disk that is full from the beginning', { skip: noMount }, async t => {
  const disk = smallDisk(t, '64k')
  t.throws(() => writeFileSync(join(disk, 'filler'), Buffer.alloc(1_000_000)), { code: 'ENOSPC' })
  await t.rejects(openSqliteStore({ path: join(disk, 'glyn.db') }), {
    code: 'STORE_FULL',
    message: new RegExp(disk),
  })
})

t.test('a read-only file system', { skip: noMount }, async t => {
  const disk = smallDisk(t, '8m')
  const path = join(disk, 'glyn.db')
  await writeSome(path, 3)
  t.ok(run('mount', '-o', 'remount,ro', disk))
  await t.rejects(openSqliteStore({ path }), { code: 'STORE_READ_ONLY', message: new RegExp(disk) })
})

t.test('a file without permission to write', async t => {
  const path = join(t.testdir(), 'glyn.db')
  await writeSome(path, 3)
  const child = runChild('./open-unprivileged.ts', { arguments: [path] })
  t.teardown(() => child.process.kill('SIGKILL'))
  await child.ended
  const [said = ''] = child.lines
  if (said.startsWith('skip')) t.comment(said)
  else
    t.match(said, new RegExp(`^STORE_READ_ONLY store ${path}: the file or its directory cannot be written`))
})
