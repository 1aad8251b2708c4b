// The commands against one node in memory behind its real socket: output, --json, exit codes.
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { run } from '../../src/cli/main.ts'
import { GlynError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import { createControlServer } from '../../src/http/control-server.ts'
import { createCoreNode } from '../support/core-node.ts'
import { createFolder, createMemoryIo, type Ran, runCli } from '../support/memory-io.ts'

async function setUp(t: Test) {
  const cwd = await createFolder(t)
  await mkdir(join(cwd, 'data'))
  const node = createCoreNode()
  const server = await createControlServer({
    node,
    socketPath: join(cwd, 'data', 'control.sock'),
    tcp: { host: '127.0.0.1', port: 0, token: 'secret' },
    log: silentLog,
  })
  t.teardown(() => server.close())
  const cli = (line: string, options?: Parameters<typeof runCli>[2]): Promise<Ran> =>
    runCli(cwd, line.split(' '), options)
  return { cwd, node, server, cli }
}

t.test('send-command prints the outcome, and exits by it', async t => {
  const { cli, node } = await setUp(t)
  const accepted = await cli('send-command counter a Add by:=2 --json --metadata user=ann --id one')
  t.equal(accepted.code, 0)
  t.match(JSON.parse(accepted.out), {
    type: 'accepted',
    commandId: 'one',
    aggregate: { type: 'counter', id: 'a' },
    events: [{ type: 'Added', data: { by: 2 }, metadata: { user: 'ann' } }],
    sequence: 1,
    replayed: false,
  })
  const again = await cli('send-command counter a Add by:=2 --json --id one')
  t.match(JSON.parse(again.out), { replayed: true, sequence: 1 })
  const text = await cli('send-command counter a AddTwice by:=1')
  t.match(text.out, /^accepted counter\/a is at sequence 3, on 1 replica\n {2}2 Added {"by":1}\n {2}3 Added/)
  t.equal(node.executed.at(-1)?.options.commandId?.[14], '7', 'a UUIDv7 is made when none is given')
  const rejected = await cli('send-command counter a Add by:=2000 --json')
  t.equal(rejected.code, 3)
  t.match(JSON.parse(rejected.out), { type: 'rejected', code: 'too_much', details: { total: 4 } })
  t.match((await cli('send-command counter a Add by:=2000')).out, /^rejected too_much: at most 1000/)
})

t.test('data comes from pairs, text, a file and stdin', async t => {
  const { cli, cwd, node } = await setUp(t)
  await writeFile(join(cwd, 'data.json'), '{"by":3,"note":"file"}')
  t.equal((await cli('send-command counter a Add --data {"by":1}')).code, 0)
  t.equal((await cli('send-command counter a Add --data @data.json note=pair')).code, 0)
  t.equal((await cli('send-command counter a Add --data -', { stdin: '{"by":5}' })).code, 0)
  t.strictSame(
    node.executed.map(({ command }) => command.data),
    [{ by: 1 }, { by: 3, note: 'pair' }, { by: 5 }],
  )
})

t.test('publish tells the queries, and says whom', async t => {
  const { cli, node } = await setUp(t)
  const told = await cli('publish RateChanged currency=EUR rate:=1.08 --json')
  t.equal(told.code, 0)
  t.strictSame(JSON.parse(told.out), { id: 'm-1', peers: 2 })
  const about = await cli('publish Viewed --data {"by":"ann"} --aggregate counter/a/b')
  t.match(about.out, /^published Viewed to this node and 2 others {2}m-2\n$/)
  t.strictSame(node.published, [
    { type: 'RateChanged', data: { currency: 'EUR', rate: 1.08 } },
    { type: 'Viewed', data: { by: 'ann' }, aggregate: { type: 'counter', id: 'a/b' } },
  ])
  t.match(await cli('publish Viewed --aggregate counter'), {
    code: 2,
    err: /--aggregate is "counter"; allowed: <type>\/<id>/,
  })
  t.match(await cli(`publish Viewed text=${'x'.repeat(70_000)}`), {
    code: 2,
    err: /70\d+ bytes of data; allowed: 65536/,
  })
})

t.test('subscribers shows who runs what, and who did not say', async t => {
  const { cli } = await setUp(t)
  await cli('publish Refresh')
  const { code, out } = await cli('subscribers --timeout 3s')
  t.equal(code, 0)
  t.match(out, /^test +12D3KooWTest +sum +1 +running +0 +1 message handled$/m)
  t.match(out, /^gone +12D3KooWGone +unknown +it did not answer within 3000 ms$/m)
  t.match(JSON.parse((await cli('subscribers --json')).out), [
    { name: 'test', state: 'known', queries: [{ name: 'sum', version: 1, lag: 0 }] },
    { name: 'gone', state: 'unknown', error: /within 2000 ms/ },
  ])
})

t.test('queries are listed, paused, resumed and built again', async t => {
  const { cli } = await setUp(t)
  t.match(
    (await cli('queries')).out,
    /^query +version +state +behind +seconds +events\/s +parked +last error\nsum +1 +running +0 /,
  )
  t.match(JSON.parse((await cli('queries --json')).out), [
    { name: 'sum', state: 'running', building: null, progress: null },
  ])
  t.match(
    (await cli('queries pause sum')).out,
    /^sum is paused and keeps answering; glyn-node queries resume sum/,
  )
  t.match((await cli('queries')).out, /sum +1 +paused/)
  t.match(JSON.parse((await cli('queries resume sum --json')).out), { name: 'sum', state: 'running' })
  t.match((await cli('queries rebuild sum')).out, /^sum is built again, in [\d.]+ s/)
  t.match(JSON.parse((await cli('queries rebuild sum --json')).out), {
    event: 'built',
    query: { name: 'sum' },
  })
  t.match(JSON.parse((await cli('queries rebuild sum --no-wait --json')).out), { event: 'building' })
  const mistake = await cli('queries pause sun')
  t.equal(mistake.code, 2)
  t.match(mistake.err, /no query "sun"[\s\S]*Did you mean sum\?/)
  t.match((await cli('queries foo')).err, /queries has no command "foo"; allowed: rebuild, pause, resume, /)
})

t.test(
  'queries --watch shows again what has changed, in place on a terminal, until it is stopped',
  async t => {
    const { cwd, cli } = await setUp(t)
    const reach = async (holds: () => boolean): Promise<void> => {
      const deadline = performance.now() + 60_000
      while (!holds() && performance.now() < deadline) await new Promise(done => setTimeout(done, 5))
    }
    const io = createMemoryIo(cwd)
    const ended = run(['queries', '--watch', '--json'], io)
    await reach(() => io.out().includes('running'))
    await cli('queries pause sum')
    await reach(() => io.out().includes('paused'))
    io.signal('SIGINT')
    t.equal(await ended, 0)
    t.strictSame(
      io
        .out()
        .trim()
        .split('\n')
        .map(line => JSON.parse(line)[0].state),
      ['running', 'paused'],
    )
    const terminal = createMemoryIo(cwd, { isTTY: true })
    const watched = run(['queries', '--watch'], terminal)
    await reach(() => terminal.out().includes('paused'))
    terminal.signal('SIGTERM')
    t.equal(await watched, 0)
    t.ok(terminal.out().startsWith('\u001b[H\u001b[J\u001b[H'), 'from the top')
    t.ok(terminal.out().includes('\u001b[33mpaused'), 'in colours')
  },
)

t.test('members that were removed are counted for people, and all there for programs', async t => {
  const { cli } = await setUp(t)
  for (const line of ['status', 'members']) {
    const { out } = await cli(line)
    t.match(out, '12D3KooWTest', line)
    t.notMatch(out, '12D3KooWOld', line)
    t.match(out, /^1 removed: glyn-node members --all$/m, line)
  }
  const all = await cli('members --all')
  t.match(all.out, /^old +12D3KooWOld +removed +full *$/m)
  t.notMatch(all.out, /members --all/)
  t.equal(JSON.parse((await cli('members --json')).out).length, 2)
  t.equal(JSON.parse((await cli('status --json')).out).members.length, 2)
})

t.test('mistakes exit 2 and name the value, what is allowed, and the nearest', async t => {
  const { cli } = await setUp(t)
  const cases: [string, RegExp][] = [
    ['send-comand counter a Add', /unknown command 'send-comand'[\s\S]*send-command/],
    ['send-command counter a Add --idd x', /unknown option '--idd'[\s\S]*--id/],
    ['send-command counter a', /<command> is missing/],
    ['send-command counter a Add by', /"by" is not a pair/],
    ['send-command counter a Add by:=x', /by:= is "x", which is not JSON/],
    ['send-command counter a Add --data {', /--data \{ is "\{", which is not JSON/],
    ['send-command counter a Add --data @none', /--data @none cannot be read/],
    [
      'send-command conter a Add by:=1',
      /no aggregate type "conter"; allowed: counter\nDid you mean counter\?/,
    ],
    ['send-command counter a Ad by:=1', /no command "Ad"; allowed: Add, AddTwice\nDid you mean Add\?/],
    ['query sun all', /no query "sun"[\s\S]*Did you mean sum\?/],
    ['query sum al', /no question "al"[\s\S]*Did you mean all\?/],
    ['state counter a --timeout soon', /--timeout is "soon"/],
    ['events --from yesterday', /"yesterday"/],
    ['members remov 12D3KooW', /no command "remov"; allowed: remove <peer-id>/],
    ['status --data-dir a --data-dir b', /2 nodes are named/],
    ['status --url nonsense', /"nonsense"/],
    ['members remove', /missing required argument 'peer-id'/],
  ]
  for (const [line, text] of cases) {
    const { code, err } = await cli(line)
    t.equal(code, 2, line)
    t.match(err, text, line)
  }
  const json = await cli('query sun all --json')
  t.match(JSON.parse(json.err), {
    error: { code: 'UNKNOWN_QUERY', retryable: false, details: { allowed: ['sum'], didYouMean: 'sum' } },
  })
  t.match(JSON.parse((await cli('status --jsn --json')).err), { error: { code: 'INVALID_ARGUMENT' } })
})

t.test('reading commands have a text for people and JSON for programs', async t => {
  const { cli } = await setUp(t)
  await cli('send-command counter a AddTwice by:=1')
  await cli('send-command counter b Add by:=7')
  t.match(JSON.parse((await cli('state counter a --json')).out), { sequence: 2, state: { total: 2 } })
  t.match((await cli('state counter a')).out, /counter\/a {2}sequence 2/)
  t.strictSame(
    (await cli('events counter a --json')).out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).sequence),
    [1, 2],
  )
  t.equal((await cli('events counter a --from 2 --json')).out.trim().split('\n').length, 1)
  t.equal((await cli('events --json')).out.trim().split('\n').length, 3)
  t.match((await cli('events counter')).out, /counter\/b 1 Added \{"by":7\}/)
  t.match(await cli('events countr'), { code: 0, out: '', err: /^no events of type "countr"\n$/ })
  t.strictSame(JSON.parse((await cli('query sum echo id=x limit:=3 --json')).out), { id: 'x', limit: 3 })
  t.match((await cli('query sum all')).out, /^id +events\na +3\n$/)
  t.match(JSON.parse((await cli('status --json')).out), {
    members: [{ peerId: '12D3KooWTest' }, {}],
    problems: [],
  })
  t.match((await cli('status')).out, /topic events, scope default[\s\S]*test \(this\)[\s\S]*No problems\./)
  t.match(JSON.parse((await cli('members --json')).out), [
    { name: 'test', reachable: true },
    { state: 'removed' },
  ])
  t.match((await cli('members remove 12D3KooWTest')).out, /^removed/)
  t.match((await cli('placement')).out, / 01234\n/)
  t.match((await cli('placement')).out, /test {2}LLLLL {2}leads 5/)
  t.match(JSON.parse((await cli('placement --json')).out), { nodes: [{ leads: 5 }] })
  const { out } = await cli('explain counter a')
  t.match(
    out,
    /^counter\/a\npartition +\d of 4, by a hash[\s\S]*leader +test 12D3KooWTest, term 1, since 1970/,
  )
  t.match(out, /pending +1 command and 0 reads\n +index 2: counter\/a, command c-1\n/)
  t.match(out, /test +leader, voter +1 +1 +0 +yes +12D3KooWTest\n/)
  t.match(out, /1970-01-01 00:00:00.000 {2}term 1 {2}test elected: the only voter\n/)
  t.match(out, /sum +test +running +1 +0\n\nNo problems with this partition.\n$/)
  t.match(JSON.parse((await cli('explain counter a --json')).out), { leader: { name: 'test' }, term: 1 })
})

