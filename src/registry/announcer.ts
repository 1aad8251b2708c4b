// Writes the placement of the partitions led here into the DHT: on election, when peers come, and again before the
// records grow old, because the DHT neither repeats nor replicates values by itself.
import type { Cancel, Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { withDeadline } from '../mesh/deadline.ts'
import type { Mesh } from '../mesh/mesh.ts'
import { type PlacementRecord, placementKey, sealPlacementRecord } from './placement-record.ts'

/** Elections come in bursts and are followed by transfers: wait for the dust to settle. */
const settleMs = 700
const refreshMs = 10 * 60_000
/** A record that nobody took is tried again after this long. */
const retryMs = 5000
const putTimeoutMs = 5000

export interface AnnouncerInit {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  readonly scope: string
  /** The record of a partition that is led here now; undefined when it is not. */
  readonly recordOf: (partition: number) => PlacementRecord | undefined
  readonly partitions: () => readonly number[]
}

export interface Announcer {
  /** The partition has a new leader here, or new replicas. */
  announce(partition: number): void
  start(): void
  stop(): void
}

export function createAnnouncer(init: AnnouncerInit): Announcer {
  const { clock, mesh, log } = init
  const waiting = new Set<number>()
  let cancelRun: Cancel | undefined
  let cancelRefresh: Cancel = () => {}
  /** Holders refuse what was issued before what they hold: also when the clock of this machine is set back. */
  let lastIssuedAtMs = 0
  let isRunning = false
  let isStopped = false

  function schedule(delayMs: number): void {
    if (isStopped || isRunning) return
    cancelRun ??= clock.after(delayMs, () => {
      cancelRun = undefined
      void run()
    })
  }

  /** One at a time: the DHT is no hot path, and must not become one. */
  async function run(): Promise<void> {
    isRunning = true
    const failed: number[] = []
    for (const partition of waiting) {
      if (isStopped) break
      waiting.delete(partition)
      if (!(await put(partition))) failed.push(partition)
    }
    isRunning = false
    for (const partition of failed) waiting.add(partition)
    if (waiting.size > 0) schedule(failed.length > 0 ? retryMs : settleMs)
  }

  /** True when there is nothing more to do for now. */
  async function put(partition: number): Promise<boolean> {
    const record = init.recordOf(partition)
    if (record === undefined) return true
    const issuedAtMs = Math.max(record.issuedAtMs, lastIssuedAtMs + 1)
    lastIssuedAtMs = issuedAtMs
    try {
      const value = await sealPlacementRecord({ ...record, issuedAtMs }, mesh)
      const key = placementKey(init.scope, partition)
      const { acknowledged } = await withDeadline(clock, putTimeoutMs, signal =>
        mesh.putRecord(key, value, { signal }),
      )
      // Alone, nobody else can take it; our own copy serves those who ask us.
      return acknowledged > 0 || mesh.connectedPeers().length === 0
    } catch (error) {
      if (!isStopped)
        log.debug(
          { partition, error: String(error) },
          'registry: a record could not be written; trying again',
        )
      return false
    }
  }

  function announceAll(): void {
    for (const partition of init.partitions())
      if (init.recordOf(partition) !== undefined) waiting.add(partition)
    if (waiting.size > 0) schedule(settleMs)
  }

  function scheduleRefresh(): void {
    cancelRefresh = clock.after(refreshMs, () => {
      announceAll()
      scheduleRefresh()
    })
  }

  return {
    announce(partition) {
      waiting.add(partition)
      schedule(settleMs)
    },
    start() {
      mesh.onPeerChange((_peerId, connected) => {
        if (connected) announceAll()
      })
      scheduleRefresh()
    },
    stop() {
      isStopped = true
      cancelRun?.()
      cancelRefresh()
      waiting.clear()
    },
  }
}
