// Introduces the parts of a node to each other. Nothing here decides; every line says who hears of what.
import { v7 as uuidv7 } from 'uuid'
import {
  type ClusterNode,
  type ClusterSettings,
  type ClusterState,
  placeableNodes,
} from '../cluster/cluster-state.ts'
import { type ControllerLog, createControllerLog } from '../cluster/controller-log.ts'
import { createDepartures } from '../cluster/departures.ts'
import { createLeaving, type Leaving } from '../cluster/leaving.ts'
import { createLeftReplicas } from '../cluster/left-replicas.ts'
import { createMembership, type Membership } from '../cluster/membership.ts'
import { createReconciler, type Reconciler } from '../cluster/reconciler.ts'
import { lastNodeObstacle, removalObstacle } from '../cluster/removal-obstacle.ts'
import { createSeats, type Seats } from '../cluster/seats.ts'
import type { Clock, Random } from '../core/clock.ts'
import type { AggregateKey } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { controllerPartition, partitionOf } from '../core/partition-of.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { Erasure } from '../erasure/erasure.ts'
import type { Mesh } from '../mesh/mesh.ts'
import type { Rpc } from '../mesh/rpc.ts'
import {
  type AggregateBinding,
  type AggregateHost,
  createAggregateHost,
} from '../partition/aggregate-host.ts'
import { createQuarantine, type Quarantine } from '../partition/quarantine.ts'
import {
  createRaftEngine,
  type GroupListener,
  type RaftEngine,
  type RaftTiming,
} from '../partition/raft-engine.ts'
import { createSharedAggregateHost } from '../partition/shared-aggregate-host.ts'
import { createFeed, type Feed } from '../pubsub/feed.ts'
import { createMessageInbox, type MessageInbox } from '../pubsub/message-inbox.ts'
import { createPublisher, type Publisher } from '../pubsub/publisher.ts'
import { createSharedFeed, type SharedFeed } from '../pubsub/shared-feed.ts'
import type { TopicMessage } from '../pubsub/topic-message.ts'
import type { RoleChange } from '../raft/raft.ts'
import {
  createReactions,
  type HostedHandler,
  type HostedProcess,
  type Reactions,
} from '../reaction/reactions.ts'
import { type Announcer, createAnnouncer } from '../registry/announcer.ts'
import { createLeaderTable, type LeaderTable } from '../registry/leader-table.ts'
import { createLeaderWait, type LeaderWait } from '../registry/leader-wait.ts'
import { type PlacementRecord, placementRecordRules } from '../registry/placement-record.ts'
import { createRouter, type Router } from '../registry/router.ts'
import type { KeyStore } from '../store/key-store.ts'
import { createMemoryKeyStore } from '../store/memory/memory-key-store.ts'
import type { SharedStore } from '../store/shared-store.ts'
import type { LocalStore } from '../store/store.ts'
import { createChangeLog } from './change-log.ts'
import { clusterView } from './cluster-view.ts'
import { type Contacts, createContacts } from './contacts.ts'
import { createEventLifter, type EventLifter } from './lift-events.ts'
import { createLocalPartitions } from './local-partitions.ts'
import { createLogCopy, type LogCopy } from './log-copy.ts'
import { type MissingReplicas, missingReplicas } from './missing-replicas.ts'
import { createNoContact } from './no-contact.ts'
import { assembleErasure } from './node-erasure.ts'
import { createRemoteAggregates, type RemoteAggregates, serveAggregates } from './remote-aggregates.ts'
import { serveAppends } from './remote-appends.ts'
import { createSharedReactionLog } from './shared-reaction-log.ts'
import { createTopicGate } from './topic-gate.ts'

