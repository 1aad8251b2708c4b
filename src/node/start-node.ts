// The life of a node: open, listen, form or join or come back, serve, hand over, close.
import type { ClusterSettings } from '../cluster/cluster-state.ts'
import { removedError } from '../cluster/removed-peers.ts'
import type { Command, CommandEnvelope } from '../core/command.ts'
import { GlynError } from '../core/errors.ts'
import { checkAggregateKey, checkName } from '../core/names.ts'
import { partitionOf } from '../core/partition-of.ts'
import { formatToken } from '../core/token.ts'
import { createRpc } from '../mesh/create-rpc.ts'
import { defaultTiming } from '../partition/raft-engine.ts'
import type { RaftStatus } from '../raft/raft.ts'
import { toEventEnvelope } from '../store/event-envelope.ts'
import { createAppender } from './appender.ts'
import { checkMetadata, checkPositive, refuseOwnNames } from './check-arguments.ts'
import { serveClients } from './client-calls.ts'
import { closeInReverse } from './close-in-reverse.ts'
import { createCommandId } from './command-id.ts'
import { openDataDirectory } from './data-directory.ts'
import { diskOf } from './disk-of.ts'
import { formCluster, joinCluster, settle, waitUntil } from './enter-cluster.ts'
import { createExplainer } from './explain.ts'
import { gatherReactions } from './gather-reactions.ts'
import { type GlynNode, toGlynNode } from './glyn-node.ts'
import { attachNode } from './glyn-store.ts'
import { coverageProblems, uncoveredKinds } from './history-coverage.ts'
import { gatherAggregates } from './loaded-aggregates.ts'
import { readHeads, writeBackup } from './moving/write-backup.ts'
import type { NodeApi, NodeStatus } from './node-api.ts'
import { openingFeed } from './node-erasure.ts'
import { createNodeInspection } from './node-inspection.ts'
import type { CompleteNodeOptions, NodeOptions } from './node-options.ts'
import { assembleNode, type NodeParts } from './node-parts.ts'
import { startQueries } from './node-queries.ts'
import {
  readClusterSettings,
  readContacts,
  readHistory,
  readRemoval,
  rememberRemoval,
  writeClusterSettings,
} from './node-settings.ts'
import { memberStatuses, nodeStatus, partitionStatuses, type StatusSources } from './node-status.ts'
import { createParkedApi } from './parked-api.ts'
import { parseAfter } from './parse-after.ts'
import { placementStatus } from './placement-status.ts'
import { problemsOf } from './problems.ts'
import { publishMessage } from './publish-message.ts'
import { collectPages, readPage } from './remote-aggregates.ts'
import { createSharedInspection } from './shared-inspection.ts'
import { checkStoreMode, refuseSubjects, startShared } from './shared-start.ts'
import { createSqlApi } from './sql-api.ts'
import { startMesh } from './start-mesh.ts'
import { chooseStore } from './store-choice.ts'
import { replicatedStoreOfNode, sharedStoreOfNode } from './store-of-node.ts'
import { createSubscribers, subscribersTimeoutMs } from './subscribers.ts'
import { subscribeToFeed } from './subscription.ts'
import { systemClock } from './system-clock.ts'
import { createCallCounts, systemStats } from './system-stats.ts'
import { packageVersion } from './version.ts'

const executeTimeoutMs = 10_000
const eventsLimit = 1000
const handOverTimeoutMs = 5000
/** What was accepted before the stop is finished within this time. */
const finishTimeoutMs = 5000
/** Between the last answer and hanging up, for a node that has handed something over. */
const lingerMs = 300
/** Leaderships may still arrive during the first. */
const handOverRoundsMax = 3

