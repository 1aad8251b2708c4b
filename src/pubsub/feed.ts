// Turns hints into the truth: knows how far every partition is, and hands out committed events in order, each once,
// from the local replica or, without one, from what gossip brought or a replica elsewhere.
import type { Cancel, Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { type StoredEvent, toStoredEvents } from '../core/record.ts'
import { isSystemType } from '../core/system-types.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { Entry } from '../raft/entry.ts'
import { decodeRecord } from '../store/record-codec.ts'
import type { LocalStore } from '../store/store.ts'
import { RecentEntries } from './recent-entries.ts'
import { decodeEntries, encodeEntries, type TopicMessage } from './topic-message.ts'

const fetchMethod = 'feed.fetch'
const headsMethod = 'feed.heads'
/** A lost last message is noticed after this long. */
const watchdogMs = 1000
const fetchTimeoutMs = 5000
/** A local replica that is behind is waited for this long, then another is asked. */
const catchUpMs = 500
/** Bytes of entries in one answer to a fetch. */
const fetchBytesMax = 1024 * 1024

export interface FeedInit {
  readonly store: LocalStore
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  /** Every data partition. */
  readonly partitions: () => readonly number[]
  /** True when this node holds a replica that follows the log. */
  readonly isLocal: (partition: number) => boolean
  /** Peers that should hold a replica, the likely leader first. */
  readonly replicasOf: (partition: number) => readonly string[]
  readonly isMember: (peerId: string) => boolean
  readonly isConnected: (peerId: string) => boolean
  /** Who leads a partition, as far as this node knows: told to nodes without a replica together with the heads. */
  readonly leaderOf: (partition: number) => KnownLeader
  readonly onLeader: (partition: number, known: KnownLeader) => void
}

interface KnownLeader {
  /** Peer id. */
  readonly leader: string | null
  readonly term: number
}

export interface Feed {
  heads(): ReadonlyMap<number, number>
  onAdvance(listener: () => void): () => void
  /** How far the local replica's log is committed; 0 without one. */
  readableThrough(partition: number): number
  read(
    partition: number,
    range: { readonly afterIndex: number; readonly limit: number },
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly events: readonly StoredEvent[]; readonly throughIndex: number }>
  /** The local replica has committed through this index. */
  committed(partition: number, index: number): void
  /** A message of the topic, from a member. */
  receive(message: TopicMessage): void
  start(): void
  stop(): void
}

export function createFeed(init: FeedInit): Feed {
  const { store, rpc, clock, log } = init
  /** Committed in the local replica. */
  const local = new Map<number, number>()
  /** Heard from others. */
  const heard = new Map<number, number>()
  /** What readers were told. It never goes back, also when a partition becomes local and its replica still catches up. */
  const told = new Map<number, number>()
  const recent = new RecentEntries()
  const listeners = new Set<() => void>()
  let isNoticeScheduled = false
  let cancelWatchdog: Cancel = () => {}
  let watched = 0

  function notice(): void {
    if (isNoticeScheduled || listeners.size === 0) return
    isNoticeScheduled = true
    clock.soon(() => {
      isNoticeScheduled = false
      for (const listener of [...listeners]) listener()
    })
  }

  function hear(partition: number, index: number): void {
    if (index <= (heard.get(partition) ?? 0)) return
    heard.set(partition, index)
    if (!init.isLocal(partition)) notice()
  }

  function headOf(partition: number): number {
    const here = local.get(partition) ?? 0
    const head = init.isLocal(partition) ? here : Math.max(here, heard.get(partition) ?? 0)
    const before = told.get(partition) ?? 0
    if (head > before) told.set(partition, head)
    return Math.max(head, before)
  }

  /** Resolves when the local replica has committed beyond `afterIndex`, or soon after, or when the signal is aborted. */
  function whenLocal(partition: number, afterIndex: number, signal: AbortSignal): Promise<void> {
    return new Promise<void>(resolve => {
      const end = (): void => {
        listeners.delete(look)
        cancel()
        signal.removeEventListener('abort', end)
        resolve()
      }
      const look = (): void => {
        if ((local.get(partition) ?? 0) > afterIndex) end()
      }
      const cancel = clock.after(catchUpMs, end)
      listeners.add(look)
      signal.addEventListener('abort', end)
    })
  }

  function readLocal(
    partition: number,
    range: { readonly afterIndex: number; readonly limit: number },
  ): Page {
    const throughIndex = local.get(partition) ?? 0
    const events = store.readPartition(partition, { ...range, throughIndex })
    // Entries stay whole, so that fewer events than the limit may be a cut page too: only an empty one says that there
    // are no more.
    return {
      events: events.filter(isForReaders),
      throughIndex: events.at(-1)?.index ?? Math.max(throughIndex, range.afterIndex),
    }
  }

  async function readRemote(
    partition: number,
    range: { readonly afterIndex: number; readonly limit: number },
    signal: AbortSignal,
  ): Promise<Page> {
    const cached = recent.after(partition, range.afterIndex)
    if (cached.length > 0) return toPage(partition, cached, range.limit)
    const body = new TextEncoder().encode(JSON.stringify({ partition, afterIndex: range.afterIndex }))
    let last: unknown
    for (const peerId of init.replicasOf(partition)) {
      if (!init.isConnected(peerId)) continue
      signal.throwIfAborted()
      try {
        const answer = await rpc.request(peerId, fetchMethod, body, { timeoutMs: fetchTimeoutMs, signal })
        const { entries } = decodeEntries(answer)
        if (entries.length > 0) return toPage(partition, entries, range.limit)
      } catch (error) {
        last = error
      }
    }
    const why = last instanceof Error ? `: ${last.message}` : ''
    throw new GlynError(
      'UNAVAILABLE',
      `no replica of partition ${partition} could be read after ${range.afterIndex}${why}`,
      {
        cause: last,
      },
    )
  }

  rpc.serve(fetchMethod, (from, body) => {
    if (!init.isMember(from)) throw new GlynError('MEMBER_REMOVED', `${from} is not a member of this cluster`)
    const { partition, afterIndex } = JSON.parse(new TextDecoder().decode(body)) as FetchRequest
    const throughIndex = init.isLocal(partition) ? (local.get(partition) ?? 0) : 0
    const entries =
      afterIndex < throughIndex
        ? store.log(partition).entries(afterIndex + 1, throughIndex, fetchBytesMax)
        : []
    return encodeEntries({ partition, entries })
  })

  rpc.serve(headsMethod, from => {
    if (!init.isMember(from)) throw new GlynError('MEMBER_REMOVED', `${from} is not a member of this cluster`)
    const heads = init
      .partitions()
      .filter(init.isLocal)
      .map((partition): HeadRow => {
        const { leader, term } = init.leaderOf(partition)
        return [partition, local.get(partition) ?? 0, leader, term]
      })
    return new TextEncoder().encode(JSON.stringify(heads))
  })

  /** Asks one replica holder a second how far it is, in turn; only for partitions that are not held here. */
  function watch(): void {
    const remote = init.partitions().filter(partition => !init.isLocal(partition))
    const peers = [...new Set(remote.flatMap(partition => init.replicasOf(partition)))].filter(
      init.isConnected,
    )
    const peer = peers[watched++ % Math.max(1, peers.length)]
    if (peer === undefined) return
    rpc.request(peer, headsMethod, new Uint8Array(), { timeoutMs: fetchTimeoutMs }).then(
      answer => {
        for (const row of JSON.parse(new TextDecoder().decode(answer)) as HeadRow[]) {
          const [partition, index, leader, term] = row
          hear(partition, index)
          if (leader !== null) init.onLeader(partition, { leader, term })
        }
      },
      (error: unknown) => log.debug({ peer, error: String(error) }, 'feed: a peer did not say how far it is'),
    )
  }

  function scheduleWatchdog(): void {
    cancelWatchdog = clock.after(watchdogMs, () => {
      watch()
      notice()
      scheduleWatchdog()
    })
  }

  return {
    heads: () => new Map(init.partitions().map(partition => [partition, headOf(partition)])),
    onAdvance(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    readableThrough: partition => local.get(partition) ?? 0,
    async read(partition, range, { signal }) {
      if (range.afterIndex >= headOf(partition)) return { events: [], throughIndex: range.afterIndex }
      const hasIt = (): boolean => (local.get(partition) ?? 0) > range.afterIndex
      if (!hasIt() && init.isLocal(partition)) await whenLocal(partition, range.afterIndex, signal)
      return hasIt() ? readLocal(partition, range) : await readRemote(partition, range, signal)
    },
    committed(partition, index) {
      local.set(partition, index)
      notice()
    },
    receive(message) {
      for (const { partition, index } of message.heads) hear(partition, index)
      for (const { partition, entries } of message.groups)
        if (!init.isLocal(partition)) recent.add(partition, entries)
    },
    start: scheduleWatchdog,
    stop() {
      cancelWatchdog()
      listeners.clear()
    },
  }
}

/** How far a partition is at a replica, and who leads it as far as that replica knows. */
type HeadRow = [partition: number, index: number, leader: string | null, term: number]

interface Page {
  readonly events: readonly StoredEvent[]
  readonly throughIndex: number
}

interface FetchRequest {
  readonly partition: number
  readonly afterIndex: number
}

/** Whole entries until about `limit` events. */
function toPage(partition: number, entries: readonly Entry[], limit: number): Page {
  const events: StoredEvent[] = []
  let throughIndex = 0
  for (const { index, kind, payload } of entries) {
    if (events.length >= limit) break
    if (kind === 'command')
      events.push(...toStoredEvents(decodeRecord(payload), { partition, index }).filter(isForReaders))
    throughIndex = index
  }
  return { events, throughIndex }
}

/** What glyn-node stores for itself is passed over, as entries without events are. */
const isForReaders = ({ aggregateType }: StoredEvent): boolean => !isSystemType(aggregateType)