t.test('leave shows how far it is, and what it waits for', async t => {
  const { cli } = await setUp(t)
  const text = await cli('leave')
  t.equal(text.code, 0)
  t.match(text.out, /^the node has left the cluster/)
  t.match(
    text.err,
    /0 of 2 replicas moved\n1 of 2 replicas moved\nwaiting: somebody\n2 of 2 replicas moved\n/,
  )
  const json = await cli('leave --json')
  t.strictSame(
    json.out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line)),
    [
      { event: 'leaving', replicas: 2, leads: 2, total: 2, waitsFor: [] },
      { event: 'leaving', replicas: 1, leads: 1, total: 2, waitsFor: ['somebody'] },
      { event: 'leaving', replicas: 0, leads: 0, total: 2, waitsFor: [] },
      { event: 'left' },
    ],
  )
  const cancel = await cli('leave --cancel')
  t.equal(cancel.code, 4)
  t.match(cancel.err, /there is no controller here/)
})

t.test('what is not there exits 5', async t => {
  const { cli } = await setUp(t)
  for (const line of ['state counter none', 'events counter none', 'members remove nobody']) {
    t.equal((await cli(line)).code, 5, line)
  }
})

t.test('no node exits 4 and says how to start one; a command is tried until its timeout first', async t => {
  const cwd = await createFolder(t)
  const status = await runCli(cwd, ['status'])
  t.equal(status.code, 4)
  t.match(status.err, /no node answers at .*control\.sock.*glyn-node start/)
  const startedAt = performance.now()
  const sent = await runCli(cwd, ['send-command', 'counter', 'a', 'Add', '--timeout', '300ms', '--json'])
  t.equal(sent.code, 4)
  t.ok(performance.now() - startedAt > 100)
  t.match(JSON.parse(sent.err), {
    error: { code: 'NODE_NOT_RUNNING', retryable: true, details: { commandId: String } },
  })
})