export interface NodePartsInit {
  readonly mesh: Mesh
  readonly rpc: Rpc
  readonly store: LocalStore
  /** Where events rest. Left out: in `store`, replicated by Raft, which else only elects. */
  readonly shared?: SharedStore
  /** In memory when left out. Closed by whoever opened it. */
  readonly keys?: KeyStore
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly timing: RaftTiming
  readonly topic: string
  readonly scope: string
  readonly name: string
  readonly role: 'full' | 'query'
  readonly aggregates: ReadonlyMap<string, AggregateBinding>
  /** None when left out. */
  readonly handlers?: readonly HostedHandler[]
  readonly processes?: readonly HostedProcess[]
  /** The cluster this node belongs to, once it does. */
  readonly settings: () => ClusterSettings | undefined
  /** This node must stop now. After a failure of the store, what it led was handed over first. */
  readonly onFatal: (error: Error) => void
  /** This node does not belong to the cluster any more. `hasLeft`: it wanted to go. */
  readonly onRemoved?: (error: GlynError, options: { readonly hasLeft: boolean }) => void
  /** How to say that no member can be reached, and after how long. In the log when left out. */
  readonly noContact?: { readonly tell: (text: string) => void; readonly tellAfterMs?: number }
  /** Actors that rest in the cache at most. */
  readonly actorsMax?: number
  /** Entries of a part of the reactions' checkpoints. */
  readonly checkpointsPerPartMax?: number
  /** Stands between consensus and the parts: the simulator sees what is committed before anyone acts on it. */
  readonly watch?: (partition: number, listener: GroupListener) => GroupListener
}

/** Names the code of aggregates that are glyn-node's own: a snapshot of a form that is no more is not used. */
const ownCode = 'glyn:1'

/** A shared store that cannot be reached is asked again after this long. */
const askAgainMs = 500

/** A node whose store failed hands over what it leads within this time, and stops. */
const handOverMsMax = 1500
/**
 * Election timeouts from the first contact with a node until it is given leaderships: 3.2 s with the default timing. On two
 * cores that four nodes share, a process is busy for two seconds after its first connection.
 */
const settlingTimeouts = 4

export interface NodeParts {
  readonly engine: RaftEngine
  readonly host: AggregateHost
  readonly quarantine: Quarantine
  readonly lifter: EventLifter
  readonly controller: ControllerLog
  readonly membership: Membership
  readonly reconciler: Reconciler
  readonly leaving: Leaving
  readonly table: LeaderTable
  readonly router: Router
  readonly leaderWait: LeaderWait
  readonly remote: RemoteAggregates
  readonly announcer: Announcer
  readonly publisher: Publisher
  readonly feed: Feed
  /** On a shared store: the same feed. */
  readonly sharedFeed: SharedFeed | undefined
  readonly erasure: Erasure
  readonly inbox: MessageInbox
  readonly reactions: Reactions
  readonly contacts: Contacts
  readonly logCopy: LogCopy
  state(): ClusterState
  /** 1..partitions; empty before the cluster is known. */
  dataPartitions(): readonly number[]
  isLocal(partition: number): boolean
  /** Voters that this node cannot reach. Null for none. */
  missingOf(partition: number): MissingReplicas | null
  /** Why this node is about to stop. */
  failure(): Error | undefined
  /** That no member has been reached for some time, and what to do; null when all is well. */
  noContact(): string | null
  /** Opens what the store holds and starts every timer but those of membership. */
  start(): void
  /** Once the node belongs to a cluster. */
  startMembership(): void
  stop(): Promise<void>
}

export const newClusterId = (): string => uuidv7()

