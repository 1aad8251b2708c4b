// One machine of the simulation: a disk that stays, and the processes that come and go on it. It starts and stops as a real
// node does, from the same parts; only the mesh, the disk, the clock and the dice are simulated.
import type { Database } from 'better-sqlite3'
import type { ClusterSettings } from '../../cluster/cluster-state.ts'
import type { AnyAggregate } from '../../core/aggregate.ts'
import { GlynError, hasCode, isGlynError } from '../../core/errors.ts'
import { silentLog } from '../../core/log.ts'
import { createRpc } from '../../mesh/create-rpc.ts'
import type { MemoryNetwork } from '../../mesh/memory/memory-mesh.ts'
import type { Mesh } from '../../mesh/mesh.ts'
import { formCluster, joinCluster, settle, waitUntil } from '../../node/enter-cluster.ts'
import { assembleNode, type NodeParts } from '../../node/node-parts.ts'
import {
  readClusterSettings,
  readContacts,
  readHistory,
  writeClusterSettings,
} from '../../node/node-settings.ts'
import type { RaftTiming } from '../../partition/raft-engine.ts'
import type { AnyQuery } from '../../query/define-query.ts'
import { createQueryHost, type QueryHost } from '../../query/query-host.ts'
import type { AnyHandler } from '../../reaction/define-handler.ts'
import type { AnyProcess } from '../../reaction/define-process.ts'
import type { RaftWatch, WatchedReplica } from './raft-watch.ts'
import { createRunningNode, type RunningNode } from './running-node.ts'
import type { Dice } from './seeded-random.ts'
import { createSimulatedDisk, type SimulatedDisk } from './simulated-disk.ts'
import { createSimulatedMesh } from './simulated-mesh.ts'
import { createSimulatedProcess, type SimulatedProcess } from './simulated-process.ts'
import { createSimulatedReadModels } from './simulated-read-models.ts'
import type { Story } from './story.ts'
import type { VirtualTime } from './virtual-time.ts'

/** What a node shares with the others of its simulation. */
export interface SimulatedWorld {
  readonly time: VirtualTime
  readonly dice: Dice
  readonly story: Story
  readonly network: MemoryNetwork
  readonly watch: RaftWatch
  readonly violated: (text: string) => void
  readonly aggregates: readonly AnyAggregate[]
  readonly queriesOf: (peerId: string) => readonly AnyQuery[]
  readonly handlersOf: (peerId: string) => readonly AnyHandler[]
  readonly processes: readonly AnyProcess[]
  readonly settings: Omit<ClusterSettings, 'clusterId'>
  readonly timing: RaftTiming
  /** Clocks run so much faster or slower, at most. */
  readonly clockDriftMax: number
  /** Few, so that states are thrown away and loaded again. */
  readonly actorsMax: number
  readonly gossipDelaysMs: () => readonly number[]
}

export interface SimulatedNode {
  readonly peerId: string
  readonly role: 'full' | 'query'
  /** It is no member any more: it left, or was removed. For ever. */
  readonly isGone: boolean
  readonly disk: SimulatedDisk
  /** `failed`: it ended by itself, `failure` says why. */
  readonly state: 'down' | 'starting' | 'ready' | 'paused' | 'stopping' | 'failed'
  readonly failure: string | undefined
  /** Also while it starts. */
  readonly parts: NodeParts | undefined
  readonly running: RunningNode | undefined
  /** The read model of a query that runs here. */
  database(query: string): Database | undefined
  /** As `glyn-node start`; without a cluster on its disk it forms one, or joins through these. */
  start(bootstrap: readonly string[]): void
  crash(): void
  pause(): void
  resume(): void
  /** As SIGTERM: hands leaderships over, finishes, closes. */
  stop(): void
  /** Asks the process for something, as a client does. Throws UNAVAILABLE when it does not serve, and OUTCOME_UNKNOWN when it dies before it answers. */
  call<T>(action: (running: RunningNode) => Promise<T>): Promise<T>
}

const handOverTimeoutMs = 5000
const finishTimeoutMs = 5000
/** Few: a seed has no time for many. */
const checkpointsPerPartMax = 3
const firstWallTimeMs = Date.UTC(2026, 0, 1)