t.test('a command that was not answered is sent again with the same id', async t => {
  const { cli, node } = await setUp(t)
  let failures = 2
  node.before(() => {
    failures -= 1
    if (failures >= 0) throw new GlynError('UNAVAILABLE', 'no majority')
  })
  t.equal((await cli('send-command counter a Add by:=1')).code, 0)
  t.equal(node.executed.length, 3)
  t.equal(new Set(node.executed.map(({ options }) => options.commandId)).size, 1)
})

t.test('what to do next speaks of a command id only where a command was sent', async t => {
  const { cli, node } = await setUp(t)
  node.before(() => {
    throw new GlynError('UNAVAILABLE', 'no majority')
  })
  const sent = await cli('send-command counter a Add by:=1 --timeout 100ms')
  t.match(sent, { code: 4, err: /What to do: .* with the same --id/ })
  const left = await cli('leave --cancel')
  t.match(left, { code: 4, err: /What to do: look at `glyn-node status`, and try again\./ })
})

t.test('--url takes the token from the environment or a file', async t => {
  const { cli, cwd, server } = await setUp(t)
  await writeFile(join(cwd, 'token'), 'secret\n')
  t.equal((await cli(`status --url ${server.url}`)).code, 2)
  t.equal((await cli(`status --url ${server.url}`, { env: { GLYN_HTTP_TOKEN: 'secret' } })).code, 0)
  t.equal((await cli(`status --url ${server.url} --http-token-file token`)).code, 0)
  t.equal((await cli('status', { env: { GLYN_URL: server.url ?? '', GLYN_HTTP_TOKEN: 'secret' } })).code, 0)
})

