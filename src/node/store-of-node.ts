// A running node as an event store: what is appended goes to the leaders, what is read is what they have.
import { GlynError, hasCode } from '../core/errors.ts'
import { partitionOf } from '../core/partition-of.ts'
import { isSystemType } from '../core/system-types.ts'
import type { AggregateHost } from '../partition/aggregate-host.ts'
import type { RaftEngine } from '../partition/raft-engine.ts'
import type { Feed } from '../pubsub/feed.ts'
import type { SharedFeed } from '../pubsub/shared-feed.ts'
import type { Router } from '../registry/router.ts'
import type { Append, AppendResult, SharedStore } from '../store/shared-store.ts'
import type { LocalStore } from '../store/store.ts'
import type { SubjectCipher } from '../store/subject-cipher.ts'
import { prepareAppend } from './appender.ts'
import type { StoreOfNode } from './glyn-store.ts'
import type { GivenAppend, GivenAppendResult } from './node-api.ts'
import { collectPages, type RemoteAggregates, readPage } from './remote-aggregates.ts'

const timeoutMs = 10_000

export interface StoreOfNodeInit {
  readonly scope: string
  readonly partitions: number
  readonly router: Router
  readonly host: AggregateHost
  readonly remote: RemoteAggregates
  readonly append: (
    appends: readonly GivenAppend[],
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
  ) => Promise<readonly GivenAppendResult[]>
}

function bindingCheck({ scope, partitions }: StoreOfNodeInit): StoreOfNode['open'] {
  return async binding => {
    if (binding.scope === scope && binding.partitions === partitions) return
    throw new GlynError(
      'CLUSTER_MISMATCH',
      `the node on this store belongs to scope ${scope} with ${partitions} partitions, not to scope ${binding.scope} with ${binding.partitions}`,
      { details: { found: { scope, partitions }, wanted: binding } },
    )
  }
}

function checkPartitions(appends: readonly Append[], partitions: number): void {
  for (const [place, { partition, aggregate }] of appends.entries()) {
    const named = partitionOf(aggregate, partitions)
    if (partition === named) continue
    const text = `append ${place}: partition is ${partition}; allowed: ${named}, the one that the hash of the aggregate names`
    throw new GlynError('INVALID_ARGUMENT', text)
  }
}

const throughLeaders =
  (init: StoreOfNodeInit) =>
  async (appends: readonly Append[], signal: AbortSignal | undefined): Promise<readonly AppendResult[]> => {
    signal?.throwIfAborted()
    const results = await init.append(appends, { timeoutMs, signal }).catch((error: unknown) => {
      // The caller is told its own reason, as every store does.
      signal?.throwIfAborted()
      throw error
    })
    return results.map(result =>
      result.type === 'appended' ? { type: 'appended', index: result.index } : result,
    )
  }

/** The store of all nodes is asked itself; only appends go to the leaders, so that they need not find out. */
export function sharedStoreOfNode(
  init: StoreOfNodeInit & { readonly store: SharedStore; readonly feed: SharedFeed },
): StoreOfNode {
  const { store, feed, partitions } = init
  const append = throughLeaders(init)
  return {
    open: bindingCheck(init),
    async append(appends, { isAtomic = false, signal } = {}) {
      checkPartitions(appends, partitions)
      if (!isAtomic) return await append(appends, signal)
      const checked = appends.map((one, place) => prepareAppend(one, `append ${place}`, partitions).append)
      // Nobody leads all of them: the store itself makes one of many. Leaders find out by the sequence, all others by asking.
      const results = await store.append(checked, { isAtomic, ...(signal === undefined ? {} : { signal }) })
      feed.refresh().catch(() => {})
      return results
    },
    readStream: (aggregate, range) => store.readStream(aggregate, range),
    sequences: aggregates => store.sequences(aggregates),
    readCommand: (aggregate, commandId) => store.readCommand(aggregate, commandId),
    readLog: (partition, range) => store.readLog(partition, range),
    heads: () => store.heads(),
    latestSnapshot: aggregate => store.latestSnapshot(aggregate),
    writeSnapshots: snapshots => store.writeSnapshots(snapshots),
    aggregates: filter => store.aggregates(filter),
    statistics: () => store.statistics(),
  }
}

/**
 * Over stores of single nodes: reads of aggregates ask the leaders. Indexes are those of the replicated log, which has
 * entries without events, too. What is counted, listed, or a snapshot, is what this node holds.
 */
