// `glyn-node forget`: what it prints, what it asks, how it ends.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createControlServer } from '../../src/http/control-server.ts'
import { createCoreNode } from '../support/core-node.ts'
import { createFolder, type Ran, runCli } from '../support/memory-io.ts'

async function setUp(t: Test) {
  const cwd = await createFolder(t)
  await mkdir(join(cwd, 'data'))
  const node = createCoreNode()
  const server = await createControlServer({
    node,
    socketPath: join(cwd, 'data', 'control.sock'),
    tcp: { host: '127.0.0.1', port: 0 },
    log: silentLog,
  })
  t.teardown(() => server.close())
  const cli = (line: string, options?: Parameters<typeof runCli>[2]): Promise<Ran> =>
    runCli(cwd, line.split(' '), options)
  return { node, server, cli }
}

t.test('it does not begin without somebody who says yes', async t => {
  const { node, cli } = await setUp(t)
  const refused = await cli('forget customer-7')
  t.equal(refused.code, 2)
  t.match(refused.err, /cannot be undone.*--yes/)
  const terminal = (answer: string): PassThrough & { isTTY: boolean } => {
    const stream = Object.assign(new PassThrough(), { isTTY: true })
    stream.write(answer)
    return stream
  }
  const wrong = await cli('forget customer-7', { stdin: terminal('yes\n'), isTTY: true })
  t.equal(wrong.code, 2)
  t.match(wrong.err, /nothing was forgotten/)
  t.same(node.forgotten, [])
  const right = await cli('forget customer-7', { stdin: terminal('customer-7\n'), isTTY: true })
  t.equal(right.code, 0)
  t.match(right.err, /cannot be undone/)
  t.match(node.forgotten, [{ subject: 'customer-7', options: { force: false } }])
})

t.test('the table, JSON, and the exit code by what is complete', async t => {
  const { node, cli } = await setUp(t)
  const before = await cli('forget customer-7 --status')
  t.equal(before.code, 4)
  t.match(before.out, /core .* remembers {2}1\ncustomer-7 is not forgotten\n/)
  t.same(node.forgotten, [], 'a look changes nothing')
  const done = await cli('forget customer-7 --yes --force --timeout 3s')
  t.equal(done.code, 0)
  t.match(done.out, /core .* has forgotten {2}1\ncustomer-7 is forgotten on all 1 members\n/)
  t.match(node.forgotten, [{ options: { force: true, timeoutMs: 3000 } }])
  const json = await cli('forget customer-7 --status --json')
  t.equal(json.code, 0)
  t.match(JSON.parse(json.out), { subject: 'customer-7', complete: true, members: [{ state: 'forgotten' }] })
})

t.test('over HTTP a body that is wrong is refused by its field', async t => {
  const { server } = await setUp(t)
  const post = async (body: unknown) => {
    const answer = await fetch(`${server.url}/v1/subjects/forget`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return { status: answer.status, body: await answer.text() }
  }
  for (const [body, field] of [
    [{}, 'subject'],
    [{ subject: 7 }, 'subject'],
    [{ subject: 'a', force: 'yes' }, 'force'],
    [{ subject: 'a', timeoutMs: -1 }, 'timeoutMs'],
  ] as const) {
    const answer = await post(body)
    t.equal(answer.status, 400)
    t.match(answer.body, new RegExp(`${field} is`))
  }
  t.equal((await post({ subject: 'a' })).status, 200)
})
