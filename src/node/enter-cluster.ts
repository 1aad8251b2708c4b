// How a node comes to its cluster: it forms one, joins one, or waits until its own copy of the state has come.
import type { ClusterNode, ClusterSettings } from '../cluster/cluster-state.ts'
import { removedError } from '../cluster/removed-peers.ts'
import type { Clock } from '../core/clock.ts'
import { GlynError } from '../core/errors.ts'
import type { CompleteNodeOptions } from './node-options.ts'
import type { NodeParts } from './node-parts.ts'
import { clusterSettingsRow } from './node-settings.ts'

/** A leader for every partition is waited for this long at start; commands wait for themselves after that. */
const settleTimeoutMs = 10_000

/** What of a node's options matters here. */
export type EntryOptions = Pick<
  CompleteNodeOptions,
  'topic' | 'scope' | 'partitions' | 'replicas' | 'role' | 'bootstrap' | 'log' | 'onProgress' | 'signal'
> & {
  /** Left out: events rest on the nodes. */
  readonly storeMode?: 'shared' | undefined
}

export async function formCluster(
  parts: NodeParts,
  chooseId: () => Promise<string>,
  options: EntryOptions,
): Promise<ClusterSettings> {
  const { topic, scope, partitions, replicas } = options
  if (options.role === 'query') {
    throw new GlynError(
      'INVALID_ARGUMENT',
      'role is query and there is no bootstrap address: a query node joins a cluster, it forms none',
    )
  }
  const { storeMode } = options
  const clusterId = await chooseId()
  const settings: ClusterSettings = {
    ...{ clusterId, topic, scope, partitions, replicas },
    ...(storeMode === undefined ? {} : { store: storeMode }),
  }
  options.onProgress?.(`forming cluster ${settings.clusterId} with ${partitions} partitions`)
  const configuration = { voters: [parts.engine.id], learners: [] }
  const groups = Array.from({ length: partitions + 1 }, (_, partition) => ({ partition, configuration }))
  await parts.engine.bootstrap(groups, clusterSettingsRow(settings))
  return settings
}

export async function joinCluster(
  parts: NodeParts,
  options: EntryOptions,
  remember: (settings: ClusterSettings, nodes: readonly ClusterNode[]) => Promise<void>,
): Promise<ClusterSettings> {
  options.onProgress?.(`joining through ${options.bootstrap.join(', ')}`)
  const { topic, scope, storeMode } = options
  const wanted = { topic, scope, store: storeMode }
  const { settings, nodes } = await parts.membership.join(options.bootstrap, wanted, {
    signal: options.signal ?? new AbortController().signal,
    onProgress: text => options.onProgress?.(text),
  })
  await remember(settings, nodes)
  parts.membership.learn(nodes)
  return settings
}

/** Waits until this node has its own copy of the cluster state, and finishes a forming that a crash interrupted. */
export async function settle(
  parts: NodeParts,
  settings: ClusterSettings,
  options: EntryOptions & { readonly clock: Clock },
): Promise<void> {
  const self = parts.engine.id.slice(0, parts.engine.id.indexOf('/'))
  const isListed = (): boolean =>
    parts.state().nodes.has(self) && parts.state().wanted.size === settings.partitions
  const signal = options.signal
  let isForming = false
  while (!isListed()) {
    await waitUntil(
      () => isListed() || (!isForming && parts.controller.isLeader() && !parts.state().nodes.has(self)),
      {
        clock: options.clock,
        timeoutMs: Number.POSITIVE_INFINITY,
        ...(signal === undefined ? {} : { signal }),
      },
    )
    if (isListed()) break
    isForming = true
    await parts.controller.submit({ type: 'form', settings }, { timeoutMs: settleTimeoutMs })
    await parts.membership.putSelf()
  }
  if (parts.state().nodes.get(self)?.state === 'removed') {
    throw removedError(self, settings.clusterId)
  }
  const isLed = (): boolean =>
    parts
      .dataPartitions()
      .every(partition => parts.table.leaderOf(partition).leader !== null || !parts.isLocal(partition))
  if (!isLed())
    options.onProgress?.('waiting for a leader of every partition: a majority of its replicas must be up')
  const isServing = await waitUntil(isLed, {
    clock: options.clock,
    timeoutMs: settleTimeoutMs,
    ...(signal === undefined ? {} : { signal }),
  })
  if (!isServing)
    options.log.warn(
      {},
      'node: some partitions have no leader yet; their commands wait until a majority of their replicas is up',
    )
}

/** True when the condition came true in time. Throws the signal's reason. */
export async function waitUntil(
  condition: () => boolean,
  options: { readonly clock: Clock; readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<boolean> {
  const { clock } = options
  const deadline = clock.now() + options.timeoutMs
  while (!condition()) {
    options.signal?.throwIfAborted()
    if (clock.now() >= deadline) return false
    await new Promise<void>(resolve => clock.after(10, resolve))
  }
  return true
}