/** Does what `createNode` says. */
export async function startNode(given: NodeOptions): Promise<GlynNode> {
  const { options, shared, wrapper } = chooseStore(given)
  checkOptions(options)
  const { log } = options
  const clock = systemClock
  const startedAt = clock.now()
  const closers: (() => Promise<void> | void)[] = []
  const closeAll = (): Promise<void> => closeInReverse(closers)
  /** Ends the waits of a start that something fatal interrupted. */
  const failed = new AbortController()
  const signal = AbortSignal.any([failed.signal, ...(options.signal === undefined ? [] : [options.signal])])
  const starting = { ...options, signal }
  let state: NodeStatus['node']['state'] = 'starting'
  let parts: NodeParts | undefined
  /** This node does not belong to the cluster any more. While it starts, that ends the start. */
  let end = (error: GlynError, _hasLeft: boolean): void => failed.abort(error)

  try {
    const loaded = await gatherAggregates({
      configDirectory: options.configDirectory,
      aggregates: options.aggregates ?? [],
    })
    refuseSubjects(loaded.bindings, shared)
    const reacting = await gatherReactions(options)
    for (const problem of [...loaded.problems, ...reacting.problems]) log.warn({}, problem)
    const directory = await openDataDirectory(options.dataDirectory, log)
    closers.push(() => directory.close())
    const { store } = directory
    const historyProblems = coverageProblems(uncoveredKinds(store, loaded.bindings), loaded.bindings)
    for (const problem of historyProblems) log.error({}, `history: ${problem}`)
    let settings = readClusterSettings(store)
    checkSettings(options, settings)
    checkStoreMode(options, settings, shared)
    const removedFrom = readRemoval(store)
    if (removedFrom !== undefined) throw removedError(directory.identity.peerId, removedFrom)
    const { gate, mode, connect, claim, knowHeads } = startShared({
      shared,
      store,
      clock,
      log,
      onProgress: options.onProgress,
      signal,
    })
    if (shared !== undefined) closers.push(() => shared.close())
    // One that joins is told first how many partitions there are.
    if (settings !== undefined || options.bootstrap.length === 0) await connect(settings ?? options)
    const mesh = await startMesh({ options, directory, clock })
    closers.push(() => mesh.stop())
    const rpc = createRpc({ mesh, clock, log })
    const clients = serveClients(rpc, clock)
    parts = assembleNode({
      mesh,
      rpc,
      store,
      ...(gate === undefined ? {} : { shared: gate.store }),
      keys: directory.keys,
      clock,
      random: Math.random,
      log,
      timing: options.timing ?? defaultTiming,
      topic: options.topic,
      scope: options.scope,
      name: options.name ?? mesh.peerId.slice(-6),
      role: options.role,
      aggregates: loaded.bindings,
      handlers: reacting.handlers,
      processes: reacting.processes,
      settings: () => settings,
      onFatal: stopOnFatal,
      onRemoved(error, { hasLeft }) {
        // Closing waits for what is being written.
        rememberRemoval(store, settings?.clusterId ?? '').catch(complainOfMemory)
        end(error, hasLeft)
      },
      noContact: {
        tell(text) {
          if (state === 'ready' || options.onProgress === undefined) log.warn({}, `cluster: ${text}`)
          else options.onProgress(text)
        },
      },
    })
    const assembled = parts
    closers.push(() => assembled.stop())
    // Before this node leads anything: what a handler starts from is what was committed before.
    await assembled.reactions.start()
    assembled.start()

    if (settings === undefined && options.bootstrap.length > 0) {
      state = 'joining'
      settings = await joinCluster(assembled, { ...starting, storeMode: mode }, (found, nodes) =>
        writeClusterSettings(store, found, nodes),
      )
      await connect(settings)
    } else if (settings === undefined) {
      settings = await formCluster(assembled, claim, { ...options, storeMode: mode })
    } else {
      options.onProgress?.(`coming back to cluster ${settings.clusterId}`)
      assembled.membership.learn(readContacts(store))
      assembled.membership.greet(options.bootstrap)
    }
    const clusterSettings = settings
    const { partitions } = settings
    assembled.startMembership()
    await settle(assembled, settings, { ...starting, clock })
    await knowHeads(assembled.sharedFeed)
    // What was forgotten while this node was away must not be shown once more.
    await assembled.erasure.whenReady()
    const queries = await startQueries({
      options,
      directory,
      parts: assembled,
      history: readHistory(store, settings.clusterId),
      clock,
    })
    closers.push(() => queries.close())
    closers.push(assembled.inbox.onMessage(message => queries.deliver(message)))
    const closed = new AbortController()
    closers.push(() => closed.abort(new GlynError('SHUTTING_DOWN', 'this node is stopping')))
    state = 'ready'
    log.info(
      { peerId: mesh.peerId, clusterId: settings.clusterId, addresses: mesh.addresses() },
      'node: ready',
    )

    const sources = (): StatusSources => ({
      self: mesh.peerId,
      state: assembled.state(),
      table: assembled.table,
      statusOf: partition => assembled.engine.status(partition),
      nowMs: clock.wallTime(),
      contacts: assembled.contacts,
      lastWordsOf: peerId => assembled.membership.lastWordsOf(peerId),
      missingOf: partition => assembled.missingOf(partition),
      disk: diskOf(directory.path),
      failure: assembled.failure(),
      noContact: assembled.noContact(),
      heads: assembled.feed.heads(),
      store: {
        type: shared === undefined ? 'local' : 'shared',
        location: (shared ?? store).location,
        problem: gate?.problem() ?? null,
      },
      queries: queries.status(),
      reactions: assembled.reactions.status(),
      quarantined: assembled.quarantine.status(),
      historyProblems,
      pluginProblems: [...loaded.problems, ...reacting.problems, ...queries.problems()],
    })

    const explainer = createExplainer({
      self: mesh.peerId,
      rpc,
      clock,
      log,
      state: assembled.state,
      contacts: assembled.contacts,
      viewOf: (partition, aggregate) => ({
        peerId: mesh.peerId,
        status: viewedStatus(assembled, partition),
        history: assembled.engine.history(partition),
        pending: assembled.host.pendingOf(partition),
        queries: queries.status(),
        quarantined: aggregate === undefined ? null : (assembled.quarantine.of(aggregate) ?? null),
      }),
      problemsOf: partition => problemsOf(sources(), partition),
    })

    const appender = createAppender({
      router: assembled.router,
      clock,
      partitions,
      here: (partition, appends) => assembled.host.append(partition, appends),
      there: assembled.remote.append,
    })
    const name = options.name ?? mesh.peerId.slice(-6)
    const inspected = { parts: assembled, aggregates: loaded.bindings, partitions }
    const inspection =
      gate === undefined
        ? createNodeInspection({ ...inspected, mesh, rpc, clock, log, store, name })
        : createSharedInspection({ ...inspected, store: gate.store })
    const counts = createCallCounts()

    if (wrapper !== undefined) {
      const { router, host, remote, sharedFeed, engine, feed, erasure } = assembled
      const append = appender.append
      const { clusterId } = clusterSettings
      const facts = { clusterId, scope: options.scope, partitions, router, host, remote, append }
      const detach = attachNode(
        wrapper,
        gate !== undefined && sharedFeed !== undefined
          ? sharedStoreOfNode({ ...facts, store: gate.store, feed: sharedFeed })
          : replicatedStoreOfNode({
              ...facts,
              store,
              engine,
              feed: openingFeed(feed, erasure.cipher),
              cipher: erasure.cipher,
              hasSubjects: type => loaded.bindings.get(type)?.definition.subject !== undefined,
            }),
      )
      closers.push(detach)
    }

    const subscribers = createSubscribers({
      self: mesh.peerId,
      rpc,
      state: assembled.state,
      isConnected: peerId => mesh.isConnected(peerId),
      queries: () => queries.status(),
    })

    let closing: Promise<void> | undefined
    failed.signal.throwIfAborted()
    end = (error, hasLeft) => {
      if (hasLeft) log.info({}, 'node: left the cluster; stopping')
      else log.error({ error: error.message }, 'node: removed from the cluster; stopping')
      state = 'stopping'
      // There is nobody to hand anything over to: the others do not listen to this node any more.
      closing ??= closeAll()
      void closing
        .catch(complainOfClosing)
        .then(() => (hasLeft ? options.onLeft?.() : options.onFatal?.(error)))
    }
    const close = async (): Promise<void> => {
      // Something fatal has ended all that could be handed over or finished.
      if (failed.signal.aborted) return await closeAll()
      state = 'stopping'
      log.info({}, 'node: stopping')
      await assembled.reactions.drain()
      const { host, router, leaderWait } = assembled
      const isFinished = (): boolean => host.pendingCount() + router.underWay() + leaderWait.waiting() === 0
      for (let round = 0; round < handOverRoundsMax; round += 1) {
        const { led, left } = await assembled.reconciler.handOver({ timeoutMs: handOverTimeoutMs })
        if (left > 0) log.warn({ left }, 'node: some leaderships could not be handed over in time')
        await waitUntil(isFinished, { clock, timeoutMs: finishTimeoutMs })
        if (led === left) break
        // That this node hangs up costs the others some time, just when they take up what they were handed. And what was
        // on its way to this node when it said goodbye arrives meanwhile.
        await new Promise<void>(resolve => clock.after(lingerMs, resolve))
      }
      await closeAll()
      log.info({}, 'node: stopped')
    }

    const api: NodeApi = {
      peerId: mesh.peerId,
      clusterId: settings.clusterId,
      addresses: () => mesh.addresses(),
      definitions: () => ({
        aggregates: new Map(
          [...loaded.bindings].map(([type, { definition }]) => [
            type,
            definition.commands === undefined ? null : Object.keys(definition.commands),
          ]),
        ),
        queries: queries.names(),
      }),
      async execute(type, id, command, executeOptions = {}) {
        const envelope = toEnvelope({ type, id }, command, executeOptions)
        const timeoutMs = checkPositive('timeoutMs', executeOptions.timeoutMs ?? executeTimeoutMs)
        const partition = partitionOf(envelope.aggregate, partitions)
        return await counts.command(
          assembled.router.route({
            partition,
            timeoutMs,
            signal: executeOptions.signal,
            here: () => assembled.host.execute(partition, envelope),
            there: (peerId, attempt) =>
              assembled.remote.execute(peerId, partition, envelope, attempt.timeoutMs),
          }),
        )
      },
      async append(appends, appendOptions = {}) {
        const timeoutMs = checkPositive('timeoutMs', appendOptions.timeoutMs ?? executeTimeoutMs)
        return await appender.append(appends, { timeoutMs, signal: appendOptions.signal })
      },
      async loadAggregate(type, id, readOptions = {}) {
        const aggregate = { type, id }
        checkAggregateKey(aggregate)
        const partition = partitionOf(aggregate, partitions)
        const found = await assembled.router.route({
          partition,
          timeoutMs: checkPositive('timeoutMs', readOptions.timeoutMs ?? executeTimeoutMs),
          signal: readOptions.signal,
          here: () => assembled.host.load(partition, aggregate),
          there: (peerId, attempt) => assembled.remote.load(peerId, partition, aggregate, attempt.timeoutMs),
        })
        return {
          aggregate,
          sequence: found.sequence,
          state: found.state,
          position: { partition, index: found.index },
        }
      },
      async loadEvents(type, id, readOptions = {}) {
        const aggregate = { type, id }
        checkAggregateKey(aggregate)
        const partition = partitionOf(aggregate, partitions)
        const range = {
          fromSequence: checkPositive('fromSequence', readOptions.fromSequence ?? 1),
          limit: checkPositive('limit', readOptions.limit ?? eventsLimit),
        }
        const timeoutMs = checkPositive('timeoutMs', readOptions.timeoutMs ?? executeTimeoutMs)
        const until = clock.now() + timeoutMs
        const rows = await collectPages(range, page =>
          assembled.router.route({
            partition,
            timeoutMs: Math.max(1, Math.ceil(until - clock.now())),
            signal: readOptions.signal,
            here: () => readPage(page, part => assembled.host.loadEvents(partition, aggregate, part)),
            there: (peerId, attempt) =>
              assembled.remote.loadEvents(peerId, partition, { aggregate, ...page }, attempt.timeoutMs),
          }),
        )
        return rows.map(toEventEnvelope)
      },
      query: async (name, question, parameters, { after, ...readOptions } = {}) =>
        await counts.question(
          queries.ask(name, question, parameters, {
            ...readOptions,
            ...(after === undefined ? {} : { after: parseAfter(after, partitions) }),
          }),
        ),
      queries: {
        ...queries.api,
        ...createParkedApi(queries.host),
        ...createSqlApi(queries.host, token => parseAfter(token, partitions)),
      },
      subscribe: given =>
        subscribeToFeed(openingFeed(assembled.feed, assembled.erasure.cipher), {
          ...given,
          closed: closed.signal,
          partitions: assembled.dataPartitions(),
          clock,
        }),
      publish: message =>
        publishMessage(
          { self: mesh.peerId, publisher: assembled.publisher, inbox: assembled.inbox, clock },
          message,
        ),
      async subscribers({ timeoutMs = subscribersTimeoutMs } = {}) {
        return await subscribers.list({ timeoutMs: checkPositive('timeoutMs', timeoutMs) })
      },
      async heads({ signal: given } = {}) {
        const ended = given === undefined ? closed.signal : AbortSignal.any([closed.signal, given])
        return formatToken(await readHeads(assembled.logCopy, assembled.dataPartitions(), ended))
      },
      backup: ({ signal: given } = {}) =>
        writeBackup({
          elsewhere: shared?.location ?? null,
          copy: assembled.logCopy,
          settings: clusterSettings,
          timeMs: clock.wallTime(),
          signal: given === undefined ? closed.signal : AbortSignal.any([closed.signal, given]),
        }),
      async status() {
        const seen = sources()
        const facts = {
          peerId: mesh.peerId,
          name: options.name ?? mesh.peerId.slice(-6),
          version: packageVersion,
          addresses: mesh.addresses(),
          dataDirectory: directory.path,
          uptimeSeconds: Math.round((clock.now() - startedAt) / 1000),
          state: assembled.failure() === undefined ? state : 'failed',
        } as const
        return nodeStatus(seen, facts, problemsOf(seen))
      },
      ...inspection,
      async systemStats() {
        const seen = sources()
        const stats = systemStats({
          node: {
            peerId: mesh.peerId,
            name,
            version: packageVersion,
            uptimeSeconds: Math.round((clock.now() - startedAt) / 1000),
          },
          store,
          partitions: assembled.dataPartitions().filter(assembled.isLocal).length,
          counts,
          pending: assembled.host.pendingCount(),
          queries: seen.queries,
          status: {
            members: memberStatuses(seen),
            partitions: partitionStatuses(seen),
            quarantined: seen.quarantined,
          },
        })
        if (gate === undefined) return stats
        const { events } = await gate.store.statistics()
        return { ...stats, store: { ...stats.store, location: gate.store.location, events } }
      },
      async placement() {
        return placementStatus(sources())
      },
      async explain(type, id) {
        const aggregate = { type, id }
        checkAggregateKey(aggregate)
        return await explainer.explain(aggregate, partitionOf(aggregate, partitions))
      },
      forget: (subject, { timeoutMs = executeTimeoutMs, ...forgetOptions } = {}) =>
        assembled.erasure.forget(subject, {
          ...forgetOptions,
          timeoutMs: checkPositive('timeoutMs', timeoutMs),
        }),
      forgetStatus: (subject, { timeoutMs = subscribersTimeoutMs, signal } = {}) =>
        assembled.erasure.status(subject, {
          timeoutMs: checkPositive('timeoutMs', timeoutMs),
          ...(signal === undefined ? {} : { signal }),
        }),
      async removeMember(peerId) {
        const node = assembled.state().nodes.get(peerId)
        if (node === undefined) {
          const allowed = [...assembled.state().nodes.keys()]
          throw new GlynError('ENTITY_NOT_FOUND', `no member ${peerId}; members: ${allowed.join(', ')}`, {
            details: { allowed },
          })
        }
        await assembled.controller.submit({ type: 'remove-node', peerId }, { timeoutMs: executeTimeoutMs })
      },
      async leave(leaveOptions = {}) {
        await assembled.leaving.leave(leaveOptions)
        await closing
      },
      cancelLeave: () => assembled.leaving.cancel(),
      close() {
        closing ??= close()
        return closing
      },
    }
    clients.attach(api)
    return toGlynNode(api)
  } catch (error) {
    await closeAll().catch(complainOfClosing)
    throw error
  }

  /** The disk or an invariant failed: acknowledge nothing more, say why, and end. */
  function stopOnFatal(error: Error): void {
    log.error(
      { error: error.message, stack: error.stack },
      'node: stopping at once, because something failed that must not fail',
    )
    failed.abort(error)
    void closeAll()
      .catch(complainOfClosing)
      .then(() => options.onFatal?.(error))
  }

  function complainOfMemory(error: unknown): void {
    log.warn({ error: String(error) }, 'node: that it was removed could not be written down')
  }

  function complainOfClosing(error: unknown): void {
    log.error({ error: String(error) }, 'node: not everything could be closed')
  }
}

