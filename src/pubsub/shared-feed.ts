// The feed of a node on a shared store: every node reads the store itself. What others say of it only makes it look.
import type { Cancel, Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { StoredEvent } from '../core/record.ts'
import { isSystemType } from '../core/system-types.ts'
import type { SharedStore } from '../store/shared-store.ts'
import type { Feed } from './feed.ts'

/** So often the store is asked how far it is: nothing depends on gossip, and others write to the store, too. */
const lookMs = 1000
/** Hints that come together make one question. */
const hintMs = 5
/** A store that does not show what it said it has is asked again after this long. */
const emptyPageMs = 100
/** Pages that several queries read one after the other. */
const pagesMax = 32

export interface SharedFeedInit {
  readonly store: Pick<SharedStore, 'heads' | 'readLog'>
  readonly clock: Clock
  readonly log: Log
  /** Every data partition. */
  readonly partitions: () => readonly number[]
  /** The partition is further than before. */
  readonly onHead: (partition: number, index: number) => void
}

export interface SharedFeed extends Feed {
  headOf(partition: number): number
  /** This node appended through this index. */
  appended(partition: number, index: number): void
  /** Asks the store. Resolves with heads as they were at some moment after the call. */
  refresh(): Promise<ReadonlyMap<number, number>>
}

interface Page {
  readonly events: readonly StoredEvent[]
  readonly throughIndex: number
}

export function createSharedFeed(init: SharedFeedInit): SharedFeed {
  const { store, clock, log } = init
  const heads = new Map<number, number>()
  const listeners = new Set<() => void>()
  /** By where it begins; as the partition was when it was read. */
  const pages = new Map<string, { readonly head: number; readonly page: Promise<Page> }>()
  let isNoticeScheduled = false
  let cancelLook: Cancel = () => {}
  let hint: Cancel | undefined
  let asking: Promise<ReadonlyMap<number, number>> | undefined
  let next: Promise<ReadonlyMap<number, number>> | undefined
  let isStopped = false

  function notice(): void {
    if (isNoticeScheduled || listeners.size === 0) return
    isNoticeScheduled = true
    clock.soon(() => {
      isNoticeScheduled = false
      for (const listener of [...listeners]) listener()
    })
  }

  function learn(partition: number, index: number): void {
    if (index <= (heads.get(partition) ?? 0)) return
    heads.set(partition, index)
    init.onHead(partition, index)
    notice()
  }

  async function ask(): Promise<ReadonlyMap<number, number>> {
    const found = await store.heads()
    for (const [partition, index] of found) learn(partition, index)
    return found
  }

  function begin(): Promise<ReadonlyMap<number, number>> {
    const asked = ask()
    asking = asked
    const done = (): void => {
      if (asking === asked) asking = undefined
    }
    asked.then(done, done)
    return asked
  }

  /** A question that is under way speaks of a time before: those who come now share the next one. */
  function refresh(): Promise<ReadonlyMap<number, number>> {
    if (asking === undefined) return begin()
    next ??= asking
      .catch(() => {})
      .then(() => {
        next = undefined
        return begin()
      })
    return next
  }

  function look(): void {
    if (isStopped) return
    refresh().catch((error: unknown) =>
      log.debug({ error: String(error) }, 'feed: the store did not say how far it is'),
    )
  }

  function scheduleLook(): void {
    cancelLook = clock.after(lookMs, () => {
      look()
      scheduleLook()
    })
  }

  async function readPage(
    partition: number,
    range: { readonly afterIndex: number; readonly limit: number },
  ): Promise<Page> {
    const rows = await store.readLog(partition, range)
    const throughIndex = rows.at(-1)?.index
    if (throughIndex === undefined) {
      await new Promise<void>(resolve => clock.after(emptyPageMs, resolve))
      const text = `the store shows nothing of partition ${partition} after ${range.afterIndex} yet`
      throw new GlynError('UNAVAILABLE', text)
    }
    learn(partition, throughIndex)
    return { events: rows.filter(isForReaders), throughIndex }
  }

  function sharedPage(
    partition: number,
    range: { readonly afterIndex: number; readonly limit: number },
  ): Promise<Page> {
    const name = `${partition} ${range.afterIndex} ${range.limit}`
    const head = heads.get(partition) ?? 0
    const known = pages.get(name)
    if (known?.head === head) return known.page
    const page = readPage(partition, range)
    pages.delete(name)
    pages.set(name, { head, page })
    page.catch(() => {
      if (pages.get(name)?.page === page) pages.delete(name)
    })
    for (const oldest of pages.keys()) {
      if (pages.size <= pagesMax) break
      pages.delete(oldest)
    }
    return page
  }

  return {
    heads: () => new Map(init.partitions().map(partition => [partition, heads.get(partition) ?? 0])),
    headOf: partition => heads.get(partition) ?? 0,
    onAdvance(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    readableThrough: partition => heads.get(partition) ?? 0,
    async read(partition, range, { signal }) {
      if (range.afterIndex >= (heads.get(partition) ?? 0))
        return { events: [], throughIndex: range.afterIndex }
      signal.throwIfAborted()
      return await sharedPage(partition, range)
    },
    committed() {},
    appended: learn,
    receive({ heads: told }) {
      if (hint !== undefined || !told.some(({ partition, index }) => index > (heads.get(partition) ?? 0)))
        return
      hint = clock.after(hintMs, () => {
        hint = undefined
        look()
      })
    },
    refresh,
    start() {
      look()
      scheduleLook()
    },
    stop() {
      isStopped = true
      cancelLook()
      hint?.()
      listeners.clear()
    },
  }
}

/** What glyn-node stores for itself is passed over. */
const isForReaders = ({ aggregateType }: StoredEvent): boolean => !isSystemType(aggregateType)
