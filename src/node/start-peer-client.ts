// A client without a node: dials one member, asks the DHT who leads the aggregate's partition, and talks to that leader.
import type { ClusterNode } from '../cluster/cluster-state.ts'
import { describeMethod } from '../cluster/known-peers.ts'
import type { ClusterDescription } from '../cluster/membership.ts'
import { GlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { checkAggregateKey, checkName } from '../core/names.ts'
import { partitionOf } from '../core/partition-of.ts'
import { createRpc } from '../mesh/create-rpc.ts'
import { withDeadline } from '../mesh/deadline.ts'
import { createEphemeralIdentity } from '../mesh/libp2p/identity.ts'
import { createLibp2pMesh } from '../mesh/libp2p/libp2p-mesh.ts'
import { createLeaderTable } from '../registry/leader-table.ts'
import { openPlacementRecord, placementKey, placementRecordRules } from '../registry/placement-record.ts'
import { createRouter } from '../registry/router.ts'
import { toEventEnvelope } from '../store/event-envelope.ts'
import { checkMetadata, checkPositive, refuseOwnNames } from './check-arguments.ts'
import { createClientCalls } from './client-calls.ts'
import { createCommandId } from './command-id.ts'
import { createPeerCalls } from './peer-calls.ts'
import type { PeerClient, PeerClientOptions } from './peer-client.ts'
import { collectPages, createRemoteAggregates } from './remote-aggregates.ts'
import { systemClock } from './system-clock.ts'

const connectTimeoutMs = 5000
const lookupTimeoutMs = 2000
const lookupAttemptsMax = 4
const lookupPauseMs = 100
const executeTimeoutMs = 10_000
const learnMembersMs = 10_000

/** Does what `createPeerClient` says. */
export async function startPeerClient(options: PeerClientOptions): Promise<PeerClient> {
  const clock = systemClock
  const { log, scope } = options
  const mesh = await createLibp2pMesh({
    privateKey: (await createEphemeralIdentity()).privateKey,
    scope,
    listen: [],
    ...(options.secret === undefined ? {} : { secret: options.secret }),
    mdns: false,
    clock,
    log,
    mode: 'client',
  })
  mesh.setRecordRules(placementRecordRules({ scope, mesh, partitionsMax: limits.partitionsMax }))
  await mesh.start()
  const rpc = createRpc({ mesh, clock, log })
  let isClosed = false
  let stopRouter = (): void => {}
  const close = async (): Promise<void> => {
    isClosed = true
    stopRouter()
    rpc.close()
    await mesh.stop()
  }
  try {
    const contact = await withDeadline(clock, connectTimeoutMs, signal =>
      mesh.connect(options.peer, { signal }),
    )
    const describe = async (peerId: string): Promise<ClusterDescription> =>
      JSON.parse(
        new TextDecoder().decode(
          await rpc.request(peerId, describeMethod, new Uint8Array(), { timeoutMs: connectTimeoutMs }),
        ),
      ) as ClusterDescription
    const { settings, ...described } = await describe(contact)
    let nodes: readonly ClusterNode[] = described.nodes
    let describedAtMs = clock.now()
    const addressesOf = new Map(nodes.map(node => [node.peerId, node.addresses]))
    const members = (): readonly string[] => {
      const others = nodes.filter(node => node.state !== 'removed' && node.peerId !== contact)
      return [contact, ...others.map(node => node.peerId)]
    }

    /** Members come and go while a client lives: now and then one that is connected is asked who they are. */
    function maybeLearnMembers(): void {
      if (clock.now() - describedAtMs < learnMembersMs) return
      const known = members().find(peerId => mesh.isConnected(peerId))
      if (known === undefined) return
      describedAtMs = clock.now()
      describe(known).then(
        found => {
          if (found.settings.clusterId !== settings.clusterId) return
          nodes = found.nodes
          for (const { peerId, addresses } of nodes) addressesOf.set(peerId, addresses)
        },
        (error: unknown) => log.debug({ peerId: known, error: String(error) }, 'client: no news of members'),
      )
    }
    const looked = new Map<number, number>()
    const table = createLeaderTable({ fromConsensus: () => undefined })
    const router = createRouter({
      self: '',
      table,
      clock,
      random: Math.random,
      candidates: members,
    })
    stopRouter = () => router.stop()
    const remote = createRemoteAggregates(rpc)
    const calls = createPeerCalls({
      calls: createClientCalls(rpc),
      clock,
      members() {
        maybeLearnMembers()
        return members()
      },
      reach,
      isClosed: () => isClosed,
    })

    /** A client that has just connected may not know a peer of the DHT yet: an empty answer is asked for again. */
    async function findRecord(key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
      for (let attempt = 1; ; attempt += 1) {
        const value = await mesh.getRecord(key, { signal })
        if (value !== undefined || attempt === lookupAttemptsMax) return value
        await new Promise<void>(resolve => clock.after(lookupPauseMs, resolve))
      }
    }

    /** The DHT's hint, taken at most once a second; redirects correct it. */
    async function lookUp(partition: number): Promise<void> {
      if (table.leaderOf(partition).leader !== null) return
      if (clock.now() - (looked.get(partition) ?? Number.NEGATIVE_INFINITY) < 1000) return
      looked.set(partition, clock.now())
      const key = placementKey(scope, partition)
      try {
        const value = await withDeadline(clock, lookupTimeoutMs, signal => findRecord(key, signal))
        if (value === undefined) {
          log.debug({ partition }, 'client: the DHT has no record; asking members instead')
          return
        }
        const record = await openPlacementRecord(key, value, { scope, mesh })
        if (record.clusterId !== settings.clusterId) return
        addressesOf.set(record.leader, record.addresses)
        table.learn(partition, { leader: record.leader, term: record.term })
        log.debug({ partition, leader: record.leader, term: record.term }, 'client: the DHT names the leader')
      } catch (error) {
        log.debug(
          { partition, error: String(error) },
          'client: the DHT has no answer; asking members instead',
        )
      }
    }

    async function reach(peerId: string): Promise<void> {
      if (mesh.isConnected(peerId)) return
      let last: unknown
      for (const address of addressesOf.get(peerId) ?? []) {
        try {
          await withDeadline(clock, connectTimeoutMs, signal => mesh.connect(address, { signal }))
          return
        } catch (error) {
          last = error
        }
      }
      throw new GlynError('PEER_UNREACHABLE', `${peerId} cannot be reached from here`, { cause: last })
    }

    async function route<T>(
      aggregate: { readonly type: string; readonly id: string },
      request: {
        readonly timeoutMs: number | undefined
        readonly signal: AbortSignal | undefined
        readonly ask: (peerId: string, partition: number, timeoutMs: number) => Promise<T>
      },
    ): Promise<{ readonly value: T; readonly partition: number }> {
      maybeLearnMembers()
      checkAggregateKey(aggregate)
      const partition = partitionOf(aggregate, settings.partitions)
      await lookUp(partition)
      const value = await router.route({
        partition,
        timeoutMs: checkPositive('timeoutMs', request.timeoutMs ?? executeTimeoutMs),
        signal: request.signal,
        here: () => Promise.reject(new GlynError('NOT_LEADER', 'a client leads nothing')),
        async there(peerId, { timeoutMs }) {
          await reach(peerId)
          return await request.ask(peerId, partition, timeoutMs)
        },
      })
      return { value, partition }
    }

    return {
      ...calls,
      async execute(
        type,
        id,
        command,
        { commandId = createCommandId(), metadata = {}, timeoutMs, signal } = {},
      ) {
        checkName('command', command.type)
        checkName('command id', commandId)
        refuseOwnNames({ type, commandId })
        const envelope = {
          aggregate: { type, id },
          command: { type: command.type, data: command.data ?? {} },
          commandId,
          metadata: checkMetadata(metadata),
        }
        const { value } = await route(envelope.aggregate, {
          timeoutMs,
          signal,
          ask: (peerId, partition, left) => remote.execute(peerId, partition, envelope, left),
        })
        return value
      },
      async loadAggregate(type, id, { timeoutMs, signal } = {}) {
        const aggregate = { type, id }
        const { value, partition } = await route(aggregate, {
          timeoutMs,
          signal,
          ask: (peerId, target, left) => remote.load(peerId, target, aggregate, left),
        })
        return {
          aggregate,
          sequence: value.sequence,
          state: value.state,
          position: { partition, index: value.index },
        }
      },
      async loadEvents(type, id, { timeoutMs, signal, fromSequence = 1, limit = 1000 } = {}) {
        const aggregate = { type, id }
        const range = {
          fromSequence: checkPositive('fromSequence', fromSequence),
          limit: checkPositive('limit', limit),
        }
        const rows = await collectPages(range, async page => {
          const { value } = await route(aggregate, {
            timeoutMs,
            signal,
            ask: (peerId, target, left) => remote.loadEvents(peerId, target, { aggregate, ...page }, left),
          })
          return value
        })
        return rows.map(toEventEnvelope)
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
