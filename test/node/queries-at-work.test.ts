// What people do with queries, through every door: the library, HTTP, the command line.
import { Readable } from 'node:stream'
import t from 'tap'
import { startQueryNode } from '../support/query-node.ts'

const sums = `
import { defineAnswer, defineQuery } from 'glyn-node'
import { existsSync } from 'node:fs'
import { z } from '${import.meta.resolve('zod')}'
export default defineQuery({
  name: 'sums',
  onError: 'park',
  attempts: 2,
  init(db) {
    db.exec('create table if not exists sums (id text primary key, events integer not null, total integer not null)')
  },
  handle(id, events, { db }) {
    for (const event of events) {
      if (event.type === 'Poisoned' && !existsSync('MENDED')) throw new Error('bad\\u001b[31m news')
      db.prepare(\`insert into sums values (?, 1, ?)
        on conflict do update set events = events + 1, total = total + excluded.total\`).run(id, event.data.amount)
    }
  },
  answer: {
    get: (db, { id }) => db.prepare('select * from sums where id = ?').get(id),
    top: defineAnswer({
      parameters: z.object({ limit: z.coerce.number().int().positive().max(100), from: z.object({ id: z.string() }).optional() }),
      answer: (db, { limit }) => db.prepare('select id, total from sums order by total desc limit ?').all(limit),
    }),
  },
})
`

