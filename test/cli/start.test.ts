// `start` around a node: what it hands over, what it prints, how it ends.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createStartCommand } from '../../src/cli/commands/start.ts'
import { GlynError } from '../../src/core/errors.ts'
import { createControlClient } from '../../src/http/control-client.ts'
import type { NodeOptions } from '../../src/node/node-options.ts'
import { type CoreNode, createCoreNode } from '../support/core-node.ts'
import { createFolder, createMemoryIo } from '../support/memory-io.ts'

interface Started {
  readonly options: NodeOptions
  readonly node: CoreNode
}

/** Runs `start` with a node in memory; `create` may hold or fail it. */
async function start(
  t: Test,
  argv: readonly string[],
  create: (options: NodeOptions) => Promise<void> | void = () => {},
  env: Record<string, string> = {},
) {
  const cwd = await createFolder(t)
  const io = createMemoryIo(cwd, { env })
  let exitCode = 0
  let created: Started | null = null
  const command = createStartCommand(
    {
      io,
      setExitCode(code) {
        exitCode = code
      },
    },
    async options => {
      await create(options)
      const node = createCoreNode()
      created = { options, node }
      return node
    },
  )
  const ended = command
    .exitOverride()
    .parseAsync(argv, { from: 'user' })
    .then(() => exitCode)
  ended.catch(() => {})
  const ready = async (): Promise<Started> => {
    const deadline = performance.now() + 60_000
    while (!io.out().includes('\n')) {
      if (performance.now() > deadline) throw new Error(`not ready: ${io.err()}`)
      await new Promise(done => setTimeout(done, 5))
    }
    return created as unknown as Started
  }
  return { cwd, io, ended, ready }
}

t.test('prints one line when it is ready, and on SIGTERM closes the node and exits 0', async t => {
  const { cwd, io, ended, ready } = await start(t, ['--topic', 'bank', '--json', '--http', '127.0.0.1:0'])
  const { node, options } = await ready()
  t.match(JSON.parse(io.out()), {
    event: 'ready',
    peerId: node.peerId,
    clusterId: node.clusterId,
    addresses: node.addresses(),
    control: join(cwd, 'data', 'control.sock'),
    http: /^http:\/\/127\.0\.0\.1:\d+$/,
  })
  t.match(options, {
    topic: 'bank',
    scope: 'default',
    dataDirectory: join(cwd, 'data'),
    configDirectory: null,
  })
  t.match(options, {
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: [],
    partitions: 32,
    replicas: 3,
    role: 'full',
  })
  const client = createControlClient({ socketPath: join(cwd, 'data', 'control.sock') })
  t.match(await client.status(), { node: { state: 'ready' } })
  await client.close()
  io.signal('SIGTERM')
  io.signal('SIGTERM')
  t.equal(await ended, 0)
  t.ok(node.isClosed())
  t.equal(io.out().split('\n').length, 2)
})

t.test('while it joins, callers learn how far it is; a signal then gives up and exits 0', async t => {
  const { cwd, io, ended } = await start(t, ['--topic', 'bank'], async options => {
    await mkdir(join(options.dataDirectory ?? ''), { recursive: true })
    options.onProgress?.('joining via /ip4/10.0.0.1')
    await new Promise((_, reject) =>
      options.signal?.addEventListener('abort', () => reject(options.signal?.reason)),
    )
  })
  const client = createControlClient({ socketPath: join(cwd, 'data', 'control.sock') })
  t.teardown(() => client.close())
  const deadline = performance.now() + 60_000
  let last: unknown
  while (performance.now() < deadline) {
    // The socket answers before the node has said anything.
    last = await client.status().catch((error: unknown) => error)
    if (String(last).includes('joining')) break
    await new Promise(done => setTimeout(done, 5))
  }
  t.match(last, { code: 'UNAVAILABLE', message: /joining via \/ip4\/10\.0\.0\.1/ })
  io.signal('SIGINT')
  t.equal(await ended, 0)
  t.equal(io.out(), '')
})

t.test('a node that cannot start, or fails later, ends the command with its error', async t => {
  const failing = await start(t, ['--topic', 'bank'], () => {
    throw new GlynError('ALREADY_RUNNING', 'in use')
  })
  await t.rejects(failing.ended, { code: 'ALREADY_RUNNING' })
  const { ready, ended } = await start(t, ['--topic', 'bank'])
  const { options, node } = await ready()
  options.onFatal?.(new GlynError('STORE_FULL', 'the disk is full'))
  await t.rejects(ended, { code: 'STORE_FULL' })
  t.ok(node.isClosed())
})

t.test('HTTP off loopback without a token is refused, and the node closed', async t => {
  const { ended } = await start(t, ['--topic', 'bank', '--http', '0.0.0.0:0'])
  await t.rejects(ended, { code: 'INSECURE_LISTEN', message: /GLYN_HTTP_TOKEN/ })
})

t.test('settings reach the node; files are read', async t => {
  const cwd = await createFolder(t)
  await writeFile(join(cwd, 'swarm.key'), 'key')
  await mkdir(join(cwd, 'config'))
  const peer = '/ip4/10.0.0.1/tcp/4001/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X'
  const { io, ended, ready } = await start(
    t,
    [
      '--store',
      'memory',
      '--mdns',
      '--name',
      'one',
      '--bootstrap',
      peer,
      '--listen',
      '/ip4/127.0.0.1/tcp/1,/ip4/127.0.0.1/tcp/2',
    ],
    () => {},
    { GLYN_TOPIC: 'bank', GLYN_SECRET_FILE: join(cwd, 'swarm.key'), GLYN_CONFIG: join(cwd, 'config') },
  )
  const { options } = await ready()
  t.match(options, {
    topic: 'bank',
    dataDirectory: null,
    mdns: true,
    name: 'one',
    bootstrap: [peer],
    listen: ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'],
    configDirectory: join(cwd, 'config'),
  })
  t.equal(Buffer.from(options.secret ?? []).toString(), 'key')
  io.signal('SIGTERM')
  t.equal(await ended, 0)
  const missing = await start(t, ['--topic', 'bank', '--secret-file', 'none'])
  await t.rejects(missing.ended, {
    code: 'INVALID_CONFIGURATION',
    message: /secret-file none cannot be read/,
  })
})
