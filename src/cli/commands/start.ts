// `start`: runs a node until it is told to stop.
import { join, resolve } from 'node:path'
import { Command } from 'commander'
import { GlynError } from '../../core/errors.ts'
import { type ControlServer, createControlServer } from '../../http/control-server.ts'
import { controlSocketName } from '../../http/control-socket.ts'
import { makeDirectory } from '../../node/make-directory.ts'
import type { NodeApi } from '../../node/node-api.ts'
import type { NodeOptions } from '../../node/node-options.ts'
import { guardProcess } from '../guard-process.ts'
import { type CommandContext, createPaint, type Io, writeJson, writeLine } from '../io.ts'
import { nodeSettingNames } from '../node-setting-names.ts'
import { readSecret, readToken } from '../secret-files.ts'
import { type LoadedSettings, loadSettings } from '../settings.ts'
import { sourcesOf } from '../sources-of.ts'
import { createStderrLog } from '../stderr-log.ts'

const examples = `
Examples:
  $ glyn-node start --topic bank_events
  $ glyn-node start --topic bank_events --data-dir ./node-2 --bootstrap /ip4/127.0.0.1/tcp/4001/p2p/12D3Koo…
  $ glyn-node start --topic bank_events --listen /ip4/0.0.0.0/tcp/4001 --secret-file swarm.key --http 127.0.0.1:8080
  $ GLYN_STORE=postgres://bank:secret@db.example/bank glyn-node start --topic bank_events
  $ GLYN_TOPIC=bank_events glyn-node start --json 2> node.log

Without --bootstrap an empty data folder becomes a new cluster of one node. With it, the node joins, and keeps trying.
A folder that belongs to a cluster comes back to it. Stop it with Ctrl-C or SIGTERM: it hands over what it leads first.`

/** A terminal and npx may both pass on one Ctrl-C: what comes this soon is the same signal. */
const sameSignalMs = 1000

type StartSettings = LoadedSettings<(typeof nodeSettingNames)[number]>

/** Where `start` gets its node from; tests give another one. */
export type CreateNode = (options: NodeOptions) => Promise<NodeApi>

const createRealNode: CreateNode = async options =>
  (await import('../../node/create-node.ts')).createNode(options)

export function createStartCommand(
  { io, setExitCode }: CommandContext,
  createNode: CreateNode = createRealNode,
): Command {
  const collect = (value: string, before: readonly string[] = []): string[] => [
    ...before,
    ...value.split(',').map(part => part.trim()),
  ]
  return new Command('start')
    .description('Runs a node.')
    .option('--topic <topic>', 'the gossipsub topic that committed events are published on')
    .option(
      '--scope <scope>',
      'the namespace of the registry; nodes of two scopes never meet (default: default)',
    )
    .option('--config <dir>', 'the folder with aggregates/, queries/ and glyn.yaml (default: ./config)')
    .option('--data-dir <dir>', 'identity, history, read models and the control socket (default: ./data)')
    .option(
      '--store <store>',
      'sqlite; memory: gone when the node stops; or postgres://user:password@host/database, which all nodes share and which better stands in GLYN_STORE (default: sqlite)',
    )
    .option('--listen <multiaddr>', 'several times (default: /ip4/127.0.0.1/tcp/0)', collect)
    .option('--announce <multiaddr>', 'tell others these addresses instead; several times', collect)
    .option('--bootstrap <multiaddr>', 'join through this member; several times', collect)
    .option('--partitions <count>', 'fixed when the cluster forms (default: 32)')
    .option('--replicas <count>', 'voters of a partition at most, an odd number (default: 3)')
    .option('--role <role>', 'full, or query: holds no replicas (default: full)')
    .option('--http <host:port>', 'the HTTP API over TCP too; off loopback with a token only')
    .option('--http-token-file <file>', 'the token of the HTTP API; or set GLYN_HTTP_TOKEN')
    .option('--secret-file <file>', 'the secret of the mesh, made by `glyn-node keygen`')
    .option('--mdns', 'find nodes on the local network')
    .option('--name <name>', 'a name for people (default: the end of the peer id)')
    .option('--log-level <level>', 'debug, info, warn, error or silent (default: info)')
    .option('--json', 'the ready line as one JSON object')
    .addHelpText('after', examples)
    .action(async (flags: { readonly json?: boolean }) => {
      const loaded = loadSettings(nodeSettingNames, sourcesOf(io, flags))
      setExitCode(await runNode(io, { loaded, isJson: flags.json === true, createNode }))
    })
}