export function createSimulatedNode(
  world: SimulatedWorld,
  { peerId, role }: { readonly peerId: string; readonly role: 'full' | 'query' },
): SimulatedNode {
  const { time, story } = world
  const dice = world.dice.apart(peerId)
  const storageId = `disk-of-${peerId}`
  const disk: SimulatedDisk = createSimulatedDisk({
    time,
    dice: dice.apart('disk'),
    storageId,
    onHardening: batch => world.watch.hardening(replica, batch),
    onDurable: batch => world.watch.durable(replica, batch),
    onRefused: error => world.violated(`the disk of ${peerId} refused a write: ${String(error)}`),
  })
  const replica: WatchedReplica = { peerId, storageId, durable: disk.durable }
  const readModels = createSimulatedReadModels(dice.apart('read models'))
  const rate = 1 + dice.between(-world.clockDriftMax, world.clockDriftMax)
  const wallTimeMs = firstWallTimeMs + dice.between(-60_000, 60_000)
  let incarnation = 0
  let process: SimulatedProcess | undefined
  let parts: NodeParts | undefined
  let running: RunningNode | undefined
  let state: SimulatedNode['state'] = 'down'
  let failure: string | undefined
  let isGone = false
  /** By query. */
  const databases = new Map<string, Database>()
  let closeAll: (() => Promise<void>) | undefined

  function end(ending: SimulatedProcess, next: 'down' | 'failed'): void {
    if (process !== ending) return
    world.network.crash(peerId)
    ending.kill()
    disk.crash()
    readModels.crash()
    databases.clear()
    process = undefined
    parts = undefined
    running = undefined
    state = next
  }

  /** A query that runs here: its database is closed, as it is, when the process dies. */
  const held = (query: AnyQuery): AnyQuery => ({
    ...query,
    init(database: Database) {
      databases.set(query.name, database)
      query.init?.(database)
    },
  })

  async function run(own: SimulatedProcess, bootstrap: readonly string[]): Promise<void> {
    const { clock } = own
    const random = dice.apart(`life ${incarnation}`).random
    const store = disk.open(own)
    const mesh: Mesh = createSimulatedMesh({
      mesh: world.network.createMesh({ peerId, scope: world.settings.scope }),
      process: own,
      gossipDelaysMs: world.gossipDelaysMs,
      onSend(to, channel, frame) {
        story.note(Math.round(time.now() * 1000) + frame.length)
        if (channel !== 'rpc') world.watch.sent(replica, to, frame)
      },
      after: (delayMs, action) => void time.after(delayMs, action),
    })
    await mesh.start()
    const rpc = createRpc({ mesh, clock })
    let settings = readClusterSettings(store)
    const assembled = assembleNode({
      mesh,
      rpc,
      store,
      clock,
      random,
      log: silentLog,
      timing: world.timing,
      topic: world.settings.topic,
      scope: world.settings.scope,
      name: peerId,
      role,
      aggregates: new Map(
        world.aggregates.map(definition => [
          definition.type,
          { definition: withoutSubject(definition), definitionId: 'simulated' },
        ]),
      ),
      handlers: world.handlersOf(peerId),
      processes: world.processes.map(definition => ({ definition, file: null })),
      actorsMax: world.actorsMax,
      checkpointsPerPartMax,
      settings: () => settings,
      onFatal: error => onFatal(own, error),
      onRemoved: error => onRemoved(own, error),
      watch: (partition, listener) =>
        world.watch.listener(replica, partition, { listener, raft: () => assembled.engine.group(partition) }),
    })
    parts = assembled
    let queries: QueryHost | undefined
    closeAll = async () => {
      await queries?.close()
      await assembled.stop()
      await mesh.stop()
      await store.close()
    }
    await assembled.reactions.start()
    assembled.start()
    const options = { ...world.settings, role, bootstrap, log: silentLog } as const
    if (settings === undefined && bootstrap.length > 0) {
      settings = await joinCluster(assembled, options, (found, nodes) =>
        writeClusterSettings(store, found, nodes),
      )
    } else if (settings === undefined) {
      settings = await formCluster(assembled, async () => `cluster-of-${peerId}`, options)
    } else {
      assembled.membership.learn(readContacts(store))
      assembled.membership.greet(bootstrap)
    }
    const found = settings
    assembled.startMembership()
    await settle(assembled, found, { ...options, clock })
    const { feed } = assembled
    queries = createQueryHost({
      queries: world.queriesOf(peerId).map(held),
      dataDirectory: `/${storageId}`,
      connect: readModels.connect,
      source: { heads: feed.heads, onAdvance: feed.onAdvance, read: feed.read, localLog: null },
      clock,
      log: silentLog,
      history: readHistory(store, found.clusterId),
    })
    await queries.start()
    running = createRunningNode({ parts: assembled, clock, settings: found, queries })
    state = 'ready'
    story.tell(`${peerId} is ready`)
  }

  /** It answers nobody any more, and ends. */
  function onRemoved(own: SimulatedProcess, error: Error): void {
    if (process !== own || isGone) return
    story.tell(`${peerId} ends: ${error.message}`)
    isGone = true
    failure = error.message
    state = 'stopping'
    running = undefined
    void closeAll?.().then(() => end(own, 'failed'))
  }

  function onFatal(own: SimulatedProcess, error: Error): void {
    if (process !== own) return
    if (!hasCode(error, 'STORE_FULL', 'EVENT_STORE_ERROR')) {
      world.violated(`${peerId} stopped because of a broken invariant: ${error.message}`)
    }
    story.tell(`${peerId} stops by itself: ${error.message}`)
    failure = error.message
    state = 'stopping'
    running = undefined
    void closeAll?.().then(() => end(own, 'failed'))
  }

  return {
    peerId,
    role,
    disk,
    get state() {
      return process?.state === 'paused' ? 'paused' : state
    },
    get isGone() {
      return isGone
    },
    get failure() {
      return failure
    },
    get parts() {
      return parts
    },
    get running() {
      return running
    },
    database: query => databases.get(query),
    start(bootstrap) {
      if (process !== undefined || isGone) return
      incarnation += 1
      const own = createSimulatedProcess({
        time,
        rate,
        wallTimeMs,
        onUncaught(error) {
          const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
          world.violated(`${peerId} ended by an error that nobody caught: ${why}`)
        },
      })
      process = own
      state = 'starting'
      failure = undefined
      story.tell(`${peerId} starts`)
      run(own, bootstrap).catch((error: unknown) => {
        if (process !== own) return
        failure = error instanceof Error ? error.message : String(error)
        story.tell(`${peerId} cannot start: ${failure}`)
        if (!isGlynError(error)) world.violated(`${peerId} cannot start: ${failure}`)
        end(own, 'failed')
      })
    },
    crash() {
      if (process === undefined) return
      story.tell(`${peerId} crashes`)
      end(process, 'down')
    },
    pause() {
      if (process?.state !== 'running') return
      story.tell(`${peerId} stands still`)
      process.pause()
    },
    resume() {
      if (process?.state !== 'paused') return
      story.tell(`${peerId} goes on`)
      process.resume()
    },
    stop() {
      const own = process
      const assembled = parts
      const close = closeAll
      if (own?.state !== 'running' || state !== 'ready' || assembled === undefined || close === undefined)
        return
      story.tell(`${peerId} is told to stop`)
      state = 'stopping'
      const leave = async (): Promise<void> => {
        await assembled.reactions.drain()
        await assembled.reconciler.handOver({ timeoutMs: handOverTimeoutMs })
        const isFinished = (): boolean => assembled.host.pendingCount() + assembled.router.underWay() === 0
        await waitUntil(isFinished, { clock: own.clock, timeoutMs: finishTimeoutMs })
        await close()
        story.tell(`${peerId} has stopped`)
        end(own, 'down')
      }
      own.take(() => {
        leave().catch((error: unknown) => world.violated(`${peerId} cannot stop: ${String(error)}`))
      })
    },
    call<T>(action: (running: RunningNode) => Promise<T>): Promise<T> {
      const own = process
      return new Promise<T>((resolve, reject) => {
        if (own === undefined) {
          reject(new GlynError('UNAVAILABLE', `${peerId} does not run`))
          return
        }
        own.onKill(() => reject(new GlynError('OUTCOME_UNKNOWN', `${peerId} died`)))
        own.take(() => {
          if (running === undefined) reject(new GlynError('UNAVAILABLE', `${peerId} does not serve yet`))
          else action(running).then(resolve, reject)
        })
      })
    },
  }
}

/** Ids of keys and what is made with them are random, and would make every run another one: data rest as they are here. */
function withoutSubject({ subject: _, ...rest }: AnyAggregate): AnyAggregate {
  return rest
}
