// The driver of all Raft groups of one node. It carries out the effects of a turn in their order: persist, send,
// commit, reply — with one transaction for all groups that have work, and one frame per peer and turn.
import { InvariantError, invariant } from '../core/assert.ts'
import type { Cancel, Clock, Random } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { peerIdOf, type ReplicaId, replicaId } from '../core/replica-id.ts'
import type { Mesh } from '../mesh/mesh.ts'
import { bootstrapEntry } from '../raft/bootstrap-entry.ts'
import type { Configuration } from '../raft/configuration.ts'
import { createRaft } from '../raft/create-raft.ts'
import type { RaftMessage } from '../raft/message.ts'
import type { ConfirmedRead, Raft, RaftOptions, RaftStatus, Ready, RoleChange } from '../raft/raft.ts'
import { hashEntry } from '../store/hash-entry.ts'
import type { LocalStore, PartitionWrite, RecoveredPartition, Snapshot } from '../store/store.ts'
import { decodeRaftFrame } from './raft-frame.ts'
import { createRaftOutbox } from './raft-outbox.ts'
import { createRoleHistory, type RoleRecord } from './role-history.ts'

export interface RaftTiming {
  readonly tickMs: number
  readonly electionTicks: number
  readonly heartbeatTicks: number
}

/** Writes to a killed leader's partitions go on after 0.8–1.6 s of silence, a pre-vote and a vote. */
export const defaultTiming: RaftTiming = { tickMs: 100, electionTicks: 8, heartbeatTicks: 1 }

const stopMsMax = 10_000
/** A write that takes longer than this stands still: leaderships go to nodes whose disks work. */
const writeMsMax = 2000
/** A burst that is smaller is not worth two writes. */
const earlyTouchesMin = 8
/** Per proposal: the peak is half forgotten after some seven hundred. */
const inFlightDecay = 0.999
export interface GroupListener {
  /** Entries from..to are committed and durable here. */
  committed(range: { readonly from: number; readonly to: number }): void
  roleChanged(change: RoleChange): void
  read(read: ConfirmedRead): void
}

export interface RaftEngineInit {
  readonly peerId: string
  readonly store: LocalStore
  readonly mesh: Mesh
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly timing: RaftTiming
  readonly clusterId: () => string
  /** Asked before a group is made for a partition that a leader writes to. */
  readonly isPartition: (partition: number) => boolean
  /** Frames of others (removed nodes, strangers) are dropped: they must not raise a term (rule R17). */
  readonly maySpeak?: (peerId: string) => boolean
  /** A broken invariant: the node must stop and say so. */
  readonly onFatal: (error: Error) => void
  /**
   * The store failed for good. From now on nothing is written, and so nothing acknowledged and nobody voted for; but the
   * engine still speaks with the other replicas, so that leaderships can be handed over before the node stops.
   */
  readonly onStoreFailed: (error: Error) => void
  /** How the log calls a node. */
  readonly nameOf?: (peerId: string) => string
  /** Called when a group is opened, before it takes its first step. */
  readonly listenerOf: (partition: number) => GroupListener
}

export interface RaftEngine {
  readonly id: ReplicaId
  start(): void
  /** Writes the first entry of new groups in one transaction and opens them. */
  bootstrap(
    groups: readonly { readonly partition: number; readonly configuration: Configuration }[],
    settings: Readonly<Record<string, string>>,
  ): Promise<void>
  partitions(): readonly number[]
  /** Undefined when this node has no replica of the partition. */
  group(partition: number): Raft | undefined
  status(partition: number): RaftStatus | undefined
  /** Cheap: what the last change of role said. Undefined when this node has no replica of the partition. */
  leaderOf(partition: number): { readonly leader: string | null; readonly term: number } | undefined
  /** The last changes of role here, with their reasons, oldest first. */
  history(partition: number): readonly RoleRecord[]
  /** Says that a group was given work from outside (a proposal, a read, a change), so that a turn takes it up. */
  touch(partition: number, options?: { readonly inFlight: number }): void
  /**
   * This node's replica moved away: from now on it does nothing and counts nowhere, until a leader writes to it again.
   * Silence is always safe; nothing of it is forgotten.
   */
  rest(partition: number): void
  writeSnapshot(snapshot: Snapshot): void
  stop(): Promise<void>
}