async function runNode(
  io: Io,
  run: { readonly loaded: StartSettings; readonly isJson: boolean; readonly createNode: CreateNode },
): Promise<number> {
  const { settings, configDirectory } = run.loaded
  const log = createStderrLog(io, { level: settings['log-level'] })
  const secret = await readSecret(io, settings['secret-file'])
  const token = await readToken(io, settings['http-token-file'])
  const dataDirectory = resolve(io.cwd, settings['data-dir'])
  if (configDirectory === null) {
    log.warn(
      {},
      'there is no config folder here, so there are no aggregates and queries; `glyn-node init` makes one',
    )
  }
  const end = createEnd(io)
  const unguard = guardProcess(log, error => end.fail(error))
  let server: Promise<ControlServer> | null = null
  /** Once the data folder is ours: the socket of another process stays untouched. */
  const serve = (): Promise<ControlServer> => {
    server ??= openServer()
    return server
  }
  const openServer = async (): Promise<ControlServer> => {
    // A node in memory has made no folder.
    makeDirectory(dataDirectory, { what: 'the data directory', mode: 0o700 })
    return await createControlServer({
      socketPath: join(dataDirectory, controlSocketName),
      log,
      ...(settings.http === undefined
        ? {}
        : { tcp: { ...splitHostPort(settings.http), ...(token === undefined ? {} : { token }) } }),
    })
  }
  let node: NodeApi | null = null
  try {
    node = await run.createNode({
      topic: settings.topic,
      scope: settings.scope,
      dataDirectory: settings.store === 'memory' ? null : dataDirectory,
      ...(settings.store.includes('://') ? { store: await sharedStore(settings.store) } : {}),
      configDirectory,
      listen: settings.listen,
      ...(settings.announce.length === 0 ? {} : { announce: settings.announce }),
      bootstrap: settings.bootstrap,
      partitions: settings.partitions,
      replicas: settings.replicas,
      role: settings.role,
      ...(settings.name === undefined ? {} : { name: settings.name }),
      ...(secret === undefined ? {} : { secret }),
      mdns: settings.mdns,
      log,
      signal: end.signal,
      onFatal: error => end.fail(error),
      onLeft: () => end.leave(),
      onProgress(text) {
        log.info({}, text)
        serve().then(
          ({ progress }) => progress(text),
          error => end.fail(error),
        )
      },
    })
    const { socketPath, url, attach } = await serve()
    attach(node)
    await announceReady(io, node, { socketPath, url, isJson: run.isJson })
    return await end.promise
  } catch (error) {
    // Told to stop while it was still starting.
    if (end.signal.aborted && end.failure() === null) return 0
    throw end.failure() ?? error
  } finally {
    // Calls under way are answered first, by a node that still works; then it hands over and closes.
    await (server as Promise<ControlServer> | null)?.then(
      opened => opened.close(),
      () => {},
    )
    await node?.close()
    unguard()
    end.forget()
  }
}

const sharedStore = async (text: string): Promise<NonNullable<NodeOptions['store']>> =>
  (await import('../../node/store-from-text.ts')).storeFromText(text)

async function announceReady(
  io: Io,
  node: NodeApi,
  ready: { readonly socketPath: string | null; readonly url: string | null; readonly isJson: boolean },
): Promise<void> {
  const { peerId, clusterId } = node
  const addresses = node.addresses()
  if (ready.isJson) {
    const { socketPath: control, url: http } = ready
    return await writeJson(io.stdout, { event: 'ready', peerId, clusterId, addresses, control, http })
  }
  const paint = createPaint(io, io.stdout)
  const http = ready.url === null ? '' : `, HTTP at ${ready.url}`
  await writeLine(
    io.stdout,
    `${paint('green', 'ready')} in cluster ${clusterId} at ${addresses.join(' ')}${http}; Ctrl-C stops it`,
  )
}

interface End {
  /** Aborted by the first signal, or a failure. */
  readonly signal: AbortSignal
  /** The exit code. Rejects with the failure. */
  readonly promise: Promise<number>
  fail(error: unknown): void
  /** The node has left its cluster: its work is done. */
  leave(): void
  failure(): unknown
  forget(): void
}

function createEnd(io: Io): End {
  const stop = new AbortController()
  let failure: unknown = null
  let firstAt: number | null = null
  let settle: { resolve(code: number): void; reject(error: unknown): void }
  const promise = new Promise<number>((resolve, reject) => {
    settle = { resolve, reject }
  })
  promise.catch(() => {})
  const forget = io.onStopSignal(signal => {
    const now = performance.now()
    if (firstAt === null) {
      firstAt = now
      stop.abort(new GlynError('SHUTTING_DOWN', `stopped by ${signal}`))
      settle.resolve(0)
    } else if (now - firstAt > sameSignalMs) {
      io.stderr.write(`stopping at once, because of a second ${signal}; what was acknowledged is on disk\n`)
      process.exit(1)
    }
  })
  return {
    signal: stop.signal,
    promise,
    forget,
    failure: () => failure,
    leave() {
      stop.abort(new GlynError('SHUTTING_DOWN', 'this node has left the cluster'))
      settle.resolve(0)
    },
    fail(error) {
      failure ??= error
      stop.abort(error)
      settle.reject(error)
    },
  }
}

function splitHostPort(text: string): { host: string; port: number } {
  const place = text.lastIndexOf(':')
  return { host: text.slice(0, place).replace(/^\[|\]$/g, ''), port: Number(text.slice(place + 1)) }
}
