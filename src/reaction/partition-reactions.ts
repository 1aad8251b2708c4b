// The reactions of one partition, for as long as this node leads it: begins where the last leader wrote down that it was.
import { type Checkpoint, checkpointKey, lastPart } from './checkpoint-aggregate.ts'
import { type Checkpointer, type CheckpointerInit, createCheckpointer } from './checkpointer.ts'
import { type Cursor, type CursorStatus, createCursor } from './cursor.ts'
import { backoffMs, pause, type Reaction, type ReactionEnvironment } from './reaction.ts'
import { sharePages } from './shared-pages.ts'
import { createTimers, type Timers } from './timers.ts'

export interface PartitionReactionsInit {
  readonly environment: ReactionEnvironment
  readonly partition: number
  readonly term: number
  /** Committed when this leadership began to serve: `now` for a reaction that has never run here. */
  readonly firstIndex: number
  readonly isKnownProcess: (process: string) => boolean
  readonly reactionsOf: (led: Led) => readonly Reaction[]
}

/** What reactions of one leadership share. */
export interface Led {
  readonly partition: number
  readonly timers: Timers
  readonly checkpointer: Checkpointer
}

export interface PartitionReactions {
  readonly partition: number
  readonly term: number
  committed(index: number): void
  /** Reactions that were not there at the beginning. */
  refresh(): void
  status(reaction: string): CursorStatus | undefined
  lag(reaction: string): number
  timers(process: string): number
  /** Begins nothing more, waits so long for what is under way, and writes down what is done. Never rejects. */
  drain(options: { readonly timeoutMs: number }): Promise<void>
  /** This node leads the partition no more. */
  stop(): void
}

export function createPartitionReactions(init: PartitionReactionsInit): PartitionReactions {
  const { partition, term } = init
  const { clock, log } = init.environment
  const { store } = init.environment
  const environment = { ...init.environment, store: { ...store, ...sharePages(store, clock) } }
  const over = new AbortController()
  const { signal } = over
  const timers = createTimers({ environment, partition, signal, isKnown: init.isKnownProcess })
  const cursors = new Map<string, Cursor>()
  /** Also those whose first place is not written down yet. */
  const opened = new Set<string>()
  let isWakeScheduled = false
  let commitIndex = init.firstIndex
  /** Once it is read where the last leader was. */
  let begun: { readonly checkpoint: Checkpoint; readonly checkpointer: Checkpointer } | undefined
  let isDraining = false

  async function begin(): Promise<void> {
    for (let attempt = 1; begun === undefined && !signal.aborted; attempt += 1) {
      try {
        const known = await readKnown()
        if (signal.aborted) return
        const checkpointer = createCheckpointer({ environment, partition, term, known, signal })
        begun = { checkpoint: known.state, checkpointer }
      } catch (error) {
        if (signal.aborted) return
        const text = `reactions: the checkpoint of partition ${partition} cannot be read: ${String(error)}`
        if (attempt > 3) log.warn({ partition, attempt }, text)
        await pause(clock, backoffMs(attempt), signal)
      }
    }
    for (const timer of Object.values(begun?.checkpoint.timers ?? {})) timers.set(timer)
    refresh()
  }

  /** The last part that is whole. One that a leader began and did not end is passed over. */
  async function readKnown(): Promise<CheckpointerInit['known']> {
    const read = async (part: number) => {
      const { state, sequence } = await environment.load(partition, checkpointKey(partition, part))
      return { state: state as Checkpoint, part, sequence }
    }
    // It throws before all that earlier leaders wrote can be read here.
    const first = await read(1)
    const last = await lastPart(store, partition, init.firstIndex)
    for (let part = last; part > 1; part -= 1) {
      const found = await read(part)
      if (found.state.isWhole) return { ...found, lastPart: last }
    }
    return { ...first, lastPart: last }
  }

  function refresh(): void {
    if (begun === undefined || signal.aborted || isDraining) return
    const { checkpoint, checkpointer } = begun
    for (const reaction of init.reactionsOf({ partition, timers, checkpointer })) {
      if (!opened.has(reaction.key)) void open(reaction, checkpoint, checkpointer)
    }
  }

  async function open(
    reaction: Reaction,
    { positions }: Checkpoint,
    checkpointer: Checkpointer,
  ): Promise<void> {
    const { key } = reaction
    opened.add(key)
    const known = positions[key]
    const position = known ?? (reaction.startFrom === 'now' ? init.firstIndex : 0)
    const cursor = createCursor({
      reaction,
      partition,
      environment,
      position,
      commitIndex: () => commitIndex,
      signal,
      onProgress: (index, counts) => checkpointer.note(key, index, counts),
      whenRoom: checkpointer.whenRoom,
    })
    if (known === undefined && reaction.startFrom === 'now') {
      // Written before anything is handled: the next leader must not take a later moment for `now`.
      checkpointer.note(key, position, { performed: 0, passed: 0 })
      await checkpointer.flush()
      if (signal.aborted || isDraining) return
    }
    cursors.set(key, cursor)
    cursor.advance()
  }

  function wake(): void {
    isWakeScheduled = false
    for (const cursor of cursors.values()) cursor.advance()
  }

  // That the leadership serves is heard a moment before the state is complete here.
  clock.soon(() => void begin())

  return {
    partition,
    term,
    committed(index) {
      commitIndex = index
      if (isWakeScheduled) return
      isWakeScheduled = true
      clock.soon(wake)
    },
    refresh,
    status: key => cursors.get(key)?.status(),
    lag: key => Math.max(0, commitIndex - (cursors.get(key)?.status().position ?? commitIndex)),
    timers: process => timers.count(process),
    async drain({ timeoutMs }) {
      isDraining = true
      timers.stop()
      const waiting = new AbortController()
      const drained = Promise.all([...cursors.values()].map(cursor => cursor.drain()))
      void drained.then(() => waiting.abort())
      await pause(clock, timeoutMs, waiting.signal)
      await begun?.checkpointer.flush()
    },
    stop: () => over.abort(),
  }
}
