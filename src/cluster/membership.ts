// Who belongs to the cluster: forming, joining, coming back, saying hello, refusing strangers.
import type { Clock } from '../core/clock.ts'
import { GlynError, hasCode } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { withDeadline } from '../mesh/deadline.ts'
import type { Mesh } from '../mesh/mesh.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { ClusterNode, ClusterSettings } from './cluster-state.ts'
import { type ControllerLog, isPassing } from './controller-log.ts'
import { createKnownPeers, describeMethod } from './known-peers.ts'
import { createRemovedPeers, removedError } from './removed-peers.ts'

const joinMethod = 'cluster.join'
const helloMethod = 'cluster.hello'
const goodbyeMethod = 'cluster.goodbye'
const joinAttemptMs = 5000
const joinRetryMs = 500
const helloTimeoutMs = 5000
/** A stop does not wait longer than this for others to know of it. */
const goodbyeTimeoutMs = 500
/** Of why a node stops. */
const reasonBytesMax = 500
const putSelfTimeoutMs = 10_000
/** Redirects followed in one attempt to join. */
const redirectsMax = 5

export interface MembershipInit {
  readonly mesh: Mesh
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  readonly controller: ControllerLog
  /** This node as it wants to be known; asked anew each time, because addresses come with listening. */
  readonly self: () => ClusterNode
  /** The settings this node remembers or was told; undefined before it belongs to a cluster. */
  readonly settings: () => ClusterSettings | undefined
  /** Called once, when the log or a member says that this node does not belong to the cluster any more. */
  readonly onRemoved: (error: GlynError) => void
}

/** What a member tells of its cluster. */
export interface ClusterDescription {
  readonly settings: ClusterSettings
  readonly nodes: readonly ClusterNode[]
}

export interface Membership {
  /** Asks the clusters at these addresses to take this node in, until one does. Throws what cannot be cured by waiting. */
  join(
    addresses: readonly string[],
    wanted: WantedCluster,
    options: { readonly signal: AbortSignal; readonly onProgress: (text: string) => void },
  ): Promise<ClusterDescription>
  /**
   * Dials these once in the background: for a member that comes back and may find nobody at the old addresses. A peer
   * of another cluster is named in the log, with both cluster ids.
   */
  greet(addresses: readonly string[]): void
  /** Keeps the dialer, the gate and our own record in step with the cluster state. */
  start(): void
  /** Records this node in the controller's log. Throws UNAVAILABLE. */
  putSelf(): Promise<void>
  /** Nodes as the joiner was told, before its own copy of the log has come. */
  learn(nodes: readonly ClusterNode[]): void
  /** False for removed nodes and for strangers: what they say of a group is not listened to (rule R17). */
  maySpeak(peerId: string): boolean
  /** Peer ids of all others that this node takes for members. */
  others(): readonly string[]
  /** Tells every connected member that this node is about to stop. Resolves when they know, or after half a second. */
  sayGoodbye(reason?: string): Promise<void>
  /** This member said goodbye, and its connection still stands. */
  isStopping(peerId: string): boolean
  /** Why this member stopped, as it said itself; null when it said nothing, or has come back. */
  lastWordsOf(peerId: string): string | null
  stop(): void
}

