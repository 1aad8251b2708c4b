import Sqlite from 'better-sqlite3'
import t from 'tap'
import { cachePrepare } from '../../src/query/cached-prepare.ts'

t.test('the same text is the same statement, unless that could be seen', async t => {
  const db = new Sqlite(':memory:')
  t.teardown(() => void db.close())
  cachePrepare(db)
  db.exec('create table a (n integer)')
  const insert = (): Sqlite.Statement => db.prepare('insert into a values (?)')
  t.equal(insert(), insert())
  for (const n of [1, 2, 3]) insert().run(n)

  const select = (): Sqlite.Statement => db.prepare('select n from a order by n')
  t.strictSame(select().pluck().all(), [1, 2, 3])
  t.strictSame(select().all(), [{ n: 1 }, { n: 2 }, { n: 3 }], 'pluck of one is not pluck of the next')
  t.strictSame(select().raw().all(), [[1], [2], [3]])
  t.strictSame(select().safeIntegers().get(), { n: 1n })
  t.strictSame(select().get(), { n: 1 })

  const one = (): Sqlite.Statement => db.prepare('select n from a where n = ?')
  t.strictSame([one().bind(1).get(), one().bind(2).get(), one().get(3)], [{ n: 1 }, { n: 2 }, { n: 3 }])

  const pairs: unknown[] = []
  for (const outer of select().iterate()) for (const inner of select().iterate()) pairs.push([outer, inner])
  t.equal(pairs.length, 9, 'iterations within each other')

  db.defaultSafeIntegers()
  t.strictSame(select().get(), { n: 1n })
  db.exec('alter table a add column m')
  t.strictSame(db.prepare('select * from a').get(), { n: 1n, m: null })
  t.throws(() => db.prepare('nonsense'), { code: 'SQLITE_ERROR' })
})
