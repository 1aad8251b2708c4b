// SQL on a read model file: what is refused, and how much an answer may hold, without a node around it.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import t, { type Test } from 'tap'
import { createSqlRunner } from '../../src/query/run-sql.ts'
import { sqlLimits } from '../../src/query/sql-limits.ts'

/** A read model whose writer is gone, and the statements on it. */
function given(t: Test) {
  const path = join(t.testdir(), 'own.db')
  const db = new Sqlite(path)
  db.pragma('journal_mode = wal')
  db.exec(`create table own (n integer, text text); insert into own values (1, 'one'), (2, 'two')`)
  db.close()
  const run = createSqlRunner({ ...sqlLimits, bytesMax: 10_000 })
  const sql = (text: string) => run({ name: 'own', path, text, parameters: {}, rows: 100, timeoutMs: 60_000 })
  return { path, sql }
}

t.test('one row that is larger than an answer may be is refused; many small ones are cut', async t => {
  const { sql } = given(t)
  await t.rejects(sql(`select 1 union all select hex(zeroblob(6000))`), {
    code: 'INVALID_ARGUMENT',
    message: /row 2 has 12\d{3} bytes as JSON; allowed: 10000: select less of it/,
  })
  const numbers = `with recursive n(i) as (select 1 union all select i + 1 from n limit 90)`
  const { rows, truncated } = await sql(`${numbers} select i, hex(zeroblob(200)) as zeros from n`)
  t.ok(truncated)
  t.ok(rows.length > 20 && rows.length < 30)
})

t.test('what could change anything is refused, and changes nothing', async t => {
  const { sql, path } = given(t)
  const elsewhere = `${path}-elsewhere`
  for (const text of [
    `with one as (select 1) insert into own select 3, 'three'`,
    `with one as (select 1) delete from own returning n`,
    `select 1; delete from own`,
    `attach '${elsewhere}' as other`,
    'pragma query_only = off',
    `/* select */ vacuum into '${elsewhere}'`,
  ]) {
    await t.rejects(sql(text), { code: 'INVALID_ARGUMENT' }, text)
  }
  t.notOk(existsSync(elsewhere))
  t.strictSame((await sql('select count(*) as n from own')).rows, [{ n: 2 }])
})