export function createMembership(init: MembershipInit): Membership {
  const { mesh, rpc, clock, log, controller } = init
  const known = createKnownPeers({ mesh, rpc, clock, log, controller, onChange: () => syncMembers() })
  const removed = createRemovedPeers({
    mesh,
    rpc,
    clock,
    log,
    controller,
    clusterId: () => init.settings()?.clusterId,
    onToldSo: from => {
      if (known.maySpeak(from)) becomeRemoved()
    },
  })
  /** Members that said goodbye on the connection that stands now. */
  const stopping = new Set<string>()
  /** Why members stopped that are not back yet. No more of them than members. */
  const lastWords = new Map<string, string>()
  let isStopped = false
  let isPuttingSelf = false
  let isRemoved = false

  function becomeRemoved(): void {
    if (isRemoved || isStopped) return
    isRemoved = true
    init.onRemoved(removedError(mesh.peerId, init.settings()?.clusterId ?? ''))
  }

  const isMember = (peerId: string): boolean => {
    const node = controller.state().nodes.get(peerId)
    return node !== undefined && node.state !== 'removed'
  }

  function syncMembers(): void {
    mesh.setMembers(known.addresses())
    mesh.setGate(removed.mayConnect)
    removed.tellConnected()
  }

  /** Our record in the log says where we are now; after a restart that may have changed. */
  function maybePutSelf(): void {
    const listed = controller.state().nodes.get(mesh.peerId)
    const self = init.self()
    if (isStopped || isPuttingSelf || listed === undefined || listed.state === 'removed') return
    const isSame =
      listed.name === self.name &&
      listed.role === self.role &&
      listed.storageId === self.storageId &&
      listed.addresses.join() === self.addresses.join()
    if (isSame) return
    isPuttingSelf = true
    controller
      .submit({ type: 'put-node', node: { ...self, state: listed.state } }, { timeoutMs: putSelfTimeoutMs })
      .catch((error: unknown) => {
        log.warn(
          { error: String(error) },
          'cluster: our new addresses could not be recorded yet; trying again',
        )
      })
      .finally(() => {
        isPuttingSelf = false
        clock.after(joinRetryMs, maybePutSelf)
      })
  }

  function checkSameCluster(theirs: { readonly clusterId: string; readonly peerId: string }): void {
    const ours = init.settings()?.clusterId
    if (ours === undefined || ours === theirs.clusterId) return
    throw new GlynError(
      'CLUSTER_MISMATCH',
      `node ${mesh.peerId} belongs to cluster ${ours}, node ${theirs.peerId} to cluster ${theirs.clusterId}; ` +
        'two clusters do not merge: start one of the nodes with an empty data directory to join the other',
      { details: { ours, theirs: theirs.clusterId } },
    )
  }

  async function hello(peerId: string): Promise<void> {
    const settings = init.settings()
    if (settings === undefined || isStopped) return
    try {
      const answer = await rpc.request(
        peerId,
        helloMethod,
        encode({ clusterId: settings.clusterId, node: init.self() }),
        {
          timeoutMs: helloTimeoutMs,
        },
      )
      const { clusterId, node } = decode<Hello>(answer)
      checkSameCluster({ clusterId, peerId })
      known.hear(node)
    } catch (error) {
      if (hasCode(error, 'MEMBER_REMOVED') && known.maySpeak(peerId)) becomeRemoved()
      else if (isPassing(error))
        log.debug({ peer: peerId, error: String(error) }, 'cluster: a hello went unanswered')
      else log.error({ peer: peerId, error: String(error) }, 'cluster: a peer refused us')
    }
  }

  async function admit(request: JoinRequest): Promise<ClusterDescription> {
    const settings = init.settings()
    if (settings === undefined) throw new GlynError('UNAVAILABLE', 'this node is joining a cluster itself')
    for (const field of ['topic', 'scope'] as const) {
      if (request[field] === settings[field]) continue
      throw new GlynError(
        'CLUSTER_MISMATCH',
        `cluster ${settings.clusterId} has the ${field} ${settings[field]}, the joining node asks for ${request[field]}; ` +
          `start it with --${field} ${settings[field]}, or let it form a cluster of its own`,
      )
    }
    if (request.store !== settings.store) throw otherStore(settings)
    const { node } = request
    const listed = controller.state().nodes.get(node.peerId)
    if (listed?.state === 'removed') throw removedError(node.peerId, settings.clusterId)
    if (listed !== undefined && listed.storageId !== node.storageId) {
      throw new GlynError(
        'IDENTITY_MISMATCH',
        `node ${node.peerId} is known with storage ${listed.storageId} and comes with ${node.storageId}: it lost its ` +
          'database but kept its key; delete its identity.key so that it joins as a new node',
      )
    }
    if (!controller.isLeader()) {
      const leader = controller.leader()
      const addresses = leader === null ? [] : (controller.state().nodes.get(leader)?.addresses ?? [])
      throw new GlynError('NOT_LEADER', controller.leaderInWords(), {
        details: { leader, addresses },
      })
    }
    await controller.submit(
      { type: 'put-node', node: { ...node, state: 'active' } },
      { timeoutMs: joinAttemptMs },
    )
    return { settings, nodes: [...controller.state().nodes.values()] }
  }

  async function join(
    addresses: readonly string[],
    wanted: WantedCluster,
    options: { readonly signal: AbortSignal; readonly onProgress: (text: string) => void },
  ): Promise<ClusterDescription> {
    for (let attempt = 1; ; attempt += 1) {
      for (const address of addresses) {
        options.signal.throwIfAborted()
        try {
          return await askToJoin(address, wanted, options.signal)
        } catch (error) {
          if (!isPassing(error)) throw error
          const why = error instanceof Error ? error.message : String(error)
          options.onProgress(`joining through ${address}, attempt ${attempt}: ${why}`)
        }
      }
      await new Promise<void>(resolve => clock.after(joinRetryMs, resolve))
    }
  }

  const askToJoin = (
    address: string,
    wanted: WantedCluster,
    signal: AbortSignal,
  ): Promise<ClusterDescription> =>
    withDeadline(clock, joinAttemptMs, deadline => askBefore(address, wanted, { signal, deadline }), signal)

  async function askBefore(
    address: string,
    wanted: WantedCluster,
    { signal, deadline }: { readonly signal: AbortSignal; readonly deadline: AbortSignal },
  ): Promise<ClusterDescription> {
    let peerId = await mesh.connect(address, { signal: deadline })
    const { topic, scope, store } = wanted
    const body = encode({ topic, scope, store, node: init.self() } satisfies JoinRequest)
    for (let redirect = 0; ; redirect += 1) {
      try {
        return decode<ClusterDescription>(
          await rpc.request(peerId, joinMethod, body, { timeoutMs: joinAttemptMs, signal }),
        )
      } catch (error) {
        const next = redirectOf(error)
        if (next === undefined || redirect >= redirectsMax) throw error
        peerId = await connectFirst(next.addresses, deadline)
      }
    }
  }

  async function connectFirst(addresses: readonly string[], signal: AbortSignal): Promise<string> {
    let last: unknown
    for (const address of addresses) {
      try {
        return await mesh.connect(address, { signal })
      } catch (error) {
        last = error
      }
    }
    throw last ?? new GlynError('PEER_UNREACHABLE', 'the leader of the controller has no address')
  }

  rpc.serve(joinMethod, async (from, body) => {
    const request = decode<JoinRequest>(body)
    if (request.node.peerId !== from) {
      throw new GlynError(
        'INVALID_ARGUMENT',
        `peerId is ${request.node.peerId}; allowed: ${from}, who asks to join`,
      )
    }
    return encode(await admit(request))
  })

  rpc.serve(helloMethod, (from, body) => {
    const { clusterId, node } = decode<Hello>(body)
    const settings = init.settings()
    if (settings === undefined) throw new GlynError('UNAVAILABLE', 'this node is joining a cluster itself')
    checkSameCluster({ clusterId, peerId: from })
    if (controller.state().nodes.get(from)?.state === 'removed') throw removedError(from, settings.clusterId)
    known.hear({ ...node, peerId: from })
    return encode({ clusterId: settings.clusterId, node: init.self() } satisfies Hello)
  })

  rpc.serve(goodbyeMethod, (from, body) => {
    if (!isMember(from)) return new Uint8Array()
    stopping.add(from)
    const words = new TextDecoder().decode(body.subarray(0, reasonBytesMax))
    lastWords.set(from, words === '' ? 'it was stopped' : words)
    return new Uint8Array()
  })

  rpc.serve(describeMethod, () => {
    const settings = init.settings()
    if (settings === undefined) throw new GlynError('UNAVAILABLE', 'this node is joining a cluster itself')
    return encode({ settings, nodes: [...controller.state().nodes.values()] } satisfies ClusterDescription)
  })

  return {
    join,
    greet(addresses) {
      for (const address of addresses) {
        withDeadline(clock, joinAttemptMs, signal => mesh.connect(address, { signal })).then(
          // Whoever answers may be of another cluster: then both sides say so.
          peerId => {
            known.trust(peerId)
            return hello(peerId)
          },
          (error: unknown) => {
            log.debug({ address, error: String(error) }, 'cluster: nobody answered at a bootstrap address')
          },
        )
      }
    },
    start() {
      const sync = (): void => {
        syncMembers()
        maybePutSelf()
        if (controller.state().nodes.get(mesh.peerId)?.state === 'removed') becomeRemoved()
      }
      controller.onChange(sync)
      mesh.onPeerChange((peerId, connected) => {
        stopping.delete(peerId)
        if (connected) lastWords.delete(peerId)
        if (!connected) return
        removed.tellConnected()
        if (controller.state().nodes.has(peerId)) void hello(peerId)
      })
      sync()
    },
    putSelf: () =>
      controller.submit({ type: 'put-node', node: init.self() }, { timeoutMs: putSelfTimeoutMs }),
    learn: nodes => known.learn(nodes),
    maySpeak: peerId => known.maySpeak(peerId),
    others: () => known.addresses().map(({ peerId }) => peerId),
    async sayGoodbye(reason = '') {
      const words = new TextEncoder().encode(reason).subarray(0, reasonBytesMax)
      const members = mesh.connectedPeers().filter(isMember)
      const options = { timeoutMs: goodbyeTimeoutMs }
      const told = await Promise.allSettled(
        members.map(peerId => rpc.request(peerId, goodbyeMethod, words, options)),
      )
      for (const [place, result] of told.entries()) {
        if (result.status === 'fulfilled') continue
        log.debug(
          { peer: members[place], error: String(result.reason) },
          'cluster: a member did not hear that this node stops',
        )
      }
    },
    isStopping: peerId => stopping.has(peerId),
    lastWordsOf: peerId => lastWords.get(peerId) ?? null,
    stop() {
      isStopped = true
    },
  }
}

/** What the joining node thinks the cluster is. */
export interface WantedCluster {
  readonly topic: string
  readonly scope: string
  readonly store?: 'shared' | undefined
}

interface JoinRequest extends WantedCluster {
  readonly node: ClusterNode
}

const otherStore = ({ clusterId, store }: ClusterSettings): GlynError =>
  new GlynError(
    'CLUSTER_MISMATCH',
    store === 'shared'
      ? `the events of cluster ${clusterId} rest in a shared store; start the joining node with the --store of its members`
      : `the events of cluster ${clusterId} rest on the disks of its nodes; start the joining node without a shared --store`,
  )

interface Hello {
  readonly clusterId: string
  readonly node: ClusterNode
}

function redirectOf(error: unknown): { readonly addresses: readonly string[] } | undefined {
  if (!(error instanceof GlynError) || error.code !== 'NOT_LEADER') return undefined
  const details = error.details as { readonly addresses?: readonly string[] } | undefined
  return details?.addresses === undefined || details.addresses.length === 0
    ? undefined
    : { addresses: details.addresses }
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const decode = <T>(body: Uint8Array): T => JSON.parse(new TextDecoder().decode(body)) as T