t.test('queries at work', { timeout: 180_000 }, async t => {
  const mended = `${await import('node:os').then(os => os.tmpdir())}/glyn-mended-${process.pid}`
  const { node, cli, url } = await startQueryNode(t, { 'sums.ts': sums.replace('MENDED', mended) })
  const pay = async (id: string, amount: number, type = 'Pay'): Promise<string> => {
    const outcome = await node.execute('till', id, { type, data: { amount } })
    if (outcome.type !== 'accepted') throw new Error(outcome.message)
    return outcome.token
  }
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  let token = ''
  /** By till: two tills are in two partitions, perhaps. */
  const tokens = new Map<string, string>()
  for (const [id, amount] of [
    ['a', 5],
    ['b', 9],
    ['a', 1],
  ] as const) {
    token = await pay(id, amount)
    tokens.set(id, token)
  }

  await t.test('an answer after a token includes the command, whoever asks', async t => {
    t.strictSame(await node.query('sums', 'get', { id: 'a' }, { after: token }), {
      id: 'a',
      events: 2,
      total: 6,
    })
    const byHeader = await post('/v1/queries/sums/get', { id: 'a' }, { 'glyn-after': token })
    t.match(byHeader, { status: 200, body: { total: 6 } })
    const both = await post('/v1/queries/sums/get?after=1:1', {}, { 'glyn-after': '1:2' })
    t.match(both, {
      status: 400,
      body: { error: { code: 'INVALID_ARGUMENT', message: /header Glyn-After "1:2"/ } },
    })
    const line = await cli(['query', 'sums', 'get', 'id=a', '--after', token, '--json'])
    t.match(JSON.parse(line.out), { total: 6 })
  })

  await t.test(
    'a token of a partition that is not there is refused; one ahead of the log is waited for',
    async t => {
      const refused = await cli(['query', 'sums', 'get', 'id=a', '--after', '999999:1'])
      t.equal(refused.code, 2)
      t.match(
        refused.err,
        /token 999999:1 names partition 999999; allowed: 1 to \d+, the partitions of this cluster/,
      )
      await t.rejects(node.query('sums', 'get', {}, { after: '0:1' }), { code: 'INVALID_ARGUMENT' })
      const late = await cli(['query', 'sums', 'get', 'id=a', '--after', '1:999999', '--timeout', '200ms'])
      t.equal(late.code, 4)
      t.match(late.err, /query sums has not seen 1:999999 within 200 ms/)
    },
  )

  await t.test(
    'parameters that do not fit the schema are refused with the paths of what is wrong',
    async t => {
      t.strictSame(
        await node.query('sums', 'top', { limit: '1' }, { after: tokens.get('b') ?? '' }),
        [{ id: 'b', total: 9 }],
        'the answer gets what the schema made',
      )
      await t.rejects(node.query('sums', 'top', { limit: 0 }), {
        code: 'INVALID_ARGUMENT',
        message: /^query sums: top got parameters that do not fit: limit: /,
        details: { issues: [{ path: 'limit', message: String }] },
      })
      const http = await post('/v1/queries/sums/top', { limit: 1, from: { id: 7 } })
      t.match(http, { status: 400, body: { error: { details: { issues: [{ path: 'from.id' }] } } } })
      const line = await cli(['query', 'sums', 'top', 'limit=many'])
      t.equal(line.code, 2)
      t.match(line.err, /limit: /)
    },
  )

  await t.test('sql reads: a table, JSON, CSV, parameters, what is hidden', async t => {
    const table = await cli(['sql', 'sums', 'select id, total from sums order by id'])
    t.equal(table.out, 'id  total\na   6\nb   9\n')
    const csv = await cli([
      'sql',
      'sums',
      `select id as "the id", 'x, "y"' as text, null as none from sums`,
      '--csv',
    ])
    t.equal(csv.out, 'the id,text,none\na,"x, ""y""",\nb,"x, ""y""",\n')
    const values = `select 9007199254740993 as big, 7 as small, x'00ff' as blob, null as none, 1.5 as real, '' as empty, 'a' || char(27) || char(10) as odd`
    t.strictSame(JSON.parse((await cli(['sql', 'sums', values, '--json'])).out), {
      columns: ['big', 'small', 'blob', 'none', 'real', 'empty', 'odd'],
      rows: [
        {
          big: '9007199254740993',
          small: 7,
          blob: { base64: 'AP8=' },
          none: null,
          real: 1.5,
          empty: '',
          odd: 'a\u001b\n',
        },
      ],
      truncated: false,
    })
    t.match(
      (await cli(['sql', 'sums', values])).out,
      /9007199254740993 +7 +x'00ff' +NULL +1\.5 +a\\x1b\\n\n$/,
    )
    t.match((await cli(['sql', 'sums', values, '--csv'])).out, /\n9007199254740993,7,x'00ff',,1.5,"",/)
    const one = await cli([
      'sql',
      'sums',
      'select total from sums where id = :id and total > @least',
      'id=a',
      'least:=5',
    ])
    t.equal(one.out, 'total\n6\n')
    t.match(await node.queries.sql('sums', 'select sum(position) as position from glyn_checkpoint'), {
      rows: [{ position: Number }],
    })
    t.strictSame((await node.queries.sql('sums', 'select 1 as n, 2 as n')).rows, [{ n: 1, n_2: 2 }])
    const fresh = await pay('c', 3)
    t.strictSame(
      (await node.queries.sql('sums', `select total from sums where id = 'c'`, {}, { after: fresh })).rows,
      [{ total: 3 }],
    )
    const some = await cli(['sql', 'sums', 'select id from sums', '--limit', '2'])
    t.equal(some.out, 'id\na\nb\n')
    t.match(some.err, /there are more rows than these 2; --limit asks for more/)
    t.match(await post('/v1/queries/sums/sql', { sql: 'select :n as n', parameters: { n: 4 } }), {
      status: 200,
      body: { columns: ['n'], rows: [{ n: 4 }], truncated: false },
    })
  })

  await t.test('sql writes nothing, runs one statement, and says what is wrong with it', async t => {
    const cases: [string, RegExp][] = [
      [
        'delete from sums',
        /sql: delete is not for read models: their query alone writes them; allowed: one select .*; in: delete from sums/,
      ],
      ['/* hm */ -- well\n DROP table sums', /drop is not for read models/],
      [`attach '/etc/passwd' as x`, /attach is not/],
      ['pragma journal_mode = delete', /pragma is not/],
      ['with x as (select 1) delete from sums', /it would write: only its query writes a read model/],
      ['select 1; delete from sums', /there is more than one statement/],
      ['', /there is no statement/],
      ['select amont from sums', /no such column: amont; in: select amont from sums/],
      ['select * form sums', /near "sums": syntax error|near "form"/],
      ['select :id', /Missing named parameter "id"/],
      [`select load_extension('x')`, /not authorized|no such function/],
    ]
    for (const [statement, message] of cases) {
      const { code, err } = await cli(['sql', 'sums', statement])
      t.equal(code, 2, statement)
      t.match(err, message)
    }
    t.match(
      (await cli(['sql', 'sums', 'select 1', '--json', '--csv'])).err,
      /--json and --csv are both given/,
    )
    t.match((await cli(['sql', 'sum', 'select 1'])).err, /no query "sum"; allowed: sums\nDid you mean sums\?/)
    t.match(await post('/v1/queries/sums/sql', { query: 'select 1' }), {
      status: 400,
      body: { error: { message: /the body has "query"; allowed: \{"sql"/ } },
    })
    t.match(await post('/v1/queries/sums/sql', { sql: 'select :x', parameters: { x: {} } }), {
      status: 400,
      body: { error: { message: /parameter x is \{\}; allowed: a text, a number/ } },
    })
    t.match(await node.query('sums', 'get', { id: 'a' }), { total: 6 }, 'and everything is there')
  })

  await t.test(
    'a statement without an end is ended, and holds up neither commands nor the query',
    async t => {
      const endless = 'with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n'
      const running = cli(['sql', 'sums', endless, '--timeout', '3s'])
      let commands = 0
      let isOver = false
      const working = (async () => {
        while (!isOver) {
          await node.query('sums', 'get', { id: 'd' }, { after: await pay('d', 1) })
          commands += 1
        }
      })()
      const { code, err } = await running
      isOver = true
      await working
      t.equal(code, 4)
      t.match(err, /the statement did not end within 3000 ms, and was ended: with recursive/)
      t.ok(commands > 5, `${commands} commands were decided and seen meanwhile`)
      const signal = AbortSignal.timeout(500)
      await t.rejects(node.queries.sql('sums', endless, {}, { signal }), { name: 'TimeoutError' })
      const five = await Promise.allSettled(
        Array.from({ length: 5 }, () => node.queries.sql('sums', endless, {}, { timeoutMs: 1000 })),
      )
      const codes = five.map(one =>
        one.status === 'rejected' ? (one.reason as { code: string }).code : 'none',
      )
      t.strictSame(codes.sort(), ['OVERLOADED', 'TIMEOUT', 'TIMEOUT', 'TIMEOUT', 'TIMEOUT'])
    },
  )

  await t.test('what is parked is listed, handled again, dropped', async t => {
    t.equal((await cli(['queries', 'parked'])).out, 'nothing is parked\n')
    const poison = await pay('p', 1, 'Poison')
    await node.query('sums', 'get', { id: 'p' }, { after: await pay('p', 2) })
    t.equal(await node.query('sums', 'get', { id: 'p' }), null, 'held back')
    const list = await cli(['queries', 'parked'])
    t.match(list.out, /^sums: 1 failed, 1 held\n/)
    const escaped = `${poison} +till/p +Poisoned +failed +2 +\\S+Z +bad\\\\x1b\\[31m news\n`
    t.match(list.out, new RegExp(escaped))
    t.notMatch(list.out, /sums\.ts:/)
    t.match((await cli(['queries', 'parked', 'sums', '--verbose'])).out, /at .*sums\.ts:/)
    t.match(JSON.parse((await cli(['queries', 'parked', '--json'])).out), [
      {
        query: 'sums',
        counts: { failed: 1, held: 1 },
        entries: [{ entry: poison, stack: /sums\.ts/ }, { state: 'held' }],
      },
    ])
    t.match((await node.status()).queries, [{ name: 'sums', state: 'running', parked: 1, held: 1 }])

    const failed = await cli(['queries', 'retry', 'sums', 'p'])
    t.equal(failed.code, 1)
    t.match(failed.out, /^0 handled, 1 failed again; parked now: 1 failed, 1 held\n {2}\S+ till\/p: bad\\x1b/)
    t.equal((await cli(['queries', 'retry', 'sums'])).code, 2)
    t.match((await cli(['queries', 'retry', 'sums', 'p', '--all'])).err, /p and --all both say what to retry/)
    t.equal((await cli(['queries', 'retry', 'sums', 'q'])).code, 5)
    const unasked = await cli(['queries', 'drop', 'sums', poison])
    t.equal(unasked.code, 2)
    t.match(unasked.err, /This discards .* for ever; nobody can be asked here, so --yes is needed/)
    const terminal = (answer: string) => ({
      stdin: Object.assign(Readable.from([Buffer.from(answer)]), { isTTY: true }),
    })
    const no = await cli(['queries', 'drop', 'sums', poison], terminal('n\n'))
    t.match(no, { code: 2, err: /nothing was discarded/ })
    const dropped = await cli(['queries', 'drop', 'sums', poison], terminal('y\n'))
    t.equal(dropped.out, '1 dropped, 1 handled; parked now: 0 failed, 0 held\n')
    t.match(await node.query('sums', 'get', { id: 'p' }), { events: 1, total: 2 })

    await pay('q', 1, 'Poison')
    await node.query('sums', 'get', { id: 'q' }, { after: await pay('q', 2) })
    t.match(await post('/v1/queries/sums/parked/retry', { of: 'till/q' }), {
      status: 200,
      body: { handled: 0, failed: [{ aggregate: { id: 'q' } }] },
    })
    t.match(await post('/v1/queries/sums/parked/retry', { what: 'q' }), {
      status: 400,
      body: { error: { message: /chosen by \{"what":"q"\}; allowed: \{ all: true \}/ } },
    })
    t.match(await fetch(`${url}/v1/queries/sums/parked?limit=1`).then(response => response.json()), {
      counts: { failed: 1, held: 1 },
      entries: { length: 1 },
    })
    const { writeFile, rm } = await import('node:fs/promises')
    await writeFile(mended, '')
    t.teardown(() => rm(mended, { force: true }))
    const mendedNow = await cli(['queries', 'retry', 'sums', '--all'])
    t.equal(mendedNow.code, 0)
    t.equal(mendedNow.out, '2 handled; parked now: 0 failed, 0 held\n')
    t.match(await node.query('sums', 'get', { id: 'q' }), { events: 2, total: 3 })
  })
})

t.test('a read model in memory is out of reach for SQL, and says so', async t => {
  const { node } = await startQueryNode(t, { 'sums.ts': sums }, { dataDirectory: null })
  await t.rejects(node.queries.sql('sums', 'select 1'), {
    code: 'INVALID_ARGUMENT',
    message:
      /query sums keeps its read model in memory, where SQL cannot reach it; give the node a data directory/,
  })
})