/** On a shared store a partition is as far as the store says; the group only elects. */
function viewedStatus({ engine, sharedFeed }: NodeParts, partition: number): RaftStatus | null {
  const status = engine.status(partition)
  if (status === undefined) return null
  return sharedFeed === undefined ? status : { ...status, commitIndex: sharedFeed.headOf(partition) }
}

function toEnvelope(
  aggregate: { readonly type: string; readonly id: string },
  command: Command,
  options: { readonly commandId?: string; readonly metadata?: Readonly<Record<string, string>> },
): CommandEnvelope {
  checkAggregateKey(aggregate)
  checkName('command', command.type)
  const commandId = options.commandId ?? createCommandId()
  checkName('command id', commandId)
  refuseOwnNames({ type: aggregate.type, commandId })
  const metadata = checkMetadata(options.metadata ?? {})
  return { aggregate, command: { type: command.type, data: command.data ?? {} }, commandId, metadata }
}

function checkOptions(options: CompleteNodeOptions): void {
  checkName('topic', options.topic)
  checkName('scope', options.scope)
  checkPositive('partitions', options.partitions)
  checkPositive('replicas', options.replicas)
}

/** A directory that belongs to a cluster comes back to that cluster, or not at all. */
function checkSettings(options: CompleteNodeOptions, settings: ClusterSettings | undefined): void {
  if (settings === undefined) return
  for (const field of ['topic', 'scope'] as const) {
    if (settings[field] === options[field]) continue
    throw new GlynError(
      'CLUSTER_MISMATCH',
      `${options.dataDirectory ?? 'this node'} belongs to cluster ${settings.clusterId} with the ${field} ${settings[field]}, ` +
        `but ${field} is ${options[field]}; start it with --${field} ${settings[field]}, or use another data directory`,
    )
  }
}
