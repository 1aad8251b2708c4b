// send-command --batch: order, spreading, retries, failover, and what it says in the end.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { GlynError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import { type ControlServer, createControlServer } from '../../src/http/control-server.ts'
import { type CoreNode, createCoreHistory, createCoreNode } from '../support/core-node.ts'
import { createFolder, type Ran, runCli } from '../support/memory-io.ts'

/** Some nodes on one history, as a cluster would be. */
async function setUp(t: Test, names: readonly string[] = ['data']) {
  const cwd = await createFolder(t)
  const history = createCoreHistory()
  const servers = new Map<string, ControlServer>()
  const nodes: CoreNode[] = []
  const serve = async (name: string): Promise<CoreNode> => {
    const node = createCoreNode({ history })
    nodes.push(node)
    const socketPath = join(cwd, name, 'control.sock')
    servers.set(name, await createControlServer({ node, socketPath, log: silentLog }))
    return node
  }
  for (const name of names) {
    await mkdir(join(cwd, name))
    await serve(name)
  }
  t.teardown(() => Promise.all([...servers.values()].map(server => server.close())))
  const batch = (lines: readonly unknown[] | Readable, ...argv: string[]): Promise<Ran> => {
    const stdin =
      lines instanceof Readable ? lines : `${lines.map(line => JSON.stringify(line)).join('\n')}\n`
    return runCli(cwd, ['send-command', '--batch', '-', '--json', ...argv], { stdin })
  }
  const targets = names.flatMap(name => ['--data-dir', name])
  return { cwd, history, nodes, servers, serve, batch, targets, first: nodes[0] as CoreNode }
}

const add = (id: string, data: object = { by: 0 }) => ({ type: 'counter', id, command: 'Add', data })
const parse = ({ out }: Ran): { [key: string]: unknown; line: number }[] =>
  out
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))

t.test('all accepted: an outcome for each line, the summary last, exit 0', async t => {
  const { batch, cwd } = await setUp(t)
  const ran = await batch([add('a'), add('b'), { ...add('a'), commandId: 'mine', metadata: { user: 'ann' } }])
  t.equal(ran.code, 0)
  const lines = parse(ran)
  t.match(lines.at(-1), { summary: { accepted: 3, rejected: 0, failed: 0, seconds: Number } })
  t.match(
    lines.find(({ line }) => line === 3),
    { type: 'accepted', commandId: 'mine', sequence: 2, events: [{ metadata: { user: 'ann' } }] },
  )
  await writeFile(join(cwd, 'empty.ndjson'), '\n\n')
  const empty = await runCli(cwd, ['send-command', '--batch', 'empty.ndjson'])
  t.equal(empty.code, 0)
  t.match(empty.out, /^0 accepted, 0 rejected, 0 failed/)
})

t.test('commands of one aggregate are sent in order, those of others meanwhile', async t => {
  const { batch, first } = await setUp(t)
  let running = 0
  let runningMax = 0
  const { promise: allRunning, resolve: reached } = Promise.withResolvers<void>()
  first.before(async () => {
    running += 1
    runningMax = Math.max(runningMax, running)
    if (runningMax >= 8) reached()
    // The first wait for each other: with fewer than eight at a time they would wait until their deadline.
    await allRunning
    await new Promise(done => setTimeout(done, Math.random() * 5))
    running -= 1
  })
  const lines = Array.from({ length: 400 }, (_, place) => add(`a${place % 20}`, { by: 0, place }))
  const ran = await batch(lines, '--concurrency', '8')
  t.equal(ran.code, 0)
  t.equal(runningMax, 8)
  for (let id = 0; id < 20; id += 1) {
    const events = await first.loadEvents('counter', `a${id}`)
    t.equal(events.length, 20)
  }
  const places = new Map<string, number>()
  for (const { key, command } of first.executed) {
    const { place } = command.data as { place: number }
    if (place <= (places.get(key) ?? -1)) t.fail(`${place} of ${key} came late`)
    places.set(key, place)
  }
})

t.test('a rejection by the domain exits 3, a name that is unknown 2, unavailability 4', async t => {
  const { batch, first } = await setUp(t)
  const rejected = await batch([add('a'), add('b', { by: 2000 })])
  t.equal(rejected.code, 3)
  t.match(parse(rejected).at(-1), { summary: { accepted: 1, rejected: 1, failed: 0 } })
  const unknown = await batch([add('a'), { ...add('b'), command: 'Nonsense' }])
  t.equal(unknown.code, 2)
  t.match(
    parse(unknown).find(({ line }) => line === 2),
    { type: 'failed', error: { code: 'UNKNOWN_COMMAND' }, commandId: String },
  )
  first.before(command => {
    if ((command.data as { fails?: boolean }).fails) throw new GlynError('UNAVAILABLE', 'no majority')
  })
  const unavailable = await batch(
    [add('a', { by: 0, fails: true }), add('a', { by: 0 }), add('b'), add('c', { by: 2000 })],
    '--timeout',
    '2s',
  )
  t.equal(unavailable.code, 4)
  t.match(parse(unavailable).at(-1), { summary: { accepted: 1, rejected: 1, failed: 2 } })
  t.match(
    parse(unavailable).find(({ line }) => line === 2),
    { error: { code: 'UNAVAILABLE', message: /not sent, because line 1/ } },
    'what follows an unknown outcome in the same aggregate is not sent',
  )
})

