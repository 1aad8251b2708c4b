// Writes down how far the reactions of one partition are: one entry for all of them, every so often, and none when nothing
// has happened but checkpoints.
import type { Cancel } from '../core/clock.ts'
import { ownIdPrefix } from '../core/system-types.ts'
import {
  applyChange,
  beginningOf,
  type Checkpoint,
  type CheckpointChange,
  changesOf,
  checkpointKey,
  type PendingTimer,
  timerKey,
} from './checkpoint-aggregate.ts'
import { backoffMs, pause, type ReactionEnvironment } from './reaction.ts'

/** After a crash so much is done again at most: what was done within this time … */
const checkpointMs = 1000
/** … or so many events, whichever comes first. */
const performedMax = 200
/** So many events that no reaction wanted are read again at most. */
const passedMax = 5000
/** Changes of timers in one entry: they fit an event. One step of an instance may forget more than that. */
const timerChangesMax = 400
/** Entries of a part, before the next one begins: a new leader reads no more. */
const checkpointsPerPartMax = 500

export interface Checkpointer {
  /** Everything through `position` is done. */
  note(
    reaction: string,
    position: number,
    counts: { readonly performed: number; readonly passed: number },
  ): void
  /** A timer was set by a row that the next position of its reaction includes. */
  set(timer: PendingTimer): void
  gone(key: string): void
  /** A wait when too many changes of timers are not written yet. */
  whenRoom(): Promise<void> | undefined
  /** Resolves when everything noted before is durable, or the leadership is over. */
  flush(): Promise<void>
}

export interface CheckpointerInit {
  readonly environment: ReactionEnvironment
  readonly partition: number
  /** Makes the ids of the checkpoints of this leadership its own. */
  readonly term: number
  /** What the last leader wrote down, in this part, where it has so many entries; parts up to `lastPart` have begun. */
  readonly known: {
    readonly state: Checkpoint
    readonly part: number
    readonly sequence: number
    readonly lastPart: number
  }
  readonly signal: AbortSignal
}

export function createCheckpointer(init: CheckpointerInit): Checkpointer {
  const { environment, partition, signal } = init
  const { clock, log } = environment
  let positions: Record<string, number> = {}
  let set = new Map<string, PendingTimer>()
  let gone = new Set<string>()
  let performed = 0
  let passed = 0
  let cancel: Cancel | undefined
  let writing: Promise<void> | undefined
  let written = 0
  let { state, part, sequence, lastPart } = init.known
  const scope = environment.checkpointScope?.() ?? ''
  /** After the term, and after whoever wrote before: terms of a recovered cluster, or of the next one, may begin anew. */
  const epoch =
    environment.checkpointScope === undefined ? undefined : Math.max(init.term, (state.epoch ?? 0) + 1)
  const leadership = epoch === undefined ? `${init.term}` : `${init.term}.${epoch}`
  const perPartMax = environment.checkpointsPerPartMax ?? checkpointsPerPartMax

  signal.addEventListener('abort', () => cancel?.())

  function take(): CheckpointChange {
    const change: CheckpointChange = {
      positions,
      ...(set.size === 0 ? {} : { set: [...set.values()] }),
      ...(gone.size === 0 ? {} : { gone: [...gone] }),
    }
    positions = {}
    set = new Map()
    gone = new Set()
    performed = 0
    passed = 0
    cancel?.()
    cancel = undefined
    return change
  }

  /** All of it is in the log then, or the leadership is over. */
  async function write(change: CheckpointChange): Promise<void> {
    state = applyChange(state, change)
    const isLast = sequence >= perPartMax
    if (isLast) {
      lastPart += 1
      part = lastPart
      sequence = 0
    }
    for (const one of isLast ? beginningOf(state, timerChangesMax) : changesOf(change, timerChangesMax)) {
      sequence += 1
      await propose(one)
    }
  }

  async function propose(change: CheckpointChange): Promise<void> {
    written += 1
    const envelope = {
      aggregate: checkpointKey(partition, part),
      command: { type: 'Checkpoint', data: epoch === undefined ? change : { ...change, epoch } },
      commandId: `${ownIdPrefix}checkpoint/${scope}${partition}/${leadership}.${written}`,
      metadata: {},
    }
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      try {
        await environment.execute(partition, envelope)
        return
      } catch (error) {
        if (signal.aborted) return
        const text = `reactions: a checkpoint of partition ${partition} was not written: ${String(error)}`
        if (attempt > 3) log.warn({ partition, attempt }, text)
        await pause(clock, backoffMs(attempt), signal)
      }
    }
  }

  async function flush(): Promise<void> {
    while (writing !== undefined) await writing
    if (signal.aborted) return
    if (Object.keys(positions).length === 0 && set.size === 0 && gone.size === 0) return
    writing = write(take()).finally(() => {
      writing = undefined
    })
    await writing
  }

  function onTime(): void {
    cancel = undefined
    void flush()
  }

  const changes = (): number => set.size + gone.size

  return {
    note(reaction, position, counts) {
      positions[reaction] = position
      performed += counts.performed
      passed += counts.passed
      const isDue = performed >= performedMax || passed >= passedMax
      if (isDue && writing === undefined) void flush()
      else if (isDue || performed > 0 || changes() > 0) cancel ??= clock.after(checkpointMs, onTime)
    },
    set(timer) {
      const key = timerKey(timer)
      gone.delete(key)
      set.set(key, timer)
    },
    gone(key) {
      set.delete(key)
      gone.add(key)
    },
    whenRoom: () => (changes() >= timerChangesMax ? flush() : undefined),
    flush,
  }
}
