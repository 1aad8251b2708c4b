// `leave`, as the leaving node sees it: says so in the controller's log, and watches its replicas go.
import type { Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import { controllerPartition } from '../core/partition-of.ts'
import { peerIdOf } from '../core/replica-id.ts'
import type { ClusterNode, ClusterState } from './cluster-state.ts'
import type { ControllerLog } from './controller-log.ts'
import type { Seats, SeatTable } from './seats.ts'

const submitTimeoutMs = 10_000
/** The progress is told this often. */
const tellMs = 250
/** Elections are short. What lasts longer than this holds the leave up. */
const troubleMs = 3000

/** How far a node is that leaves. */
export interface LeaveProgress {
  /** Replicas of data partitions that this node still has, as their leaders say. */
  readonly replicas: number
  /** Partitions that it still leads. */
  readonly leads: number
  /** Replicas when this call began to watch. */
  readonly total: number
  /** What holds it up, in words; empty while replicas move. */
  readonly waitsFor: readonly string[]
}

export interface LeaveOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: LeaveProgress) => void) | undefined
}

export interface Leaving {
  /**
   * Resolves when this node is removed. Throws INVALID_ARGUMENT for the last node that holds replicas, UNAVAILABLE when
   * the controller does not take it in ten seconds, SHUTTING_DOWN, and the signal's reason: then the node goes on leaving all the same.
   */
  leave(options: LeaveOptions): Promise<void>
  /** Stays after all. What moved away comes back. Throws MEMBER_REMOVED when it is too late. */
  cancel(): Promise<void>
  /** A call of `leave` waits for its end. */
  isUnderWay(): boolean
  /** Ends every call with SHUTTING_DOWN. */
  stop(): void
}

export function createLeaving(init: {
  readonly self: string
  readonly clock: Clock
  readonly controller: ControllerLog
  readonly seats: Seats
  readonly isReachable: (peerId: string) => boolean
  readonly isRemoved: () => boolean
}): Leaving {
  const { self, clock, controller } = init
  let isStopped = false
  let underWay = 0
  /** How often it was called off. */
  let cancellations = 0
  let before: ClusterNode['state'] | undefined
  controller.onChange(() => {
    const now = controller.state().nodes.get(self)?.state
    if (before === 'draining' && now === 'active') cancellations += 1
    before = now
  })

  const drain = (isDraining: boolean): Promise<void> =>
    controller.submit({ type: 'drain-node', peerId: self, isDraining }, { timeoutMs: submitTimeoutMs })

  async function leave({ signal, onProgress }: LeaveOptions): Promise<void> {
    const cancelledBefore = cancellations
    await drain(true)
    let total = 0
    const troubles = createTroubles(clock)
    while (!init.isRemoved()) {
      signal?.throwIfAborted()
      if (isStopped)
        throw new GlynError(
          'SHUTTING_DOWN',
          `node ${self} stops before it has left; it goes on when it is started again`,
        )
      if (cancellations > cancelledBefore)
        throw new GlynError('INVALID_ARGUMENT', `node ${self} was told to stay after all`)
      const progress = progressOf(await init.seats.gather(), {
        self,
        total,
        state: controller.state(),
        isReachable: init.isReachable,
        hasLasted: troubles.hasLasted,
        controllerTrouble: controller.leader() === null ? controller.leaderInWords() : null,
      })
      total = progress.total
      if (!init.isRemoved()) onProgress?.(progress)
      await new Promise<void>(resolve => clock.after(tellMs, resolve))
    }
  }

  return {
    async leave(options) {
      if (init.isRemoved()) return
      underWay += 1
      try {
        await leave(options)
      } finally {
        underWay -= 1
      }
    },
    isUnderWay: () => underWay > 0,
    async cancel() {
      const countedBefore = cancellations
      await drain(false)
      const deadline = clock.now() + submitTimeoutMs
      const stateHere = (): ClusterNode['state'] | undefined => controller.state().nodes.get(self)?.state
      while (stateHere() === 'draining' && !init.isRemoved() && clock.now() < deadline)
        await new Promise<void>(resolve => clock.after(tellMs / 10, resolve))
      if (init.isRemoved() || stateHere() === 'removed')
        throw new GlynError('MEMBER_REMOVED', `node ${self} has left already`)
      // Both changes may have come to the log here in one piece.
      if (cancellations === countedBefore) cancellations += 1
    },
    stop() {
      isStopped = true
    },
  }
}

function progressOf(
  table: SeatTable,
  from: {
    readonly self: string
    readonly total: number
    readonly state: ClusterState
    readonly isReachable: (peerId: string) => boolean
    readonly hasLasted: (what: string, isSo: boolean) => boolean
    readonly controllerTrouble: string | null
  },
): LeaveProgress {
  const { self, state, isReachable } = from
  const silent: number[] = []
  const awaited = new Set<string>()
  let replicas = 0
  let leads = 0
  for (
    let partition = controllerPartition + 1;
    partition <= (state.settings?.partitions ?? 0);
    partition += 1
  ) {
    const known = table.get(partition) ?? []
    const isSilent = !known.some(({ isSure }) => isSure)
    if (from.hasLasted(String(partition), isSilent)) silent.push(partition)
    const isSeated = known.some(({ configuration: { voters, learners } }) =>
      [...voters, ...learners].some(id => peerIdOf(id) === self),
    )
    if (!isSeated) continue
    replicas += 1
    if (known.some(({ leader }) => leader === self)) leads += 1
    for (const id of state.wanted.get(partition)?.voters ?? [])
      if (!isReachable(peerIdOf(id))) awaited.add(peerIdOf(id))
  }
  const waitsFor = [...awaited].map(
    peerId =>
      `node ${state.nodes.get(peerId)?.name ?? ''} (${peerId}) cannot be reached, and shall take replicas over`,
  )
  if (silent.length > 0) waitsFor.push(`partition ${silent.join(', ')} has no leader`)
  const { controllerTrouble } = from
  if (from.hasLasted('controller', controllerTrouble !== null) && controllerTrouble !== null)
    waitsFor.push(controllerTrouble)
  return { replicas, leads, total: Math.max(from.total, replicas), waitsFor }
}

/** Tells what has been so for a while from what passes. */
function createTroubles(clock: Clock) {
  const since = new Map<string, number>()
  return {
    hasLasted(what: string, isSo: boolean): boolean {
      if (!isSo) since.delete(what)
      else if (!since.has(what)) since.set(what, clock.now())
      return clock.now() - (since.get(what) ?? Number.POSITIVE_INFINITY) >= troubleMs
    },
  }
}