t.test('a line that cannot be read ends the batch, after what was under way', async t => {
  const { cwd, first } = await setUp(t)
  const cases: [string, RegExp][] = [
    ['{"type":', /line 2: "\{\\"type\\":" is not JSON/],
    ['{"type":"counter","id":"b"}', /line 2: command is undefined; allowed: a text/],
    [
      '{"type":"counter","id":"b","comand":"Add"}',
      /line 2: "comand" is not a field of a command; allowed: type, id, command/,
    ],
    ['[]', /line 2: the command is \[\]; allowed: an object/],
    ['{"type":"counter","id":"b","command":"Add","metadata":{"a":1}}', /line 2: metadata is \{"a":1\}/],
  ]
  for (const [line, text] of cases) {
    const before = first.executed.length
    const stdin = `${JSON.stringify(add('a'))}\n${line}\n${JSON.stringify(add('c'))}\n`
    const ran = await runCli(cwd, ['send-command', '--batch', '-'], { stdin })
    t.equal(ran.code, 2)
    t.match(ran.err, text)
    t.match(ran.out, /^1 accepted/)
    t.equal(first.executed.length, before + 1)
  }
})

t.test('reading waits while commands are under way: memory is bounded', async t => {
  const { batch, first } = await setUp(t)
  let release: () => void = () => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  first.before(() => held)
  let produced = 0
  const source = Readable.from(
    (function* () {
      for (; produced < 2000; produced += 1) yield `${JSON.stringify(add(`a${produced}`))}\n`
    })(),
  )
  const ended = batch(source, '--concurrency', '4')
  let before = -1
  while (before !== produced || produced === 0) {
    before = produced
    await new Promise(done => setTimeout(done, 50))
  }
  t.ok(produced < 500, `${produced} lines read with 4 under way`)
  t.ok(first.executed.length <= 4)
  release()
  t.equal((await ended).code, 0)
  t.equal(first.executed.length, 2000)
})

t.test(
  'with several nodes, one after the other dies and returns: every command is done, none twice',
  async t => {
    const names = ['n1', 'n2', 'n3']
    const { batch, history, servers, serve, targets } = await setUp(t, names)
    const lines = Array.from({ length: 1500 }, (_, place) => add(`a${place % 50}`, { by: 1, place }))
    let isDone = false
    const source = Readable.from(
      (async function* () {
        for (const [place, line] of lines.entries()) {
          // Slow enough that the nodes die in the middle of it.
          if (place % 20 === 0) await new Promise(done => setTimeout(done, 4))
          yield `${JSON.stringify(line)}\n`
        }
      })(),
    )
    const ended = batch(source, ...targets).finally(() => {
      isDone = true
    })
    let deaths = 0
    while (!isDone) {
      for (const name of names) {
        await servers.get(name)?.close()
        deaths += 1
        await new Promise(done => setTimeout(done, 30))
        await serve(name)
      }
    }
    const ran = await ended
    t.equal(ran.code, 0, ran.err)
    t.ok(deaths > 3, `${deaths} deaths`)
    t.match(parse(ran).at(-1), { summary: { accepted: 1500, rejected: 0, failed: 0 } })
    t.equal(history.events.length, 1500)
    t.equal(new Set(history.events.map(event => event.commandId)).size, 1500)
    for (let id = 0; id < 50; id += 1) {
      const places = history.events
        .filter(event => event.aggregate.id === `a${id}`)
        .map(event => event.sequence)
      t.strictSame(
        places,
        Array.from({ length: 30 }, (_, place) => place + 1),
      )
    }
  },
)

t.test('a node that answers nothing, and one that is not there, are stood in for', async t => {
  const { batch, cwd, nodes } = await setUp(t, ['n1', 'n2'])
  await mkdir(join(cwd, 'n3'))
  nodes[0]?.before(() => {
    throw new GlynError('NOT_LEADER', 'somebody else leads')
  })
  const lines = Array.from({ length: 60 }, (_, place) => add(`a${place}`))
  const ran = await batch(lines, '--data-dir', 'n1', '--data-dir', 'n2', '--data-dir', 'n3')
  t.equal(ran.code, 0)
  t.match(parse(ran).at(-1), { summary: { accepted: 60 } })
})

t.test('people get the first failures, and a summary', async t => {
  const { cwd } = await setUp(t)
  const lines = Array.from({ length: 13 }, (_, place) => add(`a${place}`, { by: 2000 }))
  const stdin = lines.map(line => JSON.stringify(line)).join('\n')
  const ran = await runCli(cwd, ['send-command', '--batch', '-'], { stdin })
  t.equal(ran.code, 3)
  t.match(ran.err, /line 1: rejected too_much: at most 1000 \(command id /)
  t.match(ran.err, /and 3 more/)
  t.match(ran.out, /^0 accepted, 13 rejected, 0 failed in /)
  const wrong = await runCli(cwd, ['send-command', '--batch', '-', 'counter'])
  t.equal(wrong.code, 2)
  t.equal((await runCli(cwd, ['send-command', '--batch', 'none.ndjson'])).code, 2)
})