export function replicatedStoreOfNode(
  init: StoreOfNodeInit & {
    readonly store: LocalStore
    /** Whose events are opened. */
    readonly feed: Feed
    readonly engine: RaftEngine
    readonly cipher: Pick<SubjectCipher, 'openState'>
    /** Its states may be about subjects. */
    readonly hasSubjects: (type: string) => boolean
  },
): StoreOfNode {
  const { store, feed, engine, partitions, router, host, remote } = init
  const commitIndexOf = (partition: number): number => engine.status(partition)?.commitIndex ?? 0
  const append = throughLeaders(init)
  const readStream: StoreOfNode['readStream'] = async (aggregate, range) => {
    const partition = partitionOf(aggregate, partitions)
    try {
      return await collectPages({ ...range, fromSequence: Math.max(1, range.fromSequence) }, page =>
        router.route({
          partition,
          timeoutMs,
          here: () => readPage(page, part => host.loadEvents(partition, aggregate, part)),
          there: (peerId, attempt) =>
            remote.loadEvents(peerId, partition, { aggregate, ...page }, attempt.timeoutMs),
        }),
      )
    } catch (error) {
      // No events, and no code: for a store that is an empty stream.
      if (hasCode(error, 'UNKNOWN_AGGREGATE_TYPE')) return []
      throw error
    }
  }
  /** Of users. What glyn-node stores for itself is passed over. */
  const listed = (type?: string): ReturnType<LocalStore['aggregates']> =>
    store
      .aggregates({ ...(type === undefined ? {} : { type }), commitIndexOf, limit: Number.MAX_SAFE_INTEGER })
      .filter(found => !isSystemType(found.type))
  return {
    open: bindingCheck(init),
    async append(appends, { isAtomic = false, signal } = {}) {
      checkPartitions(appends, partitions)
      if (!isAtomic) return await append(appends, signal)
      if (appends.length <= 1) return atomically(appends, await append(appends, signal))
      throw new GlynError(
        'TRANSACTION_FAILED',
        `${appends.length} appends cannot be made all or none where the nodes replicate the events: partitions commit by themselves. Allowed: one, or a shared store`,
      )
    },
    readStream,
    sequences: aggregates =>
      Promise.all(
        aggregates.map(aggregate => {
          const partition = partitionOf(aggregate, partitions)
          return router.route({
            partition,
            timeoutMs,
            here: () => host.sequenceOf(partition, aggregate),
            there: (peerId, attempt) => remote.sequenceOf(peerId, partition, aggregate, attempt.timeoutMs),
          })
        }),
      ),
    async readCommand(aggregate, commandId) {
      const partition = partitionOf(aggregate, partitions)
      return await router.route({
        partition,
        timeoutMs,
        here: () => host.readCommand(partition, { aggregate, commandId }),
        there: (peerId, attempt) =>
          remote.readCommand(peerId, partition, { aggregate, commandId }, attempt.timeoutMs),
      })
    },
    async readLog(partition, { afterIndex, limit }) {
      const signal = AbortSignal.timeout(timeoutMs)
      let after = Math.max(0, afterIndex)
      while ((feed.heads().get(partition) ?? 0) > after) {
        const page = await feed.read(partition, { afterIndex: after, limit }, { signal })
        if (page.events.length > 0) return page.events
        if (page.throughIndex <= after) break
        after = page.throughIndex
      }
      return []
    },
    heads: () => Promise.resolve(new Map([...feed.heads()].filter(([, index]) => index > 0))),
    latestSnapshot(aggregate) {
      const found = store.latestSnapshot(aggregate)
      if (found === undefined) return Promise.resolve(undefined)
      const { index: _index, partition: _partition, ...snapshot } = found
      const opened = init.cipher.openState(snapshot.state, snapshot)
      return Promise.resolve(opened === undefined ? undefined : { ...snapshot, state: opened.state })
    },
    async writeSnapshots(snapshots) {
      for (const snapshot of snapshots) {
        const { aggregate, sequence } = snapshot
        // Nobody says here with which keys it was made, and in the clear it would outlive them.
        if (init.hasSubjects(aggregate.type)) continue
        const partition = partitionOf(aggregate, partitions)
        const range = { partition, fromSequence: sequence, limit: 1 }
        const [last] = store.readAggregate(aggregate, { ...range, throughIndex: commitIndexOf(partition) })
        // Of what this node does not hold it keeps none.
        if (last?.sequence === sequence) engine.writeSnapshot({ ...snapshot, partition, index: last.index })
      }
    },
    async aggregates({ type, after, limit }) {
      const all = listed(type)
      const place = after === undefined ? 0 : all.findIndex(key => isAfter(key, after))
      return place === -1 ? [] : all.slice(place, place + limit)
    },
    async statistics() {
      const all = listed()
      return { events: all.reduce((sum, { sequence }) => sum + sequence, 0), aggregates: all.length }
    },
  }
}

function atomically(appends: readonly Append[], results: readonly AppendResult[]): readonly AppendResult[] {
  const [result] = results
  if (result === undefined || result.type === 'appended') return results
  const [{ aggregate, commandId } = { aggregate: { type: '', id: '' }, commandId: '' }] = appends
  const text = `nothing was written: command ${commandId} of ${aggregate.type}/${aggregate.id} is a ${result.type}`
  throw new GlynError('TRANSACTION_ROLLED_BACK', text, {
    details: { append: 0, aggregate, commandId, result },
  })
}

const isAfter = (
  key: { readonly type: string; readonly id: string },
  after: { readonly type: string; readonly id: string },
): boolean =>
  (Buffer.compare(Buffer.from(key.type), Buffer.from(after.type)) ||
    Buffer.compare(Buffer.from(key.id), Buffer.from(after.id))) > 0