const raftOptionsOf = (timing: RaftTiming): RaftOptions => ({
  electionTicks: timing.electionTicks,
  heartbeatTicks: timing.heartbeatTicks,
  appendBytesMax: 128 * 1024,
  inflightAppendsMax: 64,
  inflightBytesMax: 2 * 1024 * 1024,
  uncommittedBytesMax: 4 * 1024 * 1024,
})

interface Group {
  readonly partition: number
  readonly raft: Raft
  readonly listener: GroupListener
  /** As of the last change of role. */
  known: { readonly leader: string | null; readonly term: number }
}

export function createRaftEngine(init: RaftEngineInit): RaftEngine {
  const { store, mesh, clock, log, timing } = init
  const id = replicaId({ peerId: init.peerId, storageId: store.storageId })
  const options = raftOptionsOf(timing)
  const groups = new Map<number, Group>()
  /** Replicas that moved away. */
  const resting = new Map<number, Group>()
  const dirty = new Set<Group>()
  let snapshots: Snapshot[] = []
  /** What the next turn has to tell. */
  let notices: { readonly group: Group; readonly ready: Ready }[] = []
  /** Proposals in this turn, and the most that were under way lately. */
  let touches = 0
  let inFlightPeak = 0
  let isTurnScheduled = false
  let isStopped = false
  let writesUnderWay = 0
  /** When each write under way was handed over, oldest first: they end in their order. */
  const writeStarts: number[] = []
  let isDiskStalled = false
  let isStoreFailed = false
  let whenIdle: (() => void) | undefined
  let stopping: Promise<void> | undefined
  let cancelTick: Cancel = () => {}
  let lastTickAt = 0
  const strangersNamed = new Set<string>()
  const history = createRoleHistory({ clock, log, nameOf: init.nameOf ?? (peerId => peerId) })
  const outbox = createRaftOutbox({ mesh, clock, clusterId: init.clusterId, storageId: store.storageId })

  function fail(error: unknown): void {
    if (isStopped) return
    isStopped = true
    cancelTick()
    init.onFatal(error instanceof Error ? error : new Error(String(error)))
  }

  /** What waits for the disk waits for ever now, which is as if the disk were very slow: consensus is made for that. */
  function failStore(error: unknown): void {
    if (error instanceof InvariantError || !(error instanceof Error)) {
      fail(error)
      return
    }
    if (isStopped || isStoreFailed) return
    isStoreFailed = true
    init.onStoreFailed(error)
  }

  /** Runs consensus code: a broken invariant there ends the node, it is never carried on from. */
  function guard(action: () => void): void {
    if (isStopped) return
    try {
      action()
    } catch (error) {
      fail(error)
    }
  }

  function open(recovered: RecoveredPartition): Group {
    const { partition } = recovered
    invariant(!groups.has(partition), `partition ${partition} is open already`)
    const raft = createRaft({
      id,
      hardState: recovered.hardState,
      lastIndex: recovered.lastIndex,
      configurations: recovered.configurations,
      log: store.log(partition),
      hashEntry,
      random: init.random,
      options,
    })
    const known = { leader: null, term: recovered.hardState.term }
    const group: Group = { partition, raft, listener: init.listenerOf(partition), known }
    groups.set(partition, group)
    const { commit } = recovered.hardState
    if (commit > 0) group.listener.committed({ from: 1, to: commit })
    return group
  }

  function schedule(group: Group): void {
    dirty.add(group)
    if (isTurnScheduled || isStopped) return
    isTurnScheduled = true
    clock.soon(() => guard(turn))
  }

  function turn(): void {
    isTurnScheduled = false
    touches = 0
    gather()
    outbox.flush()
    const told = notices
    notices = []
    for (const { group, ready } of told) notify(group, ready)
  }

  /** Takes what the groups have ready and hands the writes over. Tells nobody yet: it may run inside a caller's call. */
  function gather(): void {
    const writes: PartitionWrite[] = []
    const writers: { readonly group: Group; readonly messages: readonly RaftMessage[] }[] = []
    const working = [...dirty]
    dirty.clear()
    for (const group of working) {
      if (!group.raft.hasReady()) continue
      const ready = group.raft.ready()
      outbox.post(group.partition, ready.messages)
      if (ready.persist !== null) {
        const { hardState, truncateFrom, entries, messages } = ready.persist
        writes.push({ partition: group.partition, hardState, truncateFrom, entries })
        writers.push({ group, messages })
      }
      if (ready.committed !== null || ready.role !== null || ready.reads.length > 0)
        notices.push({ group, ready })
    }
    if ((writes.length > 0 || snapshots.length > 0) && !isStoreFailed) persist(writes, writers)
  }

  /**
   * While the disk is idle, the first half of a burst of proposals is written without waiting for the rest: from then on
   * deciding and writing overlap, where callers that wait for each other's batch would take turns. A node with peers
   * has other work meanwhile, and fewer, fuller frames and writes serve it better (measured: 15 % more commands).
   */
  function maybeGatherEarly(inFlight: number): void {
    touches += 1
    inFlightPeak = Math.max(inFlight, inFlightPeak * inFlightDecay)
    const early = Math.max(earlyTouchesMin, Math.ceil(inFlightPeak / 2))
    if (writesUnderWay === 0 && touches >= early && mesh.connectedPeers().length === 0) guard(gather)
  }

  function notify(group: Group, ready: Ready): void {
    if (ready.role !== null) {
      const { role, term, leader, canServe, reason } = ready.role
      history.changed(group.partition, ready.role)
      log.debug({ partition: group.partition, role, term, leader, canServe }, `raft: ${reason}`)
      group.known = { leader: leader === null ? null : peerIdOf(leader), term }
      group.listener.roleChanged(ready.role)
    }
    if (ready.committed !== null) group.listener.committed(ready.committed)
    for (const read of ready.reads) group.listener.read(read)
  }

  function persist(
    writes: readonly PartitionWrite[],
    writers: readonly { readonly group: Group; readonly messages: readonly RaftMessage[] }[],
  ): void {
    const batch = { partitions: writes, snapshots, settings: {} }
    snapshots = []
    writesUnderWay += 1
    writeStarts.push(clock.now())
    store.write(batch).then(
      () => {
        writesUnderWay -= 1
        writeStarts.shift()
        guard(() => {
          for (const { group, messages } of writers) {
            group.raft.persisted()
            outbox.post(group.partition, messages)
            dirty.add(group)
          }
          turn()
        })
        if (writesUnderWay === 0) whenIdle?.()
      },
      (error: unknown) => {
        writesUnderWay -= 1
        writeStarts.shift()
        failStore(error)
        if (writesUnderWay === 0) whenIdle?.()
      },
    )
  }

  function receive(fromPeer: string, bytes: Uint8Array): void {
    if (init.maySpeak?.(fromPeer) === false) return
    let frame: ReturnType<typeof decodeRaftFrame>
    try {
      frame = decodeRaftFrame(bytes, { fromPeer, toPeer: init.peerId })
    } catch (error) {
      log.warn({ peer: fromPeer, error: String(error) }, 'raft: a frame could not be read and was dropped')
      return
    }
    if (frame.clusterId !== init.clusterId() || frame.toStorage !== store.storageId) {
      // While we are joining, the leader may write to us before its answer has told us which cluster it is.
      if (init.clusterId() !== '') nameStranger(fromPeer, frame)
      return
    }
    guard(() => {
      for (const { partition, message } of frame.messages) {
        const group = groups.get(partition) ?? invited(partition, message)
        if (group === undefined) continue
        group.raft.step(message)
        schedule(group)
      }
    })
  }

  /** A leader that writes to a partition we do not hold has made us its learner: start with an empty log. */
  function invited(partition: number, message: RaftMessage): Group | undefined {
    const isFromLeader = message.type === 'append' || message.type === 'heartbeat'
    if (!isFromLeader || !init.isPartition(partition)) return undefined
    const rested = resting.get(partition)
    if (rested !== undefined) {
      resting.delete(partition)
      groups.set(partition, rested)
      log.debug({ partition, from: peerIdOf(message.from) }, 'raft: a replica that moved away is taken back')
      return rested
    }
    return open({
      partition,
      hardState: { term: 0, vote: null, commit: 0 },
      lastIndex: 0,
      configurations: [],
    })
  }

  function nameStranger(
    peer: string,
    frame: { readonly clusterId: string; readonly toStorage: string },
  ): void {
    if (strangersNamed.size > 1000 || strangersNamed.has(peer)) return
    strangersNamed.add(peer)
    const ours = { clusterId: init.clusterId(), storageId: store.storageId }
    log.warn(
      { peer, theirs: frame.clusterId, ours: ours.clusterId, for: frame.toStorage },
      'raft: frames of a stranger are dropped',
    )
  }

  function scheduleTick(): void {
    cancelTick = clock.after(timing.tickMs, () => {
      // Inbound messages that are waiting are taken in before time moves on (rule R14).
      clock.soon(() => guard(tick))
      if (!isStopped) scheduleTick()
    })
  }

  function tick(): void {
    const now = clock.now()
    const ticksLost = Math.floor((now - lastTickAt) / timing.tickMs) - 1
    lastTickAt = now
    const isStalled = ticksLost >= timing.electionTicks
    if (isStalled)
      log.warn(
        { lostMs: ticksLost * timing.tickMs },
        'raft: this process stood still; leaderships are checked anew',
      )
    if (!isStalled) watchDisk(now)
    for (const group of groups.values()) {
      if (isStalled) group.raft.stalled()
      else group.raft.tick()
      if (group.raft.hasReady()) schedule(group)
    }
  }

  /** A leader whose disk stands still can commit, but not answer: others lead better until it moves again. */
  function watchDisk(now: number): void {
    const [oldest] = writeStarts
    const waitedMs = oldest === undefined ? 0 : now - oldest
    if (waitedMs < writeMsMax) {
      if (isDiskStalled) log.info({}, 'raft: the disk works again')
      isDiskStalled = false
      return
    }
    if (!isDiskStalled) {
      log.warn(
        { waitedMs: Math.round(waitedMs) },
        'raft: a write stands still; what this node leads goes to others until the disk works again',
      )
    }
    isDiskStalled = true
    for (const group of groups.values()) {
      if (group.known.leader !== init.peerId) continue
      const { transferTarget, progress } = group.raft.status()
      if (transferTarget !== null) continue
      const heirs = progress.filter(({ voter, active, caughtUp }) => voter && active && caughtUp)
      const [heir] = heirs.sort((a, b) => b.match - a.match)
      if (heir !== undefined) group.raft.transferLeadership(heir.id)
    }
  }

  /** Waits for the writes under way; a disk that hangs is not waited for longer than `stopMsMax`. */
  async function stop(): Promise<void> {
    isStopped = true
    cancelTick()
    history.stop()
    if (writesUnderWay === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    whenIdle = resolve
    const cancel = clock.after(stopMsMax, () => {
      log.error({ writesUnderWay }, 'raft: writes did not end in time; what they held was not acknowledged')
      resolve()
    })
    await promise
    cancel()
  }

  return {
    id,
    start() {
      for (const recovered of store.recover()) schedule(open(recovered))
      mesh.handle('raft', receive)
      mesh.handle('bulk', receive)
      lastTickAt = clock.now()
      scheduleTick()
    },
    async bootstrap(fresh, settings) {
      const hardState = { term: 1, vote: null, commit: 1 }
      const entries = fresh.map(({ partition, configuration }) => ({
        partition,
        configuration,
        entry: bootstrapEntry({ configuration, hashEntry }),
      }))
      await store.write({
        partitions: entries.map(({ partition, entry }) => ({
          partition,
          hardState,
          truncateFrom: null,
          entries: [entry],
        })),
        snapshots: [],
        settings,
      })
      guard(() => {
        for (const { partition, configuration } of entries) {
          const configurations = [{ index: 1, configuration }]
          const group = open({ partition, hardState, lastIndex: 1, configurations })
          group.raft.campaign()
          schedule(group)
        }
      })
    },
    partitions: () => [...groups.keys()].sort((a, b) => a - b),
    group: partition => groups.get(partition)?.raft,
    status: partition => groups.get(partition)?.raft.status(),
    leaderOf: partition => groups.get(partition)?.known,
    history: partition => history.of(partition),
    touch(partition, { inFlight } = { inFlight: 0 }) {
      const group = groups.get(partition)
      if (group === undefined) return
      schedule(group)
      if (inFlight > 0) maybeGatherEarly(inFlight)
    },
    rest(partition) {
      const group = groups.get(partition)
      if (group === undefined) return
      groups.delete(partition)
      dirty.delete(group)
      resting.set(partition, group)
    },
    writeSnapshot(snapshot) {
      snapshots.push(snapshot)
      const group = groups.get(snapshot.partition)
      if (group !== undefined) schedule(group)
    },
    stop() {
      stopping ??= stop()
      return stopping
    },
  }
}

/** True for our own mistakes, which end the process with a message. */
export const isOurMistake = (error: unknown): error is InvariantError => error instanceof InvariantError