t.test(
  'events --follow shows what was and what comes, of one aggregate and of all, until it is stopped',
  async t => {
    const { cwd, node, cli } = await setUp(t)
    await cli('send-command counter a Add by:=1')
    for (const argv of [
      ['events', 'counter', 'a', '--follow', '--json'],
      ['events', '--follow', '--json'],
    ]) {
      const io = createMemoryIo(cwd)
      const ended = run(argv, io)
      const lines = (): string[] => io.out().split('\n').slice(0, -1)
      const reach = async (count: number): Promise<void> => {
        const deadline = performance.now() + 60_000
        while (lines().length < count && performance.now() < deadline)
          await new Promise(done => setTimeout(done, 5))
      }
      const before = (await node.loadEvents('counter', 'a')).length
      await reach(before)
      await node.execute('counter', 'a', { type: 'AddTwice', data: { by: 1 } })
      await reach(before + 2)
      t.strictSame(
        lines().map(line => JSON.parse(line).sequence),
        Array.from({ length: before + 2 }, (_, place) => place + 1),
      )
      io.signal('SIGINT')
      t.equal(await ended, 0)
    }
  },
)

t.test('init makes a config folder once', async t => {
  const cwd = await createFolder(t)
  const first = await runCli(cwd, ['init', 'bank'])
  t.equal(first.code, 0)
  t.match(first.out, 'bank/config/aggregates/bank-account.ts')
  t.match(await readFile(join(cwd, 'bank', 'config', 'glyn.yaml'), 'utf8'), 'topic: bank_events')
  const second = await runCli(cwd, ['init', 'bank'])
  t.equal(second.code, 2)
  t.match(second.err, /nothing was written.*bank\/config\/glyn\.yaml/)
})