export function assembleNode(init: NodePartsInit): NodeParts {
  const { mesh, rpc, store, clock, random, log } = init
  const contacts = createContacts({ mesh, clock })
  const clusterId = (): string => init.settings()?.clusterId ?? ''
  const state = (): ClusterState => controller.state()
  const dataPartitions = (): readonly number[] =>
    Array.from({ length: init.settings()?.partitions ?? 0 }, (_, place) => place + 1)

  const listenerOf = (partition: number): GroupListener => {
    const listener = partition === controllerPartition ? controllerListener() : dataListener(partition)
    return init.watch?.(partition, listener) ?? listener
  }

  const engine: RaftEngine = createRaftEngine({
    peerId: mesh.peerId,
    store,
    mesh,
    clock,
    random,
    log,
    timing: init.timing,
    clusterId,
    maySpeak: peerId => membership.maySpeak(peerId),
    isPartition: partition => partition >= 0 && partition <= (init.settings()?.partitions ?? -1),
    onFatal: init.onFatal,
    onStoreFailed: error => void stopLeading(error),
    nameOf: peerId => shortNameOf(peerId),
    listenerOf,
  })
  const lifter = createEventLifter({ aggregates: init.aggregates, log })
  let failure: Error | undefined
  const erasure = assembleErasure({
    ...init,
    keys: init.keys ?? createMemoryKeyStore(),
    engine,
    state,
    partitions: () => dataPartitions().length,
    host: () => host,
  })
  const reactions = createReactions({
    environment: {
      store:
        init.shared === undefined
          ? {
              readAggregate: store.readAggregate,
              readPartition: (partition, range) =>
                lifter.lift(store.readPartition(partition, range).map(erasure.cipher.open)),
            }
          : createSharedReactionLog(init.shared, lifter.lift),
      ...(init.shared === undefined ? {} : { checkpointScope: () => `${clusterId()}/` }),
      clock,
      log,
      execute: (partition, command) => host.execute(partition, command),
      load: (partition, aggregate) => host.load(partition, aggregate),
      ...(init.checkpointsPerPartMax === undefined
        ? {}
        : { checkpointsPerPartMax: init.checkpointsPerPartMax }),
      async send(command, { timeoutMs, signal }) {
        const partition = partitionOf(command.aggregate, dataPartitions().length)
        return await router.route({
          partition,
          timeoutMs,
          signal,
          here: () => host.execute(partition, command),
          there: (peerId, attempt) => remote.execute(peerId, partition, command, attempt.timeoutMs),
        })
      },
    },
    handlers: init.handlers ?? [],
    processes: init.processes ?? [],
  })
  const ownAggregates = [...reactions.aggregates].map(
    ([type, definition]) => [type, { definition, definitionId: ownCode }] as const,
  )
  const quarantine = createQuarantine({ clock, log })
  const hosting = {
    clock,
    log,
    aggregates: new Map([...init.aggregates, ...ownAggregates]),
    cipher: erasure.cipher,
    quarantine,
    ...(init.actorsMax === undefined ? {} : { cache: { actorsMax: init.actorsMax } }),
  }
  const sharedFeed =
    init.shared === undefined
      ? undefined
      : createSharedFeed({
          store: init.shared,
          clock,
          log,
          partitions: dataPartitions,
          onHead: (partition, index) => reactions.committed(partition, index),
        })
  /** On a shared store: how far others were told that a partition is. */
  const published = new Map<number, number>()
  const host: AggregateHost =
    init.shared === undefined || sharedFeed === undefined
      ? createAggregateHost({ engine, store, ...hosting })
      : createSharedAggregateHost({
          ...hosting,
          store: init.shared,
          statusOf: partition => engine.status(partition),
          headOf: sharedFeed.headOf,
          onAppended(partition, index) {
            sharedFeed.appended(partition, index)
            if (index <= (published.get(partition) ?? 0)) return
            published.set(partition, index)
            const term = engine.leaderOf(partition)?.term ?? 0
            publisher.committed(partition, { from: index, to: index, term })
          },
        })
  const controller = createControllerLog({
    rpc,
    clock,
    log,
    group: () => engine.group(controllerPartition),
    touch: () => engine.touch(controllerPartition),
    obstacleTo: async command =>
      command.type === 'drain-node'
        ? lastNodeObstacle(state(), command.peerId)
        : removalObstacle({
            seats: await seats.gather(),
            state: state(),
            peerId: command.peerId,
            isReachable,
          }),
    missingVoters() {
      const voters = engine.status(controllerPartition)?.configuration.voters.map(peerIdOf) ?? []
      const missing = voters.filter(peerId => !isReachable(peerId))
      return { voters: voters.length, missing: missing.map(nameOf) }
    },
  })
  const isReachable = (peerId: string): boolean => peerId === mesh.peerId || mesh.isConnected(peerId)
  const nameOf = (peerId: string): string => `${state().nodes.get(peerId)?.name ?? 'node'} (${peerId})`
  const table = createLeaderTable({ fromConsensus: partition => engine.leaderOf(partition) })
  const replicasOf = (partition: number): readonly string[] => {
    const wanted = state().wanted.get(partition)
    const { leader } = table.leaderOf(partition)
    const holders =
      wanted === undefined
        ? placeableNodes(state()).map(node => node.peerId)
        : [...wanted.voters, ...wanted.learners].map(peerIdOf)
    return leader === null ? holders : [leader, ...holders.filter(peerId => peerId !== leader)]
  }
  const isMember = (peerId: string): boolean => {
    const node = state().nodes.get(peerId)
    return node !== undefined && node.state !== 'removed'
  }
  const seats: Seats = createSeats({
    rpc,
    log,
    statuses: () =>
      engine.partitions().flatMap(partition => {
        const status = engine.status(partition)
        return status === undefined ? [] : [[partition, status] as const]
      }),
    peers: () => mesh.connectedPeers().filter(isMember),
    isMember,
  })
  const locals = createLocalPartitions({ engine, wanted: partition => state().wanted.get(partition) })
  const isLocal = (partition: number): boolean => locals.has(partition)
  controller.onChange(() => locals.forget())
  const leaderWait = createLeaderWait({
    table,
    clock,
    isReplica: partition => engine.leaderOf(partition) !== undefined,
  })
  const isThere = (peerId: string): boolean => peerId === mesh.peerId || mesh.isConnected(peerId)
  const router = createRouter({
    self: mesh.peerId,
    table,
    clock,
    random,
    candidates(partition) {
      const all = replicasOf(partition)
      return [...all.filter(isThere), ...all.filter(peerId => !isThere(peerId))]
    },
    missing(partition) {
      const found = missingOf(partition)
      return found === null ? null : { text: found.text, details: { missing: found.missing } }
    },
  })
  const votersOf = (partition: number): readonly string[] => {
    const here = engine.status(partition)?.configuration.voters ?? []
    const voters = here.includes(engine.id) ? here : (state().wanted.get(partition)?.voters ?? here)
    return voters.map(peerIdOf)
  }
  const shortNameOf = (peerId: string): string => state().nodes.get(peerId)?.name ?? peerId.slice(-6)
  const missingOf = (partition: number): MissingReplicas | null =>
    missingReplicas({
      voters: votersOf(partition),
      nameOf: shortNameOf,
      contacts,
      nowMs: clock.wallTime(),
    })
  const remote = createRemoteAggregates(rpc)
  const feed =
    sharedFeed ??
    createFeed({
      store,
      rpc,
      clock,
      log,
      partitions: dataPartitions,
      isLocal,
      replicasOf: partition => replicasOf(partition).filter(peerId => peerId !== mesh.peerId),
      isMember,
      isConnected: peerId => mesh.isConnected(peerId),
      leaderOf: partition => table.leaderOf(partition),
      onLeader: (partition, known) => table.learn(partition, known),
    })
  const publisher = createPublisher({
    mesh,
    clock,
    log,
    topic: init.topic,
    clusterId,
    // On a shared store the entries of Raft hold no events: readers ask the store.
    entries: (partition, { from, to, bytesMax }) =>
      init.shared === undefined ? (engine.group(partition)?.entries(from, to, bytesMax) ?? []) : [],
  })
  const inbox = createMessageInbox({ log })
  const announcer = createAnnouncer({
    mesh,
    clock,
    log,
    scope: init.scope,
    partitions: dataPartitions,
    recordOf: partition => placementRecordOf(partition),
  })
  const reconciler = createReconciler({
    clock,
    log,
    controller,
    partitions: () => engine.partitions(),
    group: partition => engine.group(partition),
    touch: partition => engine.touch(partition),
    isConnected: peerId => mesh.isConnected(peerId),
    settlingMs: settlingTimeouts * init.timing.electionTicks * init.timing.tickMs,
    isStopping: peerId => membership.isStopping(peerId),
    sayGoodbye: () => membership.sayGoodbye(failure?.message),
    mayChange: (partition, voters) =>
      partition === controllerPartition || erasure.gate.mayChange(partition, voters),
    self: engine.id,
  })
  const self = (): ClusterNode => ({
    peerId: mesh.peerId,
    storageId: store.storageId,
    name: init.name,
    role: init.role,
    state: 'active',
    addresses: mesh.addresses(),
  })
  let isStopped = false
  let hasLeft = false
  let isRemoved = false
  const membership = createMembership({
    mesh,
    rpc,
    clock,
    log,
    controller,
    self,
    settings: init.settings,
    onRemoved(error) {
      isRemoved = true
      init.onRemoved?.(error, { hasLeft: hasLeft || leaving.isUnderWay() })
    },
  })
  controller.onChange(() => {
    const known = state().nodes.get(mesh.peerId)?.state
    if (known === 'draining') hasLeft = true
    else if (known === 'active') hasLeft = false
  })
  const leaving = createLeaving({
    self: mesh.peerId,
    clock,
    controller,
    seats,
    isReachable,
    isRemoved: () => isRemoved,
  })
  const departures = createDepartures({ clock, log, controller, seats })
  const leftReplicas = createLeftReplicas({
    clock,
    log,
    self: engine.id,
    state,
    seats,
    partitions: () => engine.partitions(),
    statusOf: partition => engine.status(partition),
    rest(partition) {
      engine.rest(partition)
      locals.forget()
      table.changed(partition)
    },
  })

  const changeLog = createChangeLog({
    clock,
    log,
    view: () =>
      clusterView({
        mesh,
        engine,
        table,
        state: state(),
        partitions: dataPartitions(),
        missingOf,
        lastWordsOf: peerId => membership.lastWordsOf(peerId),
      }),
  })

  const noContact = createNoContact({
    clock,
    others: () => membership.others(),
    isConnected: peerId => mesh.isConnected(peerId),
    tell: text => log.warn({}, `cluster: ${text}`),
    ...init.noContact,
  })

  function controllerListener(): GroupListener {
    return {
      committed: range => controller.committed(range),
      roleChanged: change => {
        controller.roleChanged(change)
        table.changed(controllerPartition)
      },
      read: () => {},
    }
  }

  function dataListener(partition: number): GroupListener {
    let term = 0
    let isLeader = false
    return {
      committed(range) {
        host.committed(partition, range)
        if (!isLocal(partition)) locals.forget()
        if (sharedFeed !== undefined) return
        feed.committed(partition, range.to)
        reactions.committed(partition, range.to)
        if (isLeader) publisher.committed(partition, { ...range, term })
      },
      roleChanged(change) {
        term = change.term
        isLeader = change.role === 'leader'
        host.roleChanged(partition, change)
        erasure.roleChanged(partition, { isLeader, canServe: change.canServe })
        follow(partition, change)
        locals.forget()
        table.changed(partition)
        if (isLeader && change.canServe) announcer.announce(partition)
      },
      read: read => host.read(partition, read),
    }
  }

  function follow(partition: number, { role, term, canServe }: RoleChange): void {
    if (role !== 'leader') reactions.leave(partition)
    else if (canServe && sharedFeed !== undefined) void leadShared(sharedFeed, partition, term)
    else if (canServe)
      reactions.lead(partition, { term, commitIndex: engine.status(partition)?.commitIndex ?? 0 })
  }

  /** What is committed when reactions begin is what the store says, once it can be asked. */
  async function leadShared(from: SharedFeed, partition: number, term: number): Promise<void> {
    const isLeading = (): boolean => {
      const known = engine.leaderOf(partition)
      return !isStopped && known?.leader === mesh.peerId && known.term === term
    }
    while (isLeading()) {
      try {
        const heads = await from.refresh()
        if (!isLeading()) return
        reactions.lead(partition, { term, commitIndex: heads.get(partition) ?? 0 })
        // What was appended while the answer was on its way was told when nobody listened yet.
        reactions.committed(partition, from.headOf(partition))
        return
      } catch (error) {
        log.debug({ partition, error: String(error) }, 'reactions: the store cannot be asked yet')
        await new Promise<void>(resolve => clock.after(askAgainMs, resolve))
      }
    }
  }

  function placementRecordOf(partition: number): PlacementRecord | undefined {
    const status = engine.status(partition)
    if (status === undefined || status.role !== 'leader' || !status.canServe) return undefined
    const { voters, learners } = status.configuration
    return {
      clusterId: clusterId(),
      partition,
      term: status.term,
      leader: mesh.peerId,
      addresses: mesh.addresses(),
      replicas: [...voters, ...learners].map(peerIdOf),
      issuedAtMs: clock.wallTime(),
    }
  }

  /** While replicas move, the leader may be one that is on its way out. */
  function mayHold(peerId: string, partition: number): boolean {
    const wanted = state().wanted.get(partition)
    if (wanted === undefined || [...wanted.voters, ...wanted.learners].some(id => peerIdOf(id) === peerId))
      return true
    return table.leaderOf(partition).leader === peerId
  }

  /** A full or broken disk takes one node, and not its partitions with it. */
  async function stopLeading(error: Error): Promise<void> {
    failure = error
    log.error(
      { error: error.message },
      'node: the store failed, so this node hands over what it leads, and stops',
    )
    const { left } = await reconciler.handOver({ timeoutMs: handOverMsMax })
    if (left > 0) log.warn({ left }, 'node: some leaderships could not be handed over in time')
    init.onFatal(error)
  }

  const served = {
    host,
    leaderWait,
    isMember,
    checkPartition(partition: number, aggregate: AggregateKey) {
      const partitions = init.settings()?.partitions
      // The others may know of a node that joins before it has heard their answer.
      if (partitions === undefined)
        throw new GlynError('UNAVAILABLE', 'this node is joining a cluster itself')
      if (partitionOf(aggregate, partitions) === partition) return
      throw new GlynError(
        'INVALID_ARGUMENT',
        `partition is ${partition} for ${aggregate.type} ${aggregate.id}; allowed: the one its hash names among ${partitions}`,
      )
    },
  }
  serveAggregates(rpc, served)
  serveAppends(rpc, served)
  const logCopy = createLogCopy({
    ...served,
    self: mesh.peerId,
    rpc,
    clock,
    log,
    engine,
    router,
    isConnected: peerId => mesh.isConnected(peerId),
    isLocal,
    replicasOf,
  })

  return {
    engine,
    host,
    quarantine,
    lifter,
    controller,
    membership,
    reconciler,
    leaving,
    table,
    router,
    leaderWait,
    remote,
    announcer,
    publisher,
    feed,
    sharedFeed,
    erasure,
    inbox,
    reactions,
    contacts,
    logCopy,
    state,
    dataPartitions,
    isLocal,
    missingOf,
    failure: () => failure,
    noContact: () => noContact.text(),
    start() {
      mesh.setRecordRules(
        placementRecordRules({
          scope: init.scope,
          mesh,
          partitionsMax: limits.partitionsMax,
          // While this node joins, it knows of no cluster and no members yet.
          mayLead: ({ leader, clusterId: theirs }) =>
            clusterId() === '' || state().nodes.size === 0 || (theirs === clusterId() && isMember(leader)),
        }),
      )
      const receive = (from: string, message: TopicMessage): void => {
        for (const { partition, term } of message.heads) table.learn(partition, { leader: from, term })
        feed.receive(message)
        inbox.receive(from, message.messages)
      }
      mesh.subscribe(init.topic, createTopicGate({ clusterId, isMember, mayHold, receive }))
      engine.start()
      feed.start()
      announcer.start()
      erasure.start()
    },
    startMembership() {
      membership.start()
      changeLog.start()
      noContact.start()
      reconciler.start()
      departures.start()
      leftReplicas.start()
    },
    async stop() {
      isStopped = true
      changeLog.stop()
      noContact.stop()
      reconciler.stop()
      leaving.stop()
      departures.stop()
      leftReplicas.stop()
      membership.stop()
      announcer.stop()
      publisher.stop()
      feed.stop()
      erasure.stop()
      await reactions.close()
      router.stop()
      await engine.stop()
      host.stop()
      rpc.close()
    },
  }
}
