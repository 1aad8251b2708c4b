// Writes into the log of each aggregate that a key of its was destroyed: queries and other readers hear of it as of any event,
// in its place and exactly once. Whoever leads the aggregate does it, so nobody has to remember who wanted it.
import type { Cancel, Clock } from '../core/clock.ts'
import type { AggregateKey, CommandEnvelope } from '../core/command.ts'
import { hasCode } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { type Forgotten, forgetIdPrefix } from '../core/system-types.ts'
import type { KeyStore, SubjectKey } from '../store/key-store.ts'

/** What failed (a majority that is away) is tried again after this long. */
const againMs = 1000
/** Commands under way at the same time. */
const lanesMax = 8

export interface Tombstones {
  /** Keys were destroyed, or this node leads something more. */
  wake(): void
  /** Of a subject: destroyed keys of aggregates that this node leads and whose log does not say so yet. */
  pending(subject: string): number
  stop(): void
}

export function createTombstones(init: {
  readonly store: KeyStore
  readonly clock: Clock
  readonly log: Log
  readonly partitionOf: (aggregate: AggregateKey) => number
  readonly leads: (partition: number) => boolean
  readonly execute: (partition: number, command: CommandEnvelope) => Promise<unknown>
}): Tombstones {
  const { store, clock, log } = init
  let isStopped = false
  let isRunning = false
  let isWoken = false
  let cancel: Cancel = () => {}

  const isMine = ({ aggregate }: SubjectKey): boolean => init.leads(init.partitionOf(aggregate))

  function wake(): void {
    isWoken = true
    if (isRunning || isStopped) return
    isRunning = true
    cancel()
    clock.soon(() => {
      run()
        .catch((error: unknown) => {
          log.warn({ error: String(error) }, 'forgetting: the keys cannot be read; tried again')
          return false
        })
        .then(isDone => {
          isRunning = false
          if (isStopped) return
          if (isWoken) wake()
          else if (!isDone) cancel = clock.after(againMs, wake)
        })
    })
  }

  /** False when something is left to do. */
  async function run(): Promise<boolean> {
    isWoken = false
    const waiting = store.untold().filter(isMine)
    let isDone = true
    const lane = async (): Promise<void> => {
      for (let key = waiting.pop(); key !== undefined && !isStopped; key = waiting.pop()) {
        const isTold = await tell(key)
        isDone &&= isTold
      }
    }
    await Promise.all(Array.from({ length: Math.min(lanesMax, waiting.length) }, lane))
    return isDone
  }

  async function tell({ id, aggregate }: SubjectKey): Promise<boolean> {
    const data: Forgotten = { type: null, key: id }
    try {
      // Its id follows from the key: whoever leads later, and tells it again, is told that it was done.
      await init.execute(init.partitionOf(aggregate), {
        aggregate,
        command: { type: 'Forget', data },
        commandId: `${forgetIdPrefix}${id}`,
        metadata: {},
      })
      await store.markTold([id])
      return true
    } catch (error) {
      if (hasCode(error, 'SHUTTING_DOWN')) return true
      // The next leader tells it, unless that is this node, which does not serve yet.
      if (hasCode(error, 'NOT_LEADER')) return !init.leads(init.partitionOf(aggregate))
      const text = `forgetting: ${aggregate.type} ${aggregate.id} could not be told: ${String(error)}; tried again`
      log[hasCode(error, 'OUTCOME_UNKNOWN', 'OVERLOADED', 'UNAVAILABLE') ? 'debug' : 'warn']({}, text)
      return false
    }
  }

  return {
    wake,
    pending: subject => {
      const told = new Set(store.untold().map(({ id }) => id))
      return store.keysOf(subject).filter(key => told.has(key.id) && isMine(key)).length
    },
    stop() {
      isStopped = true
      cancel()
    },
  }
}
