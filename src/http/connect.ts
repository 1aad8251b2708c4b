// A client without a node: one door for whatever leads to a cluster.
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { GlynError } from '../core/errors.ts'
import { type Log, silentLog } from '../core/log.ts'
import type { NewQueryMessage } from '../core/query-message.ts'
import { checkPositive } from '../node/check-arguments.ts'
import { createCommandId } from '../node/command-id.ts'
import { type NamedCalls, type TypedCalls, withDefinitions } from '../node/glyn-node.ts'
import type { NodeApi, NodeStatus, NodeSubscribers, PublishedMessage } from '../node/node-api.ts'
import { controlSocketName } from './control-socket.ts'
import { retrying } from './retrying.ts'

const callTimeoutMs = 10_000
const connectTimeoutMs = 10_000
const graceMs = 200

/** What leads to a cluster beside the target. */
export interface ConnectOptions {
  /** For an address that begins with http: what the node was started with (GLYN_HTTP_TOKEN, --http-token-file). */
  readonly token?: string
  /** For a multiaddr: the scope of the cluster. `default` when left out. */
  readonly scope?: string
  /** For a multiaddr: the bytes of the swarm key file, when the mesh has one. */
  readonly secret?: Uint8Array
  /** How long to try to reach the node. Default 10 000. */
  readonly timeoutMs?: number
  /** Gives up connecting. */
  readonly signal?: AbortSignal
  /** Silent when left out. */
  readonly log?: Log
}

/**
 * A program's way to a cluster that it is no part of. Commands are sent again with their command id until their outcome is
 * known or their time is up, reads likewise; messages are not. What a call throws is a GlynError with the code of a node.
 */
export interface Client extends TypedCalls {
  /** What it was connected to. */
  readonly target: string
  /** Tells the queries of all nodes something that is not stored; see `NodeApi.publish`. At most once. */
  publish(message: NewQueryMessage): Promise<PublishedMessage>
  /** Which nodes run which queries. */
  subscribers(options?: { readonly timeoutMs?: number }): Promise<readonly NodeSubscribers[]>
  /** The cluster, as the node sees it that answers. */
  status(): Promise<NodeStatus>
  /** Hangs up. Calls under way fail; a command among them may have been carried out. */
  close(): Promise<void>
}

/** The calls of both kinds of clients. */
type Connected = NamedCalls & Pick<NodeApi, 'publish' | 'subscribers' | 'status'> & { close(): Promise<void> }

/**
 * Connects to a cluster through one of its nodes. `target` is a multiaddr of any member (`/ip4/10.0.0.1/tcp/4001/p2p/…`:
 * commands then go straight to leaders, and another member stands in for one that dies), the address of an HTTP API
 * (`https://…`, with `token`), or a socket (`data/control.sock`, or the data directory that it lies in). Resolves when the
 * node has answered. Throws INVALID_ARGUMENT for any other target, NODE_NOT_RUNNING or PEER_UNREACHABLE when nobody is
 * there, UNAUTHORIZED, and CLUSTER_MISMATCH for another scope.
 */
export async function connect(target: string, options: ConnectOptions = {}): Promise<Client> {
  const timeoutMs = checkPositive('timeoutMs', options.timeoutMs ?? connectTimeoutMs)
  const kind = await kindOf(target)
  refuseOptions(kind, options)
  const { signal } = options
  signal?.throwIfAborted()
  if (kind.type === 'peer') {
    const opening = retrying(() => openPeer(target, options), { timeoutMs, signal })
    return toClient(target, await within(opening, { target, timeoutMs, signal }, late => late.close()))
  }
  const { token } = options
  // Not before it is needed: whoever embeds a node loads no HTTP.
  const { createControlClient } = await import('./control-client.ts')
  const opened = createControlClient(
    kind.type === 'socket'
      ? { socketPath: kind.path }
      : { url: target, ...(token === undefined ? {} : { token }) },
  )
  try {
    const asking = retrying(() => opened.status(), { timeoutMs, signal })
    await within(asking, { target, timeoutMs, signal })
  } catch (error) {
    await opened.close()
    throw error
  }
  return toClient(target, opened)
}

async function openPeer(peer: string, { scope = 'default', secret, log = silentLog }: ConnectOptions) {
  const { createPeerClient } = await import('../node/create-peer-client.ts')
  return await createPeerClient({ peer, scope, log, ...(secret === undefined ? {} : { secret }) })
}

