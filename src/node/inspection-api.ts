// Snapshots and statistics of aggregates, wherever their leaders are: asked on the way that commands go.
import type { ClusterState } from '../cluster/cluster-state.ts'
import type { Clock } from '../core/clock.ts'
import type { AggregateKey } from '../core/command.ts'
import { GlynError, isGlynError } from '../core/errors.ts'
import { checkAggregateKey } from '../core/names.ts'
import { partitionOf } from '../core/partition-of.ts'
import type { Rpc } from '../mesh/rpc.ts'
import type { LeaderWait } from '../registry/leader-wait.ts'
import type { Router } from '../registry/router.ts'
import type { AggregateInspector } from './aggregate-inspector.ts'
import { checkPositive } from './check-arguments.ts'
import type { InspectionApi, InspectOptions, RebuiltSnapshot, SnapshotDifference } from './inspection.ts'
import type { RebuildStep, SnapshotRebuilder } from './snapshot-rebuilder.ts'

const snapshotMethod = 'aggregate.snapshot'
const statsMethod = 'aggregate.stats'
const rebuildMethod = 'aggregate.rebuild-snapshot'
const listMethod = 'aggregate.list-led'

const timeoutMsDefault = 10_000
const listTimeoutMs = 5000
const overloadedPauseMs = 500
/** A summary names so many. */
const namedMax = 100

export interface InspectionInit {
  readonly self: string
  readonly rpc: Rpc
  readonly clock: Clock
  readonly router: Router
  readonly leaderWait: LeaderWait
  readonly inspector: AggregateInspector
  readonly rebuilder: SnapshotRebuilder
  readonly state: () => ClusterState
  readonly isConnected: (peerId: string) => boolean
  readonly partitions: number
}

export function createInspectionApi(init: InspectionInit): InspectionApi {
  const { self, rpc, clock, router, leaderWait, inspector, rebuilder, partitions } = init

  const onLeader =
    <T>(action: (partition: number, aggregate: AggregateKey) => Promise<T>) =>
    async (from: string, body: Uint8Array): Promise<Uint8Array> => {
      checkMember(from)
      const { aggregate } = decode<{ readonly aggregate: AggregateKey }>(body)
      checkAggregateKey(aggregate)
      const partition = partitionOf(aggregate, partitions)
      return encode(await leaderWait.run(partition, () => action(partition, aggregate)))
    }
  rpc.serve(snapshotMethod, onLeader(inspector.snapshot))
  rpc.serve(statsMethod, onLeader(inspector.stats))
  rpc.serve(rebuildMethod, onLeader(rebuilder.step))
  rpc.serve(listMethod, (from, body) => {
    checkMember(from)
    const { type, after } = decode<{ readonly type: string; readonly after: string | null }>(body)
    return encode(inspector.list(type, after))
  })

  function checkMember(from: string): void {
    const node = init.state().nodes.get(from)
    if (node === undefined || node.state === 'removed')
      throw new GlynError('MEMBER_REMOVED', `${from} is not a member of this cluster`)
  }

  async function ask<T>(
    method: string,
    aggregate: AggregateKey,
    call: InspectOptions & { readonly here: (partition: number, aggregate: AggregateKey) => Promise<T> },
  ): Promise<T> {
    checkAggregateKey(aggregate)
    const partition = partitionOf(aggregate, partitions)
    return await router.route({
      partition,
      timeoutMs: checkPositive('timeoutMs', call.timeoutMs ?? timeoutMsDefault),
      signal: call.signal,
      here: () => call.here(partition, aggregate),
      there: async (peerId, { timeoutMs }) =>
        decode<T>(await rpc.request(peerId, method, encode({ aggregate }), { timeoutMs })),
    })
  }

  /** Until it is done; a leader that has its hands full is asked again. */
  async function rebuildOne(
    aggregate: AggregateKey,
    options: { readonly signal: AbortSignal | undefined; readonly onSequence: (sequence: number) => void },
  ): Promise<RebuiltSnapshot> {
    for (;;) {
      options.signal?.throwIfAborted()
      try {
        const step: RebuildStep = await ask(rebuildMethod, aggregate, {
          ...(options.signal === undefined ? {} : { signal: options.signal }),
          here: rebuilder.step,
        })
        if (step.type === 'done') return step.rebuilt
        options.onSequence(step.sequence)
      } catch (error) {
        if (!isGlynError(error) || error.code !== 'OVERLOADED') throw error
        await new Promise<void>(resolve => clock.after(overloadedPauseMs, resolve))
      }
    }
  }

  /** Of every node, what it leads. Sorted; an aggregate whose leader changed meanwhile may be missing. */
  async function listAll(type: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
    const members = [...init.state().nodes.values()].filter(({ state }) => state !== 'removed')
    const ids = new Set<string>()
    for (const { peerId, name } of members) {
      if (peerId !== self && !init.isConnected(peerId)) continue
      let after: string | null = null
      do {
        signal?.throwIfAborted()
        const page: ReturnType<AggregateInspector['list']> = await listOf(peerId, { type, after }, name)
        for (const id of page.ids) ids.add(id)
        after = page.next
        await new Promise<void>(resolve => clock.soon(resolve))
      } while (after !== null)
    }
    return [...ids].sort()
  }

  async function listOf(
    peerId: string,
    request: { readonly type: string; readonly after: string | null },
    name: string,
  ): Promise<ReturnType<AggregateInspector['list']>> {
    if (peerId === self) return inspector.list(request.type, request.after)
    try {
      const answer = await rpc.request(peerId, listMethod, encode(request), { timeoutMs: listTimeoutMs })
      return decode(answer)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new GlynError(
        'UNAVAILABLE',
        `node ${name} (${peerId}) did not say which aggregates it leads: ${why}`,
        {
          cause,
        },
      )
    }
  }

  return {
    latestSnapshot: (type, id, options = {}) =>
      ask(snapshotMethod, { type, id }, { ...options, here: inspector.snapshot }),
    aggregateStats: (type, id, options = {}) =>
      ask(statsMethod, { type, id }, { ...options, here: inspector.stats }),
    async rebuildSnapshots(type, { id, signal, onProgress } = {}) {
      // Says what is wrong with the type before anything is listed.
      checkAggregateKey({ type, id: id ?? 'any' })
      rebuilder.check(type)
      const ids = id === undefined ? await listAll(type, signal) : [id]
      const summary = {
        rebuilt: 0,
        failed: 0,
        busy: 0,
        failures: [] as { readonly aggregate: AggregateKey; readonly error: string }[],
        differences: [] as SnapshotDifference[],
        differencesTotal: 0,
      }
      for (const [done, each] of ids.entries()) {
        const aggregate = { type, id: each }
        const tell = (sequence: number): void =>
          onProgress?.({ done, total: ids.length, current: { aggregate, sequence } })
        tell(0)
        const begun = clock.now()
        const { result, differences, error } = await rebuildOne(aggregate, { signal, onSequence: tell })
        summary[result] += 1
        if (error !== null && summary.failures.length < namedMax) summary.failures.push({ aggregate, error })
        summary.differencesTotal += differences.length
        summary.differences.push(...differences.slice(0, Math.max(0, namedMax - summary.differences.length)))
        // Half of the time is for others.
        if (done + 1 < ids.length)
          await new Promise<void>(resolve => clock.after(Math.min(1000, clock.now() - begun), resolve))
      }
      onProgress?.({ done: ids.length, total: ids.length, current: null })
      return summary
    },
  }
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const decode = <T>(body: Uint8Array): T => JSON.parse(new TextDecoder().decode(body)) as T
