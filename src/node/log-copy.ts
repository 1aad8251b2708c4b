// Reads the logs of all partitions as they are, entry by entry, whichever nodes hold them: for backups. What is read is
// committed, and its hash chain is checked; a replica that is damaged is passed over for another.
import type { Clock } from '../core/clock.ts'
import { GlynError, isGlynError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { AggregateHost } from '../partition/aggregate-host.ts'
import type { RaftEngine } from '../partition/raft-engine.ts'
import { decodeEntries, encodeEntries } from '../pubsub/topic-message.ts'
import { type Entry, genesisHash } from '../raft/entry.ts'
import type { LeaderWait } from '../registry/leader-wait.ts'
import type { Router } from '../registry/router.ts'
import { hashEntry } from '../store/hash-entry.ts'

const headMethod = 'log.head'
const entriesMethod = 'log.entries'
const headTimeoutMs = 10_000
const fetchTimeoutMs = 5000
/** Bytes of entries read at a time: a frame, and a short while of this thread. */
const pageBytes = 512 * 1024
/** A partition that nobody can read is given up after this long. */
const giveUpMs = 30_000
const retryMs = 200

export interface LogCopyInit {
  readonly self: string
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  readonly engine: RaftEngine
  readonly host: AggregateHost
  readonly router: Router
  readonly leaderWait: LeaderWait
  readonly isMember: (peerId: string) => boolean
  readonly isConnected: (peerId: string) => boolean
  /** True when this node holds a replica that follows the log. */
  readonly isLocal: (partition: number) => boolean
  /** Peers that should hold a replica, the likely leader first. */
  readonly replicasOf: (partition: number) => readonly string[]
}

export interface LogCopy {
  /** An index up to which everything is committed that was acknowledged before the call. Throws UNAVAILABLE. */
  head(partition: number, signal: AbortSignal): Promise<number>
  /**
   * The committed entries 1 to `throughIndex`, some at a time, each proven by the hash of the one before. Throws UNAVAILABLE
   * when no replica could be read for half a minute, STORE_CORRUPT when all that can be are damaged.
   */
  entries(partition: number, throughIndex: number, signal: AbortSignal): AsyncGenerator<readonly Entry[]>
}

export function createLogCopy(init: LogCopyInit): LogCopy {
  const { self, rpc, clock, log, engine, host, router, leaderWait } = init

  function entriesHere(partition: number, range: Range): readonly Entry[] {
    if (!init.isLocal(partition)) return []
    const to = Math.min(range.throughIndex, engine.status(partition)?.commitIndex ?? 0)
    if (to <= range.afterIndex) return []
    return engine.group(partition)?.entries(range.afterIndex + 1, to, pageBytes) ?? []
  }

  const checkMember = (from: string): void => {
    if (!init.isMember(from)) throw new GlynError('MEMBER_REMOVED', `${from} is not a member of this cluster`)
  }
  rpc.serve(headMethod, async (from, body) => {
    checkMember(from)
    const { partition } = decode<{ readonly partition: number }>(body)
    return encode(await leaderWait.run(partition, () => host.head(partition)))
  })
  rpc.serve(entriesMethod, (from, body) => {
    checkMember(from)
    const { partition, ...range } = decode<{ readonly partition: number } & Range>(body)
    return encodeEntries({ partition, entries: entriesHere(partition, range) })
  })

  async function readFrom(
    peerId: string,
    partition: number,
    { range, signal }: { readonly range: Range; readonly signal: AbortSignal },
  ): Promise<readonly Entry[]> {
    if (peerId === self) return entriesHere(partition, range)
    const body = encode({ partition, ...range })
    const answer = await rpc.request(peerId, entriesMethod, body, { timeoutMs: fetchTimeoutMs, signal })
    return decodeEntries(answer).entries
  }

  return {
    async head(partition, signal) {
      return await router.route({
        partition,
        timeoutMs: headTimeoutMs,
        signal,
        here: () => host.head(partition),
        there: async (peerId, { timeoutMs }) =>
          decode<number>(await rpc.request(peerId, headMethod, encode({ partition }), { timeoutMs, signal })),
      })
    },
    async *entries(partition, throughIndex, signal) {
      const damaged = new Map<string, GlynError>()
      let previous = genesisHash
      let readAt = clock.now()
      let last: unknown
      for (let afterIndex = 0; afterIndex < throughIndex; ) {
        let page: readonly Entry[] = []
        const others = init.replicasOf(partition).filter(peerId => peerId !== self)
        for (const peerId of [self, ...others]) {
          if (damaged.has(peerId) || (peerId !== self && !init.isConnected(peerId))) continue
          signal.throwIfAborted()
          try {
            page = await readFrom(peerId, partition, { range: { afterIndex, throughIndex }, signal })
          } catch (error) {
            signal.throwIfAborted()
            if (!isGlynError(error)) throw error
            last = error
            continue
          }
          if (page.length === 0) continue
          const fault = faultIn(page, { afterIndex, previous })
          if (fault === null) break
          const text = `the replica of partition ${partition} on ${peerId}, index ${fault}: its content, or the entry before it, does not fit its hash`
          log.error({ partition, peer: peerId, index: fault }, `backup: ${text}`)
          damaged.set(
            peerId,
            new GlynError('STORE_CORRUPT', text, { details: { partition, index: fault, peerId } }),
          )
          page = []
        }
        const end = page.at(-1)
        if (end !== undefined) {
          yield page
          previous = end.hash
          afterIndex = end.index
          readAt = clock.now()
          // A backup is not in a hurry: the node's own work comes between two pages.
          await new Promise<void>(resolve => clock.soon(resolve))
        } else if (clock.now() - readAt > giveUpMs) {
          throw [...damaged.values()][0] ?? unreadable(partition, afterIndex, last)
        } else await new Promise<void>(resolve => clock.after(retryMs, resolve))
      }
    },
  }
}

interface Range {
  readonly afterIndex: number
  readonly throughIndex: number
}

/** The index of the first entry that does not follow; null when all do. */
function faultIn(
  entries: readonly Entry[],
  after: { readonly afterIndex: number; readonly previous: Uint8Array },
): number | null {
  let { afterIndex, previous } = after
  for (const entry of entries) {
    const isNext = entry.index === afterIndex + 1
    if (!isNext || Buffer.compare(hashEntry(previous, entry), entry.hash) !== 0) return afterIndex + 1
    afterIndex = entry.index
    previous = entry.hash
  }
  return null
}

function unreadable(partition: number, afterIndex: number, cause: unknown): GlynError {
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  const text = `no replica of partition ${partition} could be read after ${afterIndex} for ${giveUpMs / 1000} s${why}`
  return new GlynError('UNAVAILABLE', text, { cause })
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const decode = <T>(body: Uint8Array): T => JSON.parse(new TextDecoder().decode(body)) as T