/** Gives up after the time, whatever a single attempt takes. What comes too late is let go. */
async function within<Result>(
  promise: Promise<Result>,
  { target, timeoutMs, signal }: { target: string; timeoutMs: number; signal: AbortSignal | undefined },
  letGo: (late: Result) => Promise<void> = async () => {},
): Promise<Result> {
  let giveUp = (_reason: unknown): void => {}
  const givenUp = new Promise<never>((_, reject) => {
    giveUp = reject
  })
  // The attempts end by themselves a moment earlier, with a better reason.
  const timer = setTimeout(() => {
    giveUp(new GlynError('TIMEOUT', `${target} did not answer within ${timeoutMs} ms`))
  }, timeoutMs + graceMs)
  const onAbort = (): void => giveUp(signal?.reason)
  signal?.addEventListener('abort', onAbort)
  try {
    return await Promise.race([promise, givenUp])
  } catch (error) {
    // Why it failed is known; a connection that comes of it all the same is of no use to anybody.
    promise.then(letGo).catch(() => undefined)
    throw error
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

type Kind = { readonly type: 'peer' | 'url' } | { readonly type: 'socket'; readonly path: string }

const multiaddrPattern = /^\/(ip4|ip6|dns|dns4|dns6|dnsaddr)\/[^/]/

async function kindOf(target: unknown): Promise<Kind> {
  if (typeof target === 'string' && target !== '') {
    if (multiaddrPattern.test(target)) return await checkMultiaddr(target)
    if (/^https?:\/\/./i.test(target)) return { type: 'url' }
    const path = resolve(target)
    const found = await stat(path).catch(() => null)
    if (found?.isSocket() === true) return { type: 'socket', path }
    if (found?.isDirectory() === true) return { type: 'socket', path: join(path, controlSocketName) }
    // Where a node is not running its socket is not there: that is another mistake than a target of no kind.
    if (found === null && /[/\\]|\.sock$/.test(target) && !/^[a-z][a-z0-9+.-]*:/i.test(target))
      return { type: 'socket', path }
  }
  const shown = (JSON.stringify(target) ?? String(target)).slice(0, 200)
  throw new GlynError(
    'INVALID_ARGUMENT',
    `target is ${shown}; allowed: a multiaddr (/ip4/10.0.0.1/tcp/4001/p2p/…), an address (http://… or https://…), or a socket (data/control.sock, or the data directory)`,
  )
}

async function checkMultiaddr(target: string): Promise<Kind> {
  const { multiaddr } = await import('@multiformats/multiaddr')
  try {
    multiaddr(target)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new GlynError(
      'INVALID_ARGUMENT',
      `target is ${JSON.stringify(target)}: ${why}; allowed: a multiaddr`,
      {
        cause,
      },
    )
  }
  return { type: 'peer' }
}

function refuseOptions({ type }: Kind, options: ConnectOptions): void {
  const refuse = (option: string, allowed: string): never => {
    throw new GlynError('INVALID_ARGUMENT', `${option} is given; allowed: only with ${allowed}`)
  }
  if (type !== 'url' && options.token !== undefined) refuse('token', 'an address that begins with http')
  if (type !== 'peer' && options.scope !== undefined) refuse('scope', 'a multiaddr')
  if (type !== 'peer' && options.secret !== undefined) refuse('secret', 'a multiaddr')
}

function toClient(target: string, calls: Connected): Client {
  let isClosed = false
  const isOver = (): boolean => isClosed
  const reading = async <Options extends TimedOptions, Result>(
    options: Options,
    call: (options: Options) => Promise<Result>,
  ): Promise<Result> => {
    const timeoutMs = checkPositive('timeoutMs', options.timeoutMs ?? callTimeoutMs)
    const { signal } = options
    return await retrying(leftMs => call({ ...options, timeoutMs: leftMs }), { timeoutMs, signal, isOver })
  }
  const named: NamedCalls = {
    // The id is made here, once: whatever is sent again is the same command.
    async execute(type, id, command, { commandId = createCommandId(), ...options } = {}) {
      const timeoutMs = checkPositive('timeoutMs', options.timeoutMs ?? callTimeoutMs)
      return await retrying(
        leftMs => calls.execute(type, id, command, { ...options, commandId, timeoutMs: leftMs }),
        { timeoutMs, signal: options.signal, isOver },
      )
    },
    loadAggregate: (type, id, options = {}) => reading(options, own => calls.loadAggregate(type, id, own)),
    loadEvents: (type, id, options = {}) => reading(options, own => calls.loadEvents(type, id, own)),
    query: (name, question, parameters, options = {}) =>
      reading(options, own => calls.query(name, question, parameters, own)),
    subscribe: options => calls.subscribe(options),
  }
  return {
    ...withDefinitions(named),
    target,
    publish: message => calls.publish(message),
    subscribers: options => calls.subscribers(options),
    status: () => calls.status(),
    close() {
      isClosed = true
      return calls.close()
    },
  }
}

interface TimedOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}
