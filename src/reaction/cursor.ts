// One reaction in one partition: reads on from its place, performs what is wanted, lane by lane, and knows how far
// everything is done.
import type { StoredEvent } from '../core/record.ts'
import { plainStack } from '../plugin/plugin-files.ts'
import { backoffMs, type LastError, pause, type Reaction, type ReactionEnvironment } from './reaction.ts'

/** Rows read at a time: what one lane holds up, and what is kept in memory meanwhile, is not more than this … */
const pageRows = 200
/** … nor much more than so many characters: one entry is, where the first alone is larger. */
const pageCharactersMax = 2 * 1024 * 1024
/** A store that cannot be read is tried again after this long. */
const readAgainMs = 1000

export interface CursorInit {
  readonly reaction: Reaction
  readonly partition: number
  readonly environment: ReactionEnvironment
  /** Index that is done already. */
  readonly position: number
  /** Of the partition: committed and durable here. */
  readonly commitIndex: () => number
  readonly signal: AbortSignal
  /** Everything through the position is done. `performed`: rows that the reaction had to do with since the last call. */
  readonly onProgress: (
    position: number,
    counts: { readonly performed: number; readonly passed: number },
  ) => void
  /** Waited for before the next row: the checkpoint has to keep up. */
  readonly whenRoom?: () => Promise<void> | undefined
}

export interface CursorStatus {
  readonly position: number
  readonly state: 'running' | 'retrying' | 'stopped'
  readonly lastError: LastError | null
}

export interface Cursor {
  /** More may be committed. */
  advance(): void
  status(): CursorStatus
  /** Finishes what is under way and begins nothing more. Resolves when nothing is under way. */
  drain(): Promise<void>
}

export function createCursor(init: CursorInit): Cursor {
  const { reaction, partition, environment, signal } = init
  const { clock, store, log } = environment
  let position = init.position
  let isPumping = false
  let isDraining = false
  let isStopped = false
  let lastError: LastError | null = null
  /** Rows that failed and are tried again. */
  let failing = 0
  let underWay = 0
  /** Fewer where events are large: what does not fit a page is read in vain. */
  let limit = pageRows
  const drained: (() => void)[] = []

  const isOver = (): boolean => signal.aborted || isStopped || isDraining

  function advance(): void {
    if (isPumping || isOver() || position >= init.commitIndex()) return
    isPumping = true
    pump().then(
      () => {
        isPumping = false
        // What was committed while the last page was ending.
        if (position < init.commitIndex()) clock.soon(advance)
      },
      (error: unknown) => {
        isPumping = false
        remember(error)
        log.error({ reaction: reaction.key, partition }, `${reaction.key}: ${String(error)}; tried again`)
        clock.after(readAgainMs, advance)
      },
    )
  }

  async function pump(): Promise<void> {
    while (!isOver() && position < init.commitIndex()) {
      const throughIndex = init.commitIndex()
      const read = store.readPartition(partition, { afterIndex: position, throughIndex, limit })
      const rows = read instanceof Promise ? await read : read
      if (isOver()) return
      const page = cut(rows)
      limit = page.length < rows.length ? page.length : Math.min(pageRows, limit * 2)
      if (page.length === 0) moveTo(throughIndex, { performed: 0, passed: 0 })
      else await perform(page)
      if (position < init.commitIndex()) await new Promise<void>(resolve => void clock.soon(resolve))
    }
  }

  function moveTo(index: number, counts: { readonly performed: number; readonly passed: number }): void {
    if (index > position) position = index
    init.onProgress(position, counts)
  }

  /** A page. Ends when all of it is done, or nothing more shall be begun. */
  async function perform(rows: readonly StoredEvent[]): Promise<void> {
    const done = new Array<boolean>(rows.length).fill(false)
    const lanes = new Map<string, number[]>()
    let next = 0
    let performed = 0
    let passed = 0

    /** Entries whole: a position never lies within one. */
    const settle = (): void => {
      let index = 0
      while (next < rows.length && done[next] === true) {
        if (rows[next]?.index !== rows[next + 1]?.index) index = rows[next]?.index ?? 0
        next += 1
      }
      if (index === 0 || signal.aborted) return
      moveTo(index, { performed, passed })
      performed = 0
      passed = 0
    }

    for (const [place, row] of rows.entries()) {
      const lane = reaction.laneOf(row)
      if (lane === null) {
        done[place] = true
        passed += 1
      } else {
        const places = lanes.get(lane)
        if (places === undefined) lanes.set(lane, [place])
        else places.push(place)
      }
    }
    settle()
    if (lanes.size === 0) return
    const waiting = [...lanes.values()]
    const run = async (): Promise<void> => {
      for (let lane = waiting.shift(); lane !== undefined; lane = waiting.shift()) {
        for (const place of lane) {
          const row = rows[place]
          if (row === undefined || isOver()) return
          if (!(await performRow(row))) return
          done[place] = true
          performed += 1
          settle()
          const room = init.whenRoom?.()
          if (room !== undefined) await room
        }
      }
    }
    await Promise.all(Array.from({ length: Math.min(reaction.lanesMax, lanes.size) }, run))
  }

  /** True when it is done, or is left undone for good. */
  async function performRow(row: StoredEvent): Promise<boolean> {
    underWay += 1
    let hasFailed = false
    try {
      for (let attempt = 1; ; attempt += 1) {
        try {
          const performing = reaction.perform(row, { partition, signal, attempt })
          if (performing !== undefined) await performing
          return !signal.aborted
        } catch (error) {
          if (signal.aborted) return false
          remember(error)
          const next = reaction.afterFailure(error, attempt)
          const what = `${reaction.key}: event ${row.aggregateType}/${row.aggregateId}/${row.sequence}: ${messageOf(error)}`
          const fields = { reaction: reaction.key, partition, index: row.index, attempt }
          if (next === 'skip') {
            log.error(fields, `${what}; it is skipped, as onError says`)
            return true
          }
          if (next === 'stop') {
            isStopped = true
            log.error(fields, `${what}; stopped on this partition, as onError says`)
            return false
          }
          if (!hasFailed) failing += 1
          hasFailed = true
          const delayMs = backoffMs(attempt)
          log.warn(fields, `${what}; tried again in ${delayMs} ms`)
          await pause(clock, delayMs, signal)
          if (isOver()) return false
        }
      }
    } finally {
      if (hasFailed) failing -= 1
      underWay -= 1
      if (underWay === 0) for (const tell of drained.splice(0)) tell()
    }
  }

  function remember(error: unknown): void {
    const time = new Date(clock.wallTime()).toISOString()
    lastError = { message: messageOf(error), stack: plainStack(error), time }
  }

  return {
    advance,
    status: () => ({
      position,
      state: isStopped ? 'stopped' : failing > 0 ? 'retrying' : 'running',
      lastError,
    }),
    drain() {
      isDraining = true
      if (underWay === 0) return Promise.resolve()
      return new Promise(resolve => drained.push(resolve))
    },
  }
}

/** Whole entries from the first on. */
function cut(rows: readonly StoredEvent[]): readonly StoredEvent[] {
  let characters = 0
  for (const [place, { index, data, metadata }] of rows.entries()) {
    if (characters >= pageCharactersMax && index !== rows[place - 1]?.index) return rows.slice(0, place)
    characters += data.length + metadata.length
  }
  return rows
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