t.test('keygen writes a secret for its owner, once', async t => {
  const cwd = await createFolder(t)
  t.equal((await runCli(cwd, ['keygen'])).code, 0)
  const key = await readFile(join(cwd, 'swarm.key'), 'utf8')
  t.match(key, /^\/key\/swarm\/psk\/1\.0\.0\/\n\/base16\/\n[0-9a-f]{64}/)
  t.equal((await stat(join(cwd, 'swarm.key'))).mode & 0o777, 0o600)
  const again = await runCli(cwd, ['keygen'])
  t.equal(again.code, 2)
  t.match(again.err, /swarm\.key exists and is not overwritten/)
  t.equal(await readFile(join(cwd, 'swarm.key'), 'utf8'), key)
})

t.test('every command has a help with examples', async t => {
  const cwd = await createFolder(t)
  const names = [
    'start',
    'send-command',
    'state',
    'events',
    'query',
    'sql',
    'status',
    'members',
    'publish',
    'subscribers',
    'leave',
    'placement',
    'init',
    'keygen',
  ]
  t.equal((await runCli(cwd, [])).code, 2, 'a command is needed')
  const { out, code } = await runCli(cwd, ['--help'])
  t.equal(code, 0)
  for (const name of names) {
    t.match(out, name)
    const help = await runCli(cwd, [name, '--help'])
    t.equal(help.code, 0)
    t.match(help.out, new RegExp(`Usage: glyn-node ${name}[\\s\\S]*Examples:\\n  \\$ `), name)
  }
  t.match((await runCli(cwd, ['--version'])).out, /^\d+\.\d+\.\d+\n$/)
})

t.test('colours on a terminal only, and never with NO_COLOR', async t => {
  const { cli } = await setUp(t)
  const isColoured = ({ out }: Ran): boolean => out.includes('\u001b[')
  t.ok(isColoured(await cli('status', { isTTY: true })))
  t.notOk(isColoured(await cli('status', { isTTY: true, env: { NO_COLOR: '1' } })))
  t.notOk(isColoured(await cli('status')))
})
