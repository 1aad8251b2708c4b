// A disk on virtual time: what is written becomes durable after a while, in order, several batches with one fsync. A crash
// loses what was not durable; a disk can be slow, full, or fail for good.
import { GlynError } from '../../core/errors.ts'
import { createMemoryStore } from '../../store/memory/memory-store.ts'
import type { LocalStore, StoreBatch } from '../../store/store.ts'
import type { Dice } from './seeded-random.ts'
import type { SimulatedProcess } from './simulated-process.ts'
import type { VirtualTime } from './virtual-time.ts'

/** How the disk does from now on. */
export interface DiskHealth {
  /** Of one fsync. */
  readonly syncMsMin: number
  readonly syncMsMax: number
  /** What the next fsync ends with. */
  readonly failure: 'none' | 'fails' | 'full'
}

export const healthyDisk: DiskHealth = { syncMsMin: 0.2, syncMsMax: 2, failure: 'none' }

export interface SimulatedDisk {
  readonly storageId: string
  /** What a crash would leave. */
  readonly durable: LocalStore
  health: DiskHealth
  /** For one process: what others opened before is dead. */
  open(process: SimulatedProcess): LocalStore
  /** The power goes: of what was under way a part may be durable, in order. */
  crash(): void
}

export interface SimulatedDiskInit {
  readonly time: VirtualTime
  readonly dice: Dice
  readonly storageId: string
  /** Told of each batch right before it becomes durable, and when it has, before the process hears of it. */
  readonly onHardening: (batch: StoreBatch) => void
  readonly onDurable: (batch: StoreBatch) => void
  /** A batch that no store may take. */
  readonly onRefused: (error: unknown) => void
}

interface Waiting {
  readonly batch: StoreBatch
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export function createSimulatedDisk(init: SimulatedDiskInit): SimulatedDisk {
  const { time, dice } = init
  const durable = createMemoryStore({ storageId: init.storageId })
  let health = healthyDisk
  /** The group whose fsync is under way, of the process that is. Empty again as soon as the disk is done with it. */
  let syncing: readonly Waiting[] = []
  let generation = 0

  /** Takes effect at once. Rejects when the store refuses what no store may take. */
  async function harden(batch: StoreBatch): Promise<void> {
    init.onHardening(batch)
    await durable.write(batch)
    init.onDurable(batch)
  }

  function open(process: SimulatedProcess): LocalStore {
    generation += 1
    const own = generation
    let waiting: Waiting[] = []
    let failure: unknown
    let isClosed = false
    /** Until the process has heard how the fsync ended. */
    let isBusy = false

    function sync(): void {
      if (isBusy || waiting.length === 0) return
      isBusy = true
      syncing = waiting
      waiting = []
      const { syncMsMin, syncMsMax } = health
      time.after(dice.between(syncMsMin, syncMsMax), () => {
        if (own === generation) finish()
      })
    }

    function finish(): void {
      const group = syncing
      syncing = []
      if (health.failure !== 'none') {
        const error = failureOf(health.failure)
        // After a failed fsync nobody knows what the disk holds.
        if (health.failure === 'fails') hardenSome(group)
        process.take(() => fail(group, error))
        return
      }
      Promise.all(group.map(({ batch }) => harden(batch))).then(
        () =>
          process.take(() => {
            isBusy = false
            for (const { resolve } of group) resolve()
            sync()
          }),
        (error: unknown) => process.take(() => fail(group, error)),
      )
    }

    function fail(group: readonly Waiting[], error: unknown): void {
      failure = error
      for (const { reject } of [...group, ...waiting]) reject(error)
      waiting = []
    }

    return {
      ...durable,
      location: `disk of ${init.storageId}`,
      write(batch) {
        if (failure !== undefined) return Promise.reject(failure)
        if (isClosed) return Promise.reject(new GlynError('SHUTTING_DOWN', 'store: it is closed'))
        return new Promise<void>((resolve, reject) => {
          waiting.push({ batch, resolve, reject })
          sync()
        })
      },
      async close() {
        isClosed = true
      },
    }
  }

  function hardenSome(group: readonly Waiting[]): void {
    for (const { batch } of group.slice(0, dice.integer(0, group.length))) harden(batch).catch(init.onRefused)
  }

  return {
    storageId: init.storageId,
    durable,
    get health() {
      return health
    },
    set health(next) {
      health = next
    },
    open,
    crash() {
      generation += 1
      hardenSome(syncing)
      syncing = []
    },
  }
}

const failureOf = (kind: 'fails' | 'full'): GlynError =>
  kind === 'full'
    ? new GlynError('STORE_FULL', 'store: the disk is full')
    : new GlynError('EVENT_STORE_ERROR', 'store: the fsync failed')
