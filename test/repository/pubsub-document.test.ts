// docs/pubsub.md: every snippet runs as it stands there, against one node.
import { execFile, spawn } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { silentLog } from '../../src/core/log.ts'
import { createControlServer } from '../../src/http/control-server.ts'
import { createNode } from '../../src/node/create-node.ts'
import type { NodeApi } from '../../src/node/node-api.ts'
import { eventually } from '../node/memory-cluster.ts'
import { directoryOf } from '../support/directory-of.ts'
import { runCli } from '../support/memory-io.ts'
import { plainly } from '../support/plainly.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const document = readFileSync(join(root, 'docs', 'pubsub.md'), 'utf8')

/** The snippets of this kind, in order: what follows ``` in its line. */
function snippets(kind: string): string[] {
  const found = document
    .split(/^```/m)
    .filter((text, place) => place % 2 === 1 && text.startsWith(`${kind}\n`))
  if (found.length === 0) throw new Error(`docs/pubsub.md has no snippet ${kind}`)
  return found.map(text => text.slice(kind.length + 1))
}

/** Command lines, those that a backslash continues as one. */
const shellLines = (): string[] =>
  snippets('sh').flatMap(text =>
    text
      .replaceAll(/\\\n\s*/g, '')
      .split('\n')
      .filter(line => line !== ''),
  )

async function setUp(t: Test) {
  // Inside of the repository, so that `glyn-node/proto/…` is found as in an installation.
  const cwd = directoryOf(t)
  cpSync(join(root, 'config'), join(cwd, 'config'), { recursive: true })
  const [rates = ''] = snippets('ts config/queries/rates.ts')
  writeFileSync(join(cwd, 'config', 'queries', 'rates.ts'), rates)
  mkdirSync(join(cwd, 'data'))
  const node = await createNode({
    topic: 'bank_events',
    dataDirectory: join(cwd, 'data'),
    configDirectory: join(cwd, 'config'),
    partitions: 2,
    name: 'a',
  })
  t.teardown(() => node.close())
  const server = await createControlServer({
    node,
    socketPath: join(cwd, 'data', 'control.sock'),
    log: silentLog,
  })
  t.teardown(() => server.close())
  return { cwd, node }
}

const rate = (node: NodeApi): Promise<unknown> => node.query('rates', 'of', { currency: 'EUR' })

t.test('the snippets of docs/pubsub.md', async t => {
  const { cwd, node } = await setUp(t)
  await eventually(
    async () => (await node.status()).queries.every(({ state }) => state === 'running'),
    'the queries run',
  )

  t.test('the command line and HTTP', async t => {
    const ran: string[] = []
    for (const line of shellLines()) {
      const [program = '', ...rest] = line.split(' ')
      if (program === 'glyn-node') {
        const { code, out, err } = await runCli(cwd, rest)
        t.equal(code, 0, `${line}: ${err}`)
        ran.push(out)
      } else if (program === 'curl') {
        const { stdout } = await promisify(execFile)('sh', ['-c', `${line} --silent --show-error --fail`], {
          cwd,
        })
        t.match(JSON.parse(stdout), { id: String, peers: 0 }, line)
        await eventually(async () => (await rate(node)) === 1.09, 'the query has it')
      } else t.match(line, /^node listen\.js /, 'runs below')
      if (rest[0] === 'publish' && rest[1] === 'RateChanged')
        await eventually(async () => (await rate(node)) === 1.08, 'the query has it')
    }
    t.match(ran[0], /^published RateChanged to this node alone/)
    t.equal(ran[2], '1.08\n')
    t.match(ran[3], /^node +peer id +query +version +state +behind +note\na +\w+ +audit +1 +running +0/)
    t.match(ran[3], /^a +\w+ +rates +1 +running +0 +3 messages handled$/m)
  })

  t.test('the library', async t => {
    await node.execute('bank_account', 'acc-1', { type: 'OpenAccount', data: {} })
    await node.execute('bank_account', 'acc-1', { type: 'DepositMoney', data: { amount: 5 } })
    const lines: unknown[][] = []
    const told: string[] = []
    const files = new Map<string, string>()
    const given = {
      node,
      console: { log: (...line: unknown[]) => void lines.push(line) },
      tellSomebody: async (event: { readonly type: string }) => void told.push(event.type),
      readFile: async (name: string) => files.get(name) ?? Promise.reject(new Error('there is none')),
      writeFile: async (name: string, text: string) => void files.set(name, text),
    }
    const run = async (program: string): Promise<void> => {
      const body = `return (async () => {${program}})()`
      await (new Function(...Object.keys(given), body)(...Object.values(given)) as Promise<void>)
    }
    const [publishing = '', following = ''] = snippets('ts program')
    await run(publishing)
    t.match(lines, [['a', 'known', ['audit is running', 'balance is running', 'rates is running'], 0]])
    await run(following)
    t.strictSame(told, ['AccountOpened', 'CustomerDepositedCash'])
    await node.execute('bank_account', 'acc-1', { type: 'DepositMoney', data: { amount: 1 } })
    await run(following)
    t.equal(told.length, 3, 'it goes on where it was')
  })

  t.test('the program that listens', async t => {
    const [program = ''] = snippets('js listen.js')
    const file = join(cwd, 'listen.js')
    // Here the same package is installed under its former name.
    writeFileSync(file, program.replace("'@libp2p/gossipsub'", "'@chainsafe/libp2p-gossipsub'"))
    const child = spawn(
      ...plainly(process.execPath, [file, node.addresses()[0] ?? '', '/glyn/default/bank_events']),
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    t.teardown(() => child.kill('SIGKILL'))
    const heard: string[] = []
    let complaint = ''
    createInterface({ input: child.stdout }).on('line', line => heard.push(line))
    child.stderr.on('data', chunk => (complaint += String(chunk)))
    await eventually(
      async () => {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${complaint}`)
        await node.execute('bank_account', 'acc-1', { type: 'DepositMoney', data: { amount: 7 } })
        return heard.length > 0
      },
      () => `it hears something; it said: ${complaint}`,
    )
    t.match(heard[0], /^[12]:\d+ bank_account\/acc-1 \d+ CustomerDepositedCash \{"amount":7,"balance":\d+\}$/)
  })
})
